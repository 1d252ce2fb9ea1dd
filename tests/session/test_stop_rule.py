"""``stop_on`` and ``on_incident``: what the user asked for happens once, and nothing else changes."""

from __future__ import annotations

import subprocess
import sys
from textwrap import dedent

import pytest
import torch
from torch import nn
from torch.nn.functional import softplus

import ganwatch
from ganwatch.core.errors import UserError
from ganwatch.session.stop_rule import EXIT_CODE, TrainingStopped
from ganwatch.sinks.memory import MemorySink


def train(steps, *, collapse=10**9, **options):
    """Train a small loop whose latents are one and the same from a step on. Return the steps that were made."""
    torch.manual_seed(0)
    g, d = (nn.Sequential(nn.Linear(size, 32), nn.ReLU(), nn.Linear(32, end)) for size, end in ((4, 2), (2, 1)))
    g_optimizer, d_optimizer = (torch.optim.Adam(network.parameters(), 1e-3) for network in (g, d))
    with ganwatch.watch(G=g, D=d, store=None, audit_seconds=0.0, **options):
        for step in range(1, steps + 1):
            latents = torch.randn(64, 4)
            fake = g(latents[:1].expand(64, 4) if step > collapse else latents)
            update(d_optimizer, softplus(-d(torch.randn(64, 2))) + softplus(d(fake.detach())))
            update(g_optimizer, softplus(-d(fake)))
    return step


def update(optimizer, losses):
    optimizer.zero_grad()
    losses.mean().backward()
    optimizer.step()


def test_the_loop_is_stopped_at_the_first_incident_of_a_code():
    memory = MemorySink()
    with pytest.raises(TrainingStopped, match=r"stopped by latent fault \(GW504-1\) since step \d+") as raised:
        train(2000, collapse=100, stop_on=["GW504"], sinks=[memory])
    assert (raised.value.code, raised.value.incident.code, memory.state) == (EXIT_CODE, "GW504", "stopped")
    assert 100 < memory.steps[-1].step < 300


def test_other_codes_do_not_stop():
    assert train(300, collapse=100, stop_on=["GW303"]) == 300


def test_functions_are_told_of_each_change_once_and_their_errors_go_no_further():
    told = []

    def fail(incident):
        raise ValueError(incident.id)

    assert train(300, collapse=100, on_incident=[fail, lambda incident: told.append((incident.id, str(incident.state)))]) == 300
    assert ("GW504-1", "firing") in told
    assert len(told) == len(set(told))


@pytest.mark.parametrize(("options", "message"), [
    ({"stop_on": ["GW999"]}, "stop_on must be codes of detectors .*, got 'GW999'"),
    ({"stop_on": "mode collapse"}, "stop_on must be codes of detectors .*, got 'mode collapse'"),
    ({"on_incident": "print"}, "on_incident must be a function of an incident, or a list of them, got str"),
])  # fmt: skip
def test_bad_arguments_are_named(options, message):
    with pytest.raises(UserError, match=message):
        train(1, **options)


def test_several_processes_are_refused(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UserError, match="stop_on must be empty where several processes train together, got GW101 in one of 2"):
        train(1, stop_on=["GW101"])


def test_a_script_that_is_stopped_ends_with_its_exit_code(tmp_path):
    script = dedent(
        """
        import ganwatch, torch
        from torch import nn
        g, d = nn.Linear(2, 2), nn.Linear(2, 1)
        optimizers = [torch.optim.SGD(network.parameters(), 0.1) for network in (g, d)]
        ganwatch.watch(G=g, D=d, store="runs", stop_on=["GW303"], audit_seconds=0.0)
        for step in range(200):
            for optimizer in optimizers:
                optimizer.zero_grad()
                (d(g(torch.randn(8, 2))).mean() * (float("nan") if step > 50 else 1.0)).backward()
                optimizer.step()
        """
    )
    ended = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ended.returncode == EXIT_CODE, ended.stderr
    assert " stopped after " in ended.stderr
