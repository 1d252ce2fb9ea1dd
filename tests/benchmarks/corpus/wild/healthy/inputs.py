"""Inputs: batches, resolution, augmentation, noise, labels and latents."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from corpus.wild.healthy.variant import Variant
from corpus.wild.loop import Batch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812


class GrowingBatch(Variant):
    """Batches that are doubled twice."""

    styles = ("plain", "generator-first", "frozen")

    def before_step(self) -> None:
        super().before_step()
        if self.step in {self.plan.steps // 3, 2 * self.plan.steps // 3}:
            self.batch *= 2


class GrowingResolution(Variant):
    """Images that are coarse in the first third."""

    worlds = ("photos", "enlarged", "digits")

    def spoil(self, samples: Tensor) -> Tensor:
        if self.step > self.plan.steps // 3:
            return samples
        return F.interpolate(F.avg_pool2d(samples, 2), scale_factor=2.0)


class FlipsOfBothSides(Variant):
    """Reals and fakes are flipped and shifted at random before the discriminator gets them."""

    worlds = ("photos", "enlarged", "signals")

    def show(self, samples: Tensor) -> Tensor:
        if self.world.name == "photos":
            mask = torch.rand(len(samples), 1, 1, 1) < 0.5
            return torch.where(mask, samples.flip(3), samples)
        shift = int(torch.randint(-1, 2, ()))
        return samples.roll(shift, -1)


class FadingNoise(Variant):
    """Noise on reals and fakes that fades to nothing (Sønderby et al., 2017, arXiv:1610.04490)."""

    def show(self, samples: Tensor) -> Tensor:
        level = 0.3 * max(0.0, 1.0 - 2.0 * self.step / self.plan.steps)
        return samples + level * torch.randn_like(samples) if level else samples


class ReplayedFakes(Variant):
    """Half of the discriminator's fakes come from a buffer of earlier ones (Shrivastava et al., 2017, arXiv:1612.07828)."""

    without = ("digits", "reused", "wgan-gp")
    size = 256
    buffer: Tensor | None = None

    def fakes_for_d(self) -> Batch:
        fakes = super().fakes_for_d()
        buffer = fakes.samples if self.buffer is None else self.buffer
        half = len(fakes.samples) // 2
        mixed = torch.cat([fakes.samples[:half], buffer[torch.randint(len(buffer), (len(fakes.samples) - half,))]])
        self.buffer = torch.cat([fakes.samples[:half], buffer])[: self.size]
        return Batch(mixed, fakes.labels)


class FlippedLabels(Variant):
    """One label in twenty of the discriminator's is flipped."""

    losses = ("bce", "minimax", "probability-bce", "smoothed-bce", "least-squares")

    def score_both(self, real: Batch, fake: Batch) -> tuple[Tensor, Tensor]:
        first, second = super().score_both(real, fake)
        flipped = torch.rand(len(first), 1) < 0.05
        return torch.where(flipped, second, first), torch.where(flipped, first, second)


class UniformLatents(Variant):
    """Latents from a cube."""

    def draw_latents(self, count: int) -> Tensor:
        return 2.0 * torch.rand(count, self.latents) - 1.0

    def truth_latents(self, count: int) -> Tensor:
        return 2.0 * torch.rand(count, self.latents, generator=torch.Generator().manual_seed(0)) - 1.0


class OrderedEpochs(Variant):
    """Reals in the same order in every epoch."""

    def read(self) -> Iterator[tuple[Tensor, Tensor]]:
        while True:
            for start in range(0, len(self.pool) - self.batch + 1, self.batch):
                yield self.pool[start : start + self.batch], self.pool_labels[start : start + self.batch]
