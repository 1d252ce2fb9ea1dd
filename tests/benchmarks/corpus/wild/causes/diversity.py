"""Diversity: latents that carry nothing, generators that cannot use them, and losses that reward what is all the same."""

from __future__ import annotations

import torch
from corpus.wild.causes.cause import Cause
from corpus.wild.loop import Batch
from torch import Tensor, nn


class _Latents(Cause):
    """Latents that are changed from a step on."""

    def change(self, latents: Tensor) -> Tensor:
        """Return what the fault makes of latents."""
        raise NotImplementedError

    def draw_latents(self, count: int) -> Tensor:
        latents = super().draw_latents(count)
        return self.change(latents) if self.is_on else latents


class ZeroLatents(_Latents):
    """Latents of zeros."""

    codes = ("GW504",)

    def change(self, latents: Tensor) -> Tensor:
        return torch.zeros_like(latents)


class OneLatent(_Latents):
    """One latent that is expanded over the batch."""

    codes = ("GW504",)

    def change(self, latents: Tensor) -> Tensor:
        return latents[:1].expand_as(latents)


class FewLatents(_Latents):
    """Latents drawn from four fixed ones."""

    codes = ("GW504", "GW005")

    def change(self, latents: Tensor) -> Tensor:
        few = torch.randn(4, self.latents, generator=torch.Generator().manual_seed(1))
        return few[torch.randint(4, (len(latents),))]


class TinyLatents(_Latents):
    """Latents whose scale falls to a hundredth."""

    codes = ("GW504",)
    starts = False

    def change(self, latents: Tensor) -> Tensor:
        return 0.01 * latents


class LargeLatents(_Latents):
    """Latents whose scale rises tenfold."""

    codes = ("GW504",)
    starts = False

    def change(self, latents: Tensor) -> Tensor:
        return 10.0 * latents


class RepeatedLatents(_Latents):
    """A sampler with a buffer that is not refilled: each latent comes eight times in a batch."""

    codes = ("GW504",)

    def change(self, latents: Tensor) -> Tensor:
        return latents[torch.arange(len(latents)) // 8]


class OneDimension(Cause):
    """Latents of one dimension."""

    codes = ("GW101", "GW102", "GW403")
    fact, sets_in = False, False
    worlds = ("digits", "enlarged", "signals")

    def configure(self) -> None:
        super().configure()
        self.latents = 1


class LatentsIgnored(Cause):
    """A first layer whose weights are zero and frozen."""

    codes = ("GW101", "GW301", "GW001")
    without = ("digits",)

    def before_step(self) -> None:
        super().before_step()
        if self.begins:
            first = next(part for part in self.g.modules() if isinstance(part, nn.Linear))
            nn.init.zeros_(first.weight)
            first.weight.requires_grad = False


class _Term(Cause):
    """A term of the generator's loss that asks for something of its samples from a step on."""

    def ask(self, samples: Tensor) -> Tensor:
        """Return the term."""
        raise NotImplementedError

    def g_term(self, fake: Batch) -> Tensor | None:
        return self.ask(fake.samples) if self.is_on else None


class MeanMatching(_Term):
    """A generator's loss that compares the mean of a batch and nothing else."""

    codes = ("GW101",)
    fact = False

    def g_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        loss = super().g_loss(real, fake)
        return 0.0 * loss if self.is_on else loss

    def ask(self, samples: Tensor) -> Tensor:
        rows = samples.flatten(1)
        return ((rows.mean(0) - self.pool.flatten(1).mean(0)) ** 2).sum() + 0.1 * rows.var(0).sum()


class VarianceReward(_Term):
    """A regulariser of the generator that rewards fakes which are alike."""

    codes = ("GW101",)
    fact = False

    def ask(self, samples: Tensor) -> Tensor:
        return 10.0 * samples.flatten(1).var(0).sum()


class NarrowGenerator(Cause):
    """A generator with a layer of one unit."""

    codes = ("GW101", "GW102", "GW403", "GW201")
    fact, sets_in = False, False
    worlds = ("digits", "enlarged", "signals")

    def make_body(self, latents: int, shape: tuple[int, ...]) -> nn.Sequential:
        size = int(torch.Size(shape).numel())
        narrow = (nn.Linear(latents, 1), nn.Tanh(), nn.Linear(1, 16), nn.ReLU())
        return nn.Sequential(*narrow, nn.Linear(16, size), nn.Unflatten(1, shape))


class OneTargetOnly(_Term):
    """A reconstruction term towards one sample, left over from a test of the loop."""

    codes = ("GW101",)
    fact = False

    def ask(self, samples: Tensor) -> Tensor:
        return 20.0 * (samples - self.pool[0]).square().mean()


class KindPunished(_Term):
    """A term that punishes fakes on one side of the data, as a guidance with the wrong sign."""

    codes = ("GW101", "GW102")
    fact = False
    worlds = ("ring", "digits", "signals", "photos", "enlarged")

    def ask(self, samples: Tensor) -> Tensor:
        rows, kinds = self.pool.flatten(1), torch.unique(self.pool_labels)
        centres = torch.stack([rows[self.pool_labels == kind].mean(0) for kind in kinds])
        near = torch.softmax(-torch.cdist(samples.flatten(1), centres) / torch.cdist(centres, centres).mean() * 6.0, 1)
        return 5.0 * near[:, len(centres) // 2 :].sum(1).mean()
