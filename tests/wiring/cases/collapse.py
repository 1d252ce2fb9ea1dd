"""Collapses from the start and of half of the kinds, and trainings that only look like them."""

from __future__ import annotations

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn

from wiring.loops import Loop


def label_reals(world: str, reals: Tensor) -> Tensor:
    """Return the kind of each real, shape (N,): its digit, or its point of the ring."""
    if world == "digits":
        return torch.from_numpy(load_digits().target).long()
    return ((torch.atan2(reals[:, 1], reals[:, 0]) / (2.0 * torch.pi) * 8.0).round() % 8).long()


class CollapseFromStart(Loop):
    """The generator learns fifty times faster than it should, and the discriminator ten times slower."""

    code = "GW101"
    worlds = ("ring",)
    within = 320
    rates = 2.5e-2, 5e-5


class FewKinds(Loop):
    """From a step on, the generator's loss has a term that punishes the second half of the kinds."""

    code = "GW101"
    worlds = ("ring",)
    start, steps, within = 500, 900, 300
    rates = 1e-3, 1e-3
    weight = 3.0

    def __init__(self, world: str, seed: int) -> None:
        super().__init__(world, seed)
        rows, kinds = self.reals.flatten(1), label_reals(world, self.reals)
        self.centres = torch.stack([rows[kinds == kind].mean(0) for kind in range(int(kinds.max()) + 1)])
        self.width = torch.cdist(self.centres, self.centres).mean() / 6.0

    def g_phase(self) -> None:
        if not self.is_on:
            super().g_phase()
            return
        self.clear(self.g_optimizer)
        fake = self.g(self.draw_latents())
        kinds = torch.softmax(-torch.cdist(fake.flatten(1), self.centres) / self.width, 1)
        loss = self.g_loss(self.d(fake)) + self.weight * kinds[:, len(self.centres) // 2 :].sum(1).mean()
        loss.backward()
        self.g_optimizer.step()


class SlowStart(Loop):
    """A generator and a discriminator that are warmed up over the whole training."""

    silent = ("GW101", "GW401")
    steps = 700
    peak = 2e-5

    def before_step(self) -> None:
        for optimizer in (self.g_optimizer, self.d_optimizer):
            for group in optimizer.param_groups:
                group["lr"] = self.peak * min(1.0, self.step / 600)


class SlowGenerator(Loop):
    """A generator that learns slowly from small weights, so that its first fakes are alike."""

    silent = ("GW101",)
    steps = 420
    worlds = ("ring",)
    rates = 2e-5, 2e-5

    def make_generator(self) -> nn.Module:
        generator = super().make_generator()
        plain = nn.Sequential(*(layer for layer in generator if not isinstance(layer, nn.BatchNorm1d)))
        for layer in plain:
            if isinstance(layer, nn.Linear):
                nn.init.normal_(layer.weight, 0.0, 0.02)
        return plain


class LongRun(Loop):
    """A long training with small batches, whose energy distance is noisy."""

    silent = ("GW101", "GW401")
    steps = 2000
    worlds = ("ring", "digits")

    def draw_reals(self) -> Tensor:
        return super().draw_reals()[:16]

    def draw_latents(self) -> Tensor:
        return super().draw_latents()[:16]
