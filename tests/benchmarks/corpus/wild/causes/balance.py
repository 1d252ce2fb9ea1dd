"""Balance: one network that is too fast, too slow, too small, or sees nothing."""

from __future__ import annotations

from typing import ClassVar

import torch
from corpus.wild.causes.cause import Cause
from torch import Tensor, nn


class _Rates(Cause):
    """Learning rates that are multiplied from a step on, by role."""

    changed: ClassVar[dict[str, float]]

    def schedule(self) -> None:
        super().schedule()
        if self.is_on:
            self.factors.update(self.changed)


class FastDiscriminator(_Rates):
    """A discriminator's learning rate twenty times as high."""

    codes = ("GW201", "GW302")
    fact, sets_in = False, False
    losses = ("minimax", "bce", "probability-bce", "hinge", "least-squares")
    without = ("spectral", "upsampling")
    changed: ClassVar[dict[str, float]] = {"d": 20.0}


class ManyDiscriminatorUpdates(_Rates):
    """Ten updates of the discriminator for each of the generator, at five times its rate."""

    codes = ("GW201", "GW302")
    fact, sets_in = False, False
    worlds = ("ring", "signals", "digits")
    losses = ("minimax", "probability-bce", "least-squares")
    networks = ("mlp", "batch-norm", "selu")
    changed: ClassVar[dict[str, float]] = {"d": 5.0}

    def schedule(self) -> None:
        super().schedule()
        self.d_steps = 10 if self.is_on else self.d_steps


class FastGenerator(_Rates):
    """A generator's learning rate twenty times as high."""

    codes = ("GW202", "GW101", "GW304")
    fact = False
    losses = ("minimax", "bce", "probability-bce", "hinge", "least-squares")
    without = ("spectral", "upsampling")
    changed: ClassVar[dict[str, float]] = {"g": 20.0}


class SlowDiscriminator(_Rates):
    """A discriminator's learning rate a three-hundredth of what it should be."""

    codes = ("GW202", "GW101", "GW002", "GW304")
    fact = False
    changed: ClassVar[dict[str, float]] = {"d": 1.0 / 300.0}


class RareDiscriminatorUpdates(_Rates):
    """A discriminator that is updated at one step in two hundred, before a generator five times as fast."""

    codes = ("GW202", "GW101", "GW304")
    fact = False
    without = ("combined",)
    changed: ClassVar[dict[str, float]] = {"g": 5.0}

    def d_phase(self) -> None:
        if not self.is_on or self.step % 200 == 0:
            super().d_phase()


class LinearDiscriminator(Cause):
    """A discriminator of a single layer."""

    codes = ("GW202", "GW101", "GW304", "GW403")
    fact, sets_in = False, False

    def make_critic(self, shape: tuple[int, ...]) -> nn.Sequential:
        return nn.Sequential(nn.Flatten(), nn.Linear(int(torch.Size(shape).numel()), 1))


class LargeOnFewSamples(Cause):
    """A wide discriminator on forty training samples."""

    codes = ("GW203", "GW103", "GW502", "GW201")
    fact, sets_in, more_steps = False, False, 800
    worlds = ("digits", "signals", "table")

    def configure(self) -> None:
        super().configure()
        self.pool, self.pool_labels = self.pool[:40], self.pool_labels[:40]

    def make_critic(self, shape: tuple[int, ...]) -> nn.Sequential:
        size = int(torch.Size(shape).numel())
        return nn.Sequential(
            nn.Flatten(), nn.Linear(size, 512), nn.LeakyReLU(0.2), nn.Linear(512, 512), nn.LeakyReLU(0.2), nn.Linear(512, 1)
        )


class LoudInstanceNoise(Cause):
    """Noise on reals and fakes in which nothing can be seen."""

    codes = ("GW202", "GW403")
    fact, sets_in = False, False
    noise = 20.0

    def show(self, samples: Tensor) -> Tensor:
        samples = super().show(samples)
        return samples + self.noise * torch.randn_like(samples) if self.is_on else samples


class HalfTargets(Cause):
    """Targets that are smoothed to one half on both sides."""

    codes = ("GW202", "GW003")
    losses = ("bce", "minimax", "smoothed-bce", "logistic-r1")

    def d_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        if not self.is_on:
            return super().d_loss(real, fake)
        both = torch.cat([real, fake])
        return nn.functional.binary_cross_entropy_with_logits(both, torch.full_like(both, 0.5))


class SkippedWhenStrong(Cause):
    """A rule that skips the discriminator's update while its loss is low, with a bound that it never leaves again."""

    codes = ("GW001", "GW202")
    starts = False
    skips = 0

    def update(self, role: str) -> None:
        if role == "g" or not self.is_on:
            super().update(role)
