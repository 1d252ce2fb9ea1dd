"""Batches of reals or of latents that come again and again, and designs in which they do so on purpose."""

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from wiring.loops import BATCH, LATENTS, Loop

NOTHING_FOUND = ("GW005", "GW502", "GW504")


class _RepeatedReals(Loop):
    """Draws reals from a few batches that were drawn at the start of the fault."""

    code = "GW005"
    batches: ClassVar[int] = 1

    def before_step(self) -> None:
        if self.step == max(1, self.start):
            self.kept = [super(_RepeatedReals, self).draw_reals() for _ in range(self.batches)]

    def draw_reals(self) -> Tensor:
        return self.kept[self.step % self.batches] if self.is_on else super().draw_reals()


class SameBatchFromTheStart(_RepeatedReals):
    """The loop draws a batch above the loop."""


class SameBatchFromSomeStep(_RepeatedReals):
    """A cache serves one batch from step 150 on."""

    start = 150


class SameBatchInAnotherOrder(_RepeatedReals):
    """The same batch, shuffled at every step."""

    def draw_reals(self) -> Tensor:
        return super().draw_reals()[torch.randperm(BATCH)]


class _RepeatedLatents(Loop):
    """Draws the same latents at every step."""

    code = "GW005"

    def before_step(self) -> None:
        if self.step == max(1, self.start):
            self.noise = super().draw_latents()

    def draw_latents(self) -> Tensor:
        return self.noise if self.is_on else super().draw_latents()


class SameLatentsFromTheStart(_RepeatedLatents):
    """The fixed noise for pictures is passed in training."""


class SameLatentsFromSomeStep(_RepeatedLatents):
    """The same from step 150 on."""

    start = 150


class SeededAtEveryStep(Loop):
    """A generator of random numbers is created with the same seed at every step."""

    code, start = "GW005", 150

    def before_step(self) -> None:
        if self.is_on:
            self.generator = torch.Generator().manual_seed(7)

    def draw_latents(self) -> Tensor:
        return torch.randn(BATCH, LATENTS, generator=self.generator) if self.is_on else super().draw_latents()


class ConstantLatents(Loop):
    """All latents are zero from step 150 on."""

    code, start = "GW504", 150

    def draw_latents(self) -> Tensor:
        return torch.zeros(BATCH, LATENTS) if self.is_on else super().draw_latents()


class FewLatents(Loop):
    """Eight latents fill every batch, others each time."""

    code, start = "GW504", 150

    def draw_latents(self) -> Tensor:
        latents = super().draw_latents()
        return latents[:8].repeat(BATCH // 8, 1) if self.is_on else latents


class _SmallDataSet(Loop):
    """Epochs over the first few rows, drawn as a shuffling sampler does."""

    silent = NOTHING_FOUND
    rows: ClassVar[int] = 640
    is_shuffled: ClassVar[bool] = True

    def __init__(self, world: str, seed: int) -> None:
        super().__init__(world, seed)
        self.reals, self.order = self.reals[torch.randperm(len(self.reals))[: self.rows]], torch.empty(0, dtype=torch.int64)

    def draw_reals(self) -> Tensor:
        if not len(self.order):
            self.order = torch.randperm(len(self.reals)) if self.is_shuffled else torch.arange(len(self.reals))
        index, self.order = self.order[:BATCH], self.order[BATCH:]
        return self.reals[index]


class TenBatchesInEpochs(_SmallDataSet):
    """640 rows, ten batches an epoch."""

    worlds = "digits", "ring"


class TenBatchesInOrder(_SmallDataSet):
    """640 rows that are read in the same order in every epoch."""

    worlds, is_shuffled = ("digits", "ring"), False


class HundredRows(_SmallDataSet):
    """One hundred rows, as in few-shot training: two batches an epoch."""

    rows = 100


class SixtyRowsAtRandom(Loop):
    """Sixty rows in all, drawn with replacement."""

    silent = NOTHING_FOUND

    def draw_reals(self) -> Tensor:
        return self.reals[:60][torch.randint(60, (BATCH,))]


class SeveralUpdatesOnABatch(Loop):
    """D is updated five times on one batch and the same latents, and G on these latents too."""

    silent = NOTHING_FOUND

    def before_step(self) -> None:
        self.batch, self.latents = super().draw_reals(), super().draw_latents()

    def draw_reals(self) -> Tensor:
        return self.batch

    def draw_latents(self) -> Tensor:
        return self.latents

    def d_phase(self) -> None:
        for _ in range(5):
            super().d_phase()


class TenBatchesInOrderInSeveralUpdates(TenBatchesInOrder):
    """The same data in the same order, five batches for each update of G, so that an epoch is two steps."""

    def d_phase(self) -> None:
        for _ in range(5):
            super().d_phase()


class FiveShotsOfFour(_SmallDataSet):
    """Five samples in all, four in a batch."""

    rows = 5

    def draw_reals(self) -> Tensor:
        return self.reals[torch.randperm(5)[:4]]


class DataSetOfOneBatch(Loop):
    """A loader whose data set is one batch: the user's own choice, since nothing else is there to draw."""

    silent = NOTHING_FOUND
    worlds = ("digits",)

    def __init__(self, world: str, seed: int) -> None:
        super().__init__(world, seed)
        self.loader = DataLoader(TensorDataset(self.reals[:60]), BATCH, shuffle=True)

    def draw_reals(self) -> Tensor:
        real: Tensor = next(iter(self.loader))[0]
        return real


class _DiscreteLatents(Loop):
    """Latents that repeat by design."""

    silent = NOTHING_FOUND
    worlds = ("digits",)


class BinaryLatents(_DiscreteLatents):
    """Bits."""

    def draw_latents(self) -> Tensor:
        return torch.randint(2, (BATCH, LATENTS)).float()


class FewBits(_DiscreteLatents):
    """Three bits, five times each: eight different latents."""

    def draw_latents(self) -> Tensor:
        return nn.functional.pad(torch.randint(2, (BATCH, 3)).float().repeat(1, 5), (0, 1))


class OneHotLatents(_DiscreteLatents):
    """One of sixteen classes."""

    def draw_latents(self) -> Tensor:
        return nn.functional.one_hot(torch.randint(LATENTS, (BATCH,)), LATENTS).float()


class WholeNumberLatents(_DiscreteLatents):
    """Labels as numbers, in every place."""

    def draw_latents(self) -> Tensor:
        return torch.randint(10, (BATCH, 1)).float().repeat(1, LATENTS)


class DirichletLatents(_DiscreteLatents):
    """Points of a simplex, most of them at a corner."""

    def draw_latents(self) -> Tensor:
        return torch.distributions.Dirichlet(torch.full((LATENTS,), 0.01)).sample((BATCH,))


class MaskLatents(_DiscreteLatents):
    """Masks of few shapes: a bar at one of sixteen places or nothing."""

    def draw_latents(self) -> Tensor:
        places = torch.arange(LATENTS)
        start, length = torch.randint(LATENTS, (BATCH, 1)), torch.randint(3, (BATCH, 1))
        return ((places >= start) & (places < start + length)).float()
