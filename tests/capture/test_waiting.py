"""Events that wait over several steps give the readings that they give when each is handled at once, whatever changes in between."""

from __future__ import annotations

import gc
import weakref

import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812  # the usual name

import ganwatch
from ganwatch.capture.event_stream import MAX_EVENTS
from ganwatch.session.defaults import default_probes
from ganwatch.sinks.memory import MemorySink

STEPS = 100
COMPARED = ("loss/", "updates_", "calls/", "learning_rate/")


class Loop:
    """A loop of small networks that a test changes from within; ``losses`` has those that were back-propagated, by step."""

    def __init__(self):
        torch.manual_seed(0)
        self.g, self.d = nn.Linear(4, 2), nn.Linear(2, 1)
        self.optimizers = {"g": torch.optim.Adam(self.g.parameters()), "d": torch.optim.Adam(self.d.parameters())}
        self.step = 0
        self.losses = {}

    def fake(self):
        return self.g(torch.randn(8, 4))

    def backward(self, role, loss):
        loss.backward()
        self.losses[self.step, role] = self.losses.get((self.step, role), 0.0) + loss.item()

    def update_d(self):
        self.optimizers["d"].zero_grad()
        self.backward("d", F.softplus(-self.d(torch.randn(8, 2))).mean() + F.softplus(self.d(self.fake().detach())).mean())
        self.optimizers["d"].step()

    def update_g(self):
        self.optimizers["g"].zero_grad()
        self.backward("g", F.softplus(-self.d(self.fake())).mean())
        self.optimizers["g"].step()

    def run(self):
        for self.step in range(1, STEPS + 1):
            self.update_d()
            self.update_g()
        return self


class InPlaceLoop(Loop):
    """Losses are changed in place after their backward passes, for a line of a log."""

    def update_d(self):
        self.optimizers["d"].zero_grad()
        on_real = F.softplus(-self.d(torch.randn(8, 2))).mean()
        self.backward("d", on_real)
        on_fake = F.softplus(self.d(self.fake().detach())).mean()
        self.backward("d", on_fake)
        on_real += on_fake
        self.optimizers["d"].step()

    def update_g(self):
        self.optimizers["g"].zero_grad()
        loss = F.softplus(-self.d(self.fake())).mean()
        self.backward("g", loss)
        self.optimizers["g"].step()
        loss.detach().zero_()


class TwiceLoop(Loop):
    """D's optimizer steps once more without a backward pass, and the update after it has two losses."""

    def update_d(self):
        if self.step != 34:
            super().update_d()
        if self.step == 33:
            self.optimizers["d"].step()
        if self.step == 34:
            self.optimizers["d"].zero_grad()
            self.backward("d", self.d(torch.randn(8, 2)).mean())
            self.backward("d", self.d(self.fake().detach()).square().mean())
            self.optimizers["d"].step()


class RaisingAdam(torch.optim.Adam):
    raises = False

    def step(self, closure=None):
        if self.raises:
            raise RuntimeError("a batch that cannot be used")
        return super().step(closure)


class RaisingStepLoop(Loop):
    """A step of G's optimizer raises an error, and the loop goes on with a new optimizer."""

    def __init__(self):
        super().__init__()
        self.optimizers["g"] = RaisingAdam(self.g.parameters())

    def update_g(self):
        if self.step == 47:
            self.optimizers["g"].raises = True
            with pytest.raises(RuntimeError, match="a batch that cannot be used"):
                super().update_g()
            self.optimizers["g"] = torch.optim.Adam(self.g.parameters())
        else:
            super().update_g()


class HostileOptimizer(torch.optim.Optimizer):
    """A name that it does not have raises something else than AttributeError."""

    def __init__(self, parameters):
        super().__init__(parameters, {"lr": 1e-3})

    def __getattr__(self, name):
        raise KeyError(name)

    @torch.no_grad()
    def step(self):
        for parameter in self.param_groups[0]["params"]:
            parameter.sub_(parameter.grad, alpha=1e-3)


class HostileOptimizerLoop(Loop):
    def __init__(self):
        super().__init__()
        self.optimizers["d"] = HostileOptimizer(self.d.parameters())


class CompiledLaterLoop(Loop):
    def update_d(self):
        if self.step == 47:
            self.d.compile(backend="eager")
        super().update_d()


class NewOptimizersLoop(Loop):
    """Every step has new optimizers."""

    def update_d(self):
        self.optimizers = {role: torch.optim.SGD(network.parameters(), lr=1e-3) for role, network in (("g", self.g), ("d", self.d))}
        super().update_d()


def watched(loop, every=None):
    probes, sink = default_probes(), MemorySink()
    for probe in probes:
        probe.every = every or probe.every
    with ganwatch.watch(loop.g, loop.d, store=None, sinks=[sink], probes=probes, audit_seconds=0.0) as watching:
        loop.run()
    values = [{name: value for name, value in one.values.items() if name.startswith(COMPARED)} for one in sink.steps]
    return loop, watching.observer, values


@pytest.mark.filterwarnings("ignore:The .grad attribute:UserWarning")  # the compiler's own
@pytest.mark.parametrize(
    "loop_class", [Loop, InPlaceLoop, TwiceLoop, RaisingStepLoop, HostileOptimizerLoop, CompiledLaterLoop, NewOptimizersLoop]
)
def test_waiting_changes_no_reading_and_no_weight(loop_class):
    alone = loop_class().run()
    loop, observer, values = watched(loop_class())
    at_once = watched(loop_class(), every=1)[2]
    assert all(map(torch.equal, [*alone.g.parameters(), *alone.d.parameters()], [*loop.g.parameters(), *loop.d.parameters()]))
    assert len(values) == STEPS - (loop_class is RaisingStepLoop)  # one step has no update
    assert values[-1]["calls/d"] == 3
    shared = [name for name in at_once[0] if not name.startswith("learning_rate/")]
    assert [{name: one[name] for name in shared} for one in values] == [{name: one[name] for name in shared} for one in at_once]
    if loop_class is not RaisingStepLoop:
        assert [one["loss/g"] for one in values] == pytest.approx([loop.losses[step, "g"] for step in range(1, STEPS + 1)])
        assert [one["loss/d"] for one in values] == pytest.approx([loop.losses[step, "d"] for step in range(1, STEPS + 1)])
    assert not observer.guard.errors


def test_events_of_others_do_not_pile_up():
    loop, other = Loop(), nn.Linear(4, 1)
    with ganwatch.watch(loop.g, loop.d, store=None, audit_seconds=0.0) as watching:
        stream = watching.observer._recorder.stream
        for _ in range(2):  # before the first step, and after some
            for _ in range(3 * MAX_EVENTS):
                other(torch.randn(2, 4)).sum().backward()
            assert len(stream.queue) <= MAX_EVENTS
            loop.run()


def test_nothing_of_a_training_is_kept_alive():
    loop = Loop()
    with ganwatch.watch(loop.g, loop.d, store=None, audit_seconds=0.0):
        loop.run()
        old = [weakref.ref(optimizer) for optimizer in loop.optimizers.values()]
        loop.optimizers = {role: torch.optim.SGD(network.parameters(), lr=1e-3) for role, network in (("g", loop.g), ("d", loop.d))}
        loop.run()
        gc.collect()
        assert [reference() for reference in old] == [None, None]
