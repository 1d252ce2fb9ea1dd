"""Kills trainings at random instants until so many have been killed, and compares what the store then holds with an undisturbed training.

``python tests/regression/many_kills.py --kills 100 --folder kills``. Exit code 1 if anything is missing or different.

A training of 60 steps saves a checkpoint of its own every 7 steps and is started again after each kill. It is the same training each time,
so at its end one run must be there, finished, with every reading and incident of the undisturbed one.
"""

from __future__ import annotations

import argparse
import logging
import os
import random
import signal
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import torch
import torch._dynamo  # optimizers import it; imported here, once for all forks
from torch import nn

import ganwatch
from ganwatch.core.detector import Detector, Verdict
from ganwatch.probes.gradients import Gradients
from ganwatch.probes.losses import Losses
from ganwatch.store import queries
from ganwatch.store.database import open_store

STEPS, EVERY = 60, 7
SIGNS_OF_LIFE = 12 * STEPS
"""Bytes that a whole training writes, about."""


class Often(Detector):
    """Fires at every tenth of its updates, for three."""

    code, title, severity, inputs, fire_after, resolve_after = "GW999", "often", "ticket", ("loss/g",), 0, 2

    def __init__(self):
        self._updates = 0

    def update(self, readings):
        self._updates += 1
        return Verdict(float(self._updates), 0.0, "loss/g", 1, "definition", "It is so.") if self._updates % 10 < 3 else None

    @classmethod
    def demo(cls, seed):
        raise NotImplementedError


def train(folder: Path, alive) -> None:
    """Train to the end from the last checkpoint; ``alive`` is called all the time, and the process may be killed in any of its calls."""
    torch.manual_seed(1)
    g, d = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 2)), nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 1))
    parts = {"g": g, "d": d, "of_g": torch.optim.Adam(g.parameters()), "of_d": torch.optim.Adam(d.parameters())}
    alive()
    watching = ganwatch.watch(g, d, store=folder / "runs", probes=[Losses(), Gradients()], detectors=[Often()], audit_seconds=0.0)
    parts["ganwatch"], saved, first = watching, folder / "last.pt", 0
    if saved.is_file():
        held = torch.load(saved)
        first = held["steps"]
        torch.set_rng_state(held["random"])
        for name, part in parts.items():
            part.load_state_dict(held[name])
    for step in range(first + 1, STEPS + 1):
        fake, real = g(torch.randn(8, 4)), torch.randn(8, 2)
        for role in "dg":
            alive()
            parts[f"of_{role}"].zero_grad()
            loss = -d(fake).mean() if role == "g" else d(fake.detach()).mean() - d(real).mean()
            loss.backward()
            alive()
            parts[f"of_{role}"].step()
        if step % EVERY == 0:
            states = {name: part.state_dict() for name, part in parts.items()}
            alive()
            torch.save(states | {"steps": step, "random": torch.get_rng_state()}, folder / "partial.pt")
            alive()
            (folder / "partial.pt").replace(saved)
        for sink in watching.observer.sinks:
            sink.sync()
            alive()
    watching.close()
    alive()


def start(folder: Path, kill_after: int | None) -> bool:
    """Train in a forked process, and kill it after so many signs of life. Return True if it was killed."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.close(reading)
        try:
            train(folder, lambda: os.write(writing, b"."))
        except BaseException:
            logging.getLogger("ganwatch").exception("the training failed")
            os._exit(1)
        os._exit(0)
    os.close(writing)
    seen = 0
    with os.fdopen(reading, "rb", buffering=0) as signs:
        while part := signs.read(64):
            seen += len(part)
            if kill_after is not None and seen >= kill_after:
                os.kill(child, signal.SIGKILL)
                break
    status = os.waitpid(child, 0)[1]
    if status not in {0, signal.SIGKILL}:
        raise SystemExit(f"{folder}: the training ended with status {status}")
    return status == signal.SIGKILL


def read(folder: Path) -> tuple:
    """Return what has to be the same: state, series without times, and incidents."""
    with closing(sqlite3.connect(folder / "runs" / "ganwatch.db")) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    with open_store(folder / "runs", create=False) as store:
        [run] = queries.runs(store)
        names = [name for name in queries.series_names(store, run.id) if name.startswith(("loss", "grad", "layer"))]
        series = {name: [column.tolist() for column in queries.series(store, run.id, name)] for name in names}
        incidents = [(one.id, one.onset, one.opened, one.fired, one.resolved, str(one.state)) for one in queries.incidents(store, run.id)]
        return run.state, run.last_step, series, incidents


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    torch.set_num_threads(1)
    logging.disable(logging.WARNING)
    given.folder.mkdir(parents=True)
    with ganwatch.watch(nn.PReLU(), nn.PReLU(), store=given.folder / "imports"):  # imports all that a watch needs, once for all forks
        pass
    (given.folder / "whole").mkdir()
    start(given.folder / "whole", None)
    whole, draw, kills, trainings, different = read(given.folder / "whole"), random.Random(given.seed), 0, 0, 0
    while kills < given.kills:
        folder = given.folder / str(trainings)
        folder.mkdir()
        trainings += 1
        for _ in range(draw.randint(1, 8)):
            kills += start(folder, draw.randint(1, SIGNS_OF_LIFE // 2))
        start(folder, None)
        if read(folder) != whole:
            different += 1
            names = ("state", "last step", "series", "incidents")
            wrong = [name for name, one, other in zip(names, read(folder), whole, strict=True) if one != other]
            print(f"{folder}: different {', '.join(wrong)}")
    print(f"{kills} kills in {trainings} trainings; {different} of these differ from an undisturbed one")
    return int(different > 0)


if __name__ == "__main__":
    sys.exit(main())
