"""An optimizer's step counts for the right network, and the right one ends a step of the training."""

import pytest
import torch
from torch import nn

from ganwatch.capture.recorder import Recorder
from ganwatch.core.guard import Guard
from ganwatch.core.probe import Probe


class OuterOptimizer(torch.optim.Optimizer):
    """Steps another optimizer of the same parameters, as slow-weights optimizers do."""

    def __init__(self, inner):
        self.inner = inner
        super().__init__([{"params": group["params"]} for group in inner.param_groups], {"lr": 0.1})

    def step(self, closure=None):
        return self.inner.step(closure)


class BrokenProbe(Probe):
    name, signals, every = "broken", (), 1

    def is_due(self, step):
        raise RuntimeError("on purpose")

    def read(self, step):
        raise AssertionError


@pytest.fixture
def networks():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(2, 4), nn.Linear(4, 3)), nn.Linear(3, 1)


def record(networks, probes=()):
    steps, guard = [], Guard()
    recorder = Recorder(dict(zip("gd", networks, strict=True)), probes=probes, on_step=steps.append, guard=guard)
    return recorder, steps, guard.errors


def iterate(networks, g_optimizers, d_optimizers, times=4):
    g, d = networks
    for _ in range(times):
        for network, optimizers, sign in ((d, d_optimizers, 1.0), (g, g_optimizers, -1.0)):
            network.zero_grad()
            (sign * d(g(torch.ones(5, 2))).mean()).backward()
            for optimizer in optimizers:
                optimizer.step()


def sgd(module):
    return torch.optim.SGD(module.parameters(), lr=0.1)


OPTIMIZERS = [sgd, lambda module: OuterOptimizer(sgd(module)), lambda module: OuterOptimizer(OuterOptimizer(sgd(module)))]


@pytest.mark.parametrize("build", OPTIMIZERS)
def test_an_optimizer_that_wraps_others_steps_once(networks, build):
    recorder, steps, _ = record(networks)
    iterate(networks, [build(networks[0])], [build(networks[1])])
    recorder.close()
    assert [(step.counts["updates_performed/g"], step.counts["updates_performed/d"]) for step in steps] == [(1, 1)] * 4
    assert recorder.index == 4


def test_two_optimizers_of_one_generator_end_a_step_with_the_first(networks):
    recorder, steps, _ = record(networks)
    first, second = (sgd(part) for part in networks[0])
    iterate(networks, [first, second], [sgd(networks[1])])
    assert recorder.index == 4
    iterate(networks, [second], [sgd(networks[1])])  # the first one is no longer stepped
    assert recorder.index == 8
    iterate(networks, [sgd(networks[0])], [sgd(networks[1])])  # a new one after rounds without another
    assert recorder.index == 12
    recorder.close()
    assert sum(step.counts["updates_performed/g"] for step in steps) == 4 * 2 + 4 + 4


def test_an_error_of_a_probes_schedule_is_isolated(networks):
    recorder, steps, failed = record(networks, probes=[BrokenProbe()])
    iterate(networks, [sgd(networks[0])], [sgd(networks[1])], times=3)
    recorder.close()
    assert len(steps) == 3
    assert failed == {"probe broken": 4}
