"""Trains a plain loop with a checkpoint of its own in forked processes, one of which kills itself: run in an empty folder."""

import logging
import os
import signal
import sys
from pathlib import Path

import torch
import torch._dynamo  # optimizers import it; imported here, once for all forks
from torch import nn

import ganwatch
from ganwatch.core.detector import Detector, Verdict
from ganwatch.probes.gradients import Gradients
from ganwatch.probes.losses import Losses

sys.path.insert(0, str(Path(__file__).parents[1]))
from forked import start  # not installed

STEPS, SAVED, KILLED = 40, 20, 33


class FromUpdate(Detector):
    """Fires from one of its own updates on."""

    title, severity, inputs, fire_after, resolve_after = "FromUpdate", "ticket", ("loss/g",), 3, 5

    def __init__(self, first):
        self.code, self.first, self._updates = f"GW99{first // 10}", first, 0

    def update(self, readings):
        self._updates += 1
        return Verdict(1.0, 0.0, "loss/g", 2, "definition", "It is so.") if self._updates >= self.first else None

    @classmethod
    def demo(cls, seed):
        raise NotImplementedError


def train(folder, *, kill):
    logging.basicConfig(filename=folder / "log", level=logging.INFO)
    torch.manual_seed(1)
    g, d = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 2)), nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 1))
    parts = {"g": g, "d": d, "of_g": torch.optim.Adam(g.parameters()), "of_d": torch.optim.Adam(d.parameters())}
    probes, detectors = [Losses(), Gradients()], [FromUpdate(10), FromUpdate(30)]
    watching = ganwatch.watch(g, d, store=folder / "runs", probes=probes, detectors=detectors, audit_seconds=0.0)
    parts["ganwatch"], saved, first = watching, folder / "last.pt", 0
    if saved.is_file():
        held = torch.load(saved)
        first = held["steps"]
        torch.set_rng_state(held["random"])
        for name, part in parts.items():
            part.load_state_dict(held[name])
    for step in range(first + 1, STEPS + 1):
        fake, real = g(torch.randn(8, 4)), torch.randn(8, 2)
        parts["of_d"].zero_grad()
        (d(fake.detach()).mean() - d(real).mean()).backward()
        parts["of_d"].step()
        parts["of_g"].zero_grad()
        (-d(fake).mean()).backward()
        parts["of_g"].step()
        if step == SAVED:
            states = {name: part.state_dict() for name, part in parts.items()}
            torch.save(states | {"steps": step, "random": torch.get_rng_state()}, saved)
        if kill and step == KILLED:
            for sink in watching.observer.sinks:
                sink.sync()
            os.kill(os.getpid(), signal.SIGKILL)
    watching.close()


if __name__ == "__main__":
    torch.set_num_threads(1)
    with ganwatch.watch(nn.PReLU(), nn.PReLU(), store="imports"):  # imports all that a watch needs, once for all forks
        pass
    start(train, "whole")
    start(train, "killed", kill=True)
    start(train, "killed")
