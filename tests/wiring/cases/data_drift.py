"""Real data that lose kinds during the training, and data that change by design."""

from __future__ import annotations

import torch
from torch import Tensor

from wiring.cases.collapse import label_reals
from wiring.loops import BATCH, Loop


class _KindsLost(Loop):
    """From a step on, the loader delivers some kinds no more."""

    code = "GW402"
    worlds = ("digits", "ring")
    start, steps, within = 500, 1000, 320
    lost = 3

    def __init__(self, world: str, seed: int) -> None:
        super().__init__(world, seed)
        self.rest = self.reals[label_reals(world, self.reals) >= self.lost]

    def draw_reals(self) -> Tensor:
        pool = self.rest if self.is_on else self.reals
        return pool[torch.randint(len(pool), (BATCH,))]


class ThreeKindsLost(_KindsLost):
    """Three kinds are lost."""


class OneKindLost(_KindsLost):
    """One kind is lost."""

    lost = 1


class SourceRunsOut(_KindsLost):
    """One of two mixed sources runs out: half of the kinds are lost."""

    lost = 5


class ShuffledEpochs(Loop):
    """Data that are shuffled anew for each epoch."""

    steps = 1000

    def __init__(self, world: str, seed: int) -> None:
        super().__init__(world, seed)
        self.rest = torch.empty(0, dtype=torch.int64)

    def draw_reals(self) -> Tensor:
        if len(self.rest) < BATCH:
            self.rest = torch.randperm(len(self.reals))
        places, self.rest = self.rest[:BATCH], self.rest[BATCH:]
        return self.reals[places]


class _Augmented(Loop):
    """A training that augments reals and fakes before the discriminator gets them."""

    worlds = ("digits",)
    steps = 1200

    def change(self, samples: Tensor) -> Tensor:
        """Return changed samples."""
        raise NotImplementedError

    def draw_reals(self) -> Tensor:
        return self.change(super().draw_reals())

    def d_phase(self) -> None:
        self.clear(self.d_optimizer)
        fake = self.change(self.g(self.draw_latents()).detach())
        self.d_loss(self.d(self.draw_reals()), self.d(fake)).backward()
        self.d_optimizer.step()

    def g_phase(self) -> None:
        self.clear(self.g_optimizer)
        self.g_loss(self.d(self.change(self.g(self.draw_latents())))).backward()
        self.g_optimizer.step()


class AugmentationThatGrows(_Augmented):
    """Random shifts by a pixel whose share grows through the training, as with adaptive augmentation."""

    def change(self, samples: Tensor) -> Tensor:
        share = min(0.8, self.step / 1000)
        is_left, is_changed = (torch.rand(len(samples), 1, 1, 1) < bound for bound in (0.5, share))
        shifted = torch.where(is_left, torch.roll(samples, -1, 3), torch.roll(samples, 1, 3))
        return torch.where(is_changed, shifted, samples)


class InstanceNoiseThatFades(_Augmented):
    """Noise on reals and fakes that falls to zero (Sønderby et al., 2017, arXiv:1610.04490)."""

    def change(self, samples: Tensor) -> Tensor:
        return samples + 0.5 * max(0.0, 1.0 - self.step / 800) * torch.randn_like(samples)
