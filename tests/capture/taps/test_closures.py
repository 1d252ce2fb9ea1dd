"""Optimizers that get a closure back-propagate within their step."""

import pytest
import torch
from torch import nn

from ganwatch.capture.recorder import Recorder
from ganwatch.core.guard import Guard


@pytest.mark.parametrize("make", [torch.optim.Adam, lambda p: torch.optim.LBFGS(p, max_iter=2)], ids=["adam", "lbfgs"])
def test_losses_of_closures_stay_with_their_network(make):
    g, d = nn.Linear(2, 2), nn.Linear(2, 1)
    steps = []
    recorder = Recorder({"g": g, "d": d}, probes=[], on_step=steps.append, guard=(guard := Guard()))
    g_step, d_step = make(g.parameters()), make(d.parameters())

    def closure(optimizer, loss):
        def evaluate():
            optimizer.zero_grad()
            value = loss()
            value.backward()
            return value

        return evaluate

    try:
        for _ in range(3):
            d_step.step(closure(d_step, lambda: d(torch.ones(4, 2)).pow(2).mean() + 1000.0))
            g_step.step(closure(g_step, lambda: d(g(torch.ones(4, 2))).pow(2).mean()))
    finally:
        recorder.close()
    assert not guard.errors
    assert len(steps) == 3
    assert all(step.losses["d"] >= 1000.0 > step.losses["g"] for step in steps)
