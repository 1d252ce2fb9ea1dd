"""Facts about the loop: gradients that are cleared or not, updates that are taken back or not."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812  # the usual name

import ganwatch
from ganwatch.sinks.memory import MemorySink


class Loop:
    """A loop of small networks whose ways of clearing a test chooses."""

    def __init__(self, *, clear="before", accumulate=1, clip=False, scaled=False, closure=False, d_updates=1, freeze=False):
        torch.manual_seed(0)
        self.g = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 2))
        self.d = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 1))
        self.optimizers = {role: torch.optim.Adam(getattr(self, role).parameters()) for role in ("g", "d")}
        self.clear, self.accumulate, self.clip, self.closure, self.freeze = clear, accumulate, clip, closure, freeze
        self.d_updates = d_updates
        self.scaler = torch.amp.GradScaler("cpu", enabled=scaled)

    def loss(self, role):
        fake = self.g(torch.randn(8, 4))
        if role == "g":
            return F.softplus(-self.d(fake)).mean()
        return F.softplus(-self.d(torch.randn(8, 2))).mean() + F.softplus(self.d(fake.detach())).mean()

    def zero(self, role, *, is_before):
        parameters = list(getattr(self, role).parameters())
        if self.clear == "none" and is_before:
            for parameter in parameters:
                parameter.grad = None
        elif self.clear == "data" and is_before:
            for parameter in parameters:
                if parameter.grad is not None:
                    parameter.grad.data.zero_()
        elif self.clear == ("before" if is_before else "after"):
            self.optimizers[role].zero_grad()
        elif self.clear == "to zero" and is_before:
            self.optimizers[role].zero_grad(set_to_none=False)
        elif self.clear == "g only" and role == "g" and is_before:
            self.g.zero_grad()

    def compute(self, role):
        self.zero(role, is_before=True)
        for _ in range(self.accumulate):
            self.scaler.scale(self.loss(role)).backward()
        if self.clip:
            self.scaler.unscale_(self.optimizers[role])
            torch.nn.utils.clip_grad_norm_(getattr(self, role).parameters(), 0.1)
        return 0.0

    def update(self, role):
        if self.freeze:
            self.d.requires_grad_(role == "d")
        if self.closure:
            self.optimizers[role].step(lambda: self.compute(role))
        else:
            self.compute(role)
            self.scaler.step(self.optimizers[role])
        self.zero(role, is_before=False)

    def after_update(self):
        pass

    def run(self, steps=60):
        sink = MemorySink()
        with ganwatch.watch(G=self.g, D=self.d, store=None, sinks=[sink], audit_seconds=0.0) as watching:
            for _ in range(steps):
                for _ in range(self.d_updates):
                    self.update("d")
                self.update("g")
                self.scaler.update()
                self.after_update()
        assert watching.observer.guard.errors == {}
        return sink


def values(sink, name):
    return set(sink.series(name)[1])


CLEARED = [
    {},
    {"clear": "none", "clip": True},
    {"clear": "data"},
    {"clear": "to zero", "accumulate": 3},
    {"clear": "after", "freeze": True, "accumulate": 2},
    {"scaled": True, "clip": True},
    {"closure": True},
    {"closure": True, "clear": "data", "d_updates": 3},
]


@pytest.mark.parametrize("how", CLEARED, ids=str)
def test_gradients_that_are_cleared_in_any_way_are_not_kept(how):
    sink = Loop(**how).run()
    assert [values(sink, f"gradient_{what}/{role}") for what in ("kept", "left") for role in ("g", "d")] == [{0.0}] * 4


@pytest.mark.parametrize(
    "how", [{}, {"clip": True}, {"scaled": True, "clip": True}, {"closure": True}, {"accumulate": 2, "d_updates": 3}], ids=str
)
def test_gradients_that_nothing_clears_are_kept(how):
    sink = Loop(clear="g only", **how).run()
    assert (values(sink, "gradient_kept/d"), values(sink, "gradient_kept/g")) == ({1.0}, {0.0})


def test_gradients_of_the_other_loss_are_left_if_they_are_cleared_too_early():
    sink = Loop(clear="after").run()
    assert (values(sink, "gradient_kept/d"), values(sink, "gradient_left/d"), values(sink, "gradient_left/g")) == ({0.0}, {1.0}, {0.0})


class TakesBack(Loop):
    """After each step G's weights are those of before, but for a share."""

    share = 0.01

    def __init__(self):
        super().__init__()
        self.weights = [parameter.detach().clone() for parameter in self.g.parameters()]

    def after_update(self):
        for weight, parameter in zip(self.weights, self.g.parameters(), strict=True):
            parameter.data.copy_(weight.lerp_(parameter.data, self.share))


def test_updates_that_are_taken_back_are_seen():
    sink = TakesBack().run()
    assert values(sink, "update_kept/d") == {1.0}
    assert all(value == pytest.approx(0.01, abs=0.005) for value in sink.series("update_kept/g")[1])


class Clips(Loop):
    """A loop that clips D's weights after its updates."""

    def after_update(self):
        for parameter in self.d.parameters():
            parameter.data.clamp_(-0.1, 0.1)


def test_clipped_weights_are_no_update_that_was_taken_back():
    sink = Clips().run()
    assert values(sink, "update_kept/d") == {1.0}
