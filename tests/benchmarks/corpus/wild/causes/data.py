"""Data: ranges, corrupt batches, kinds that go, and few samples."""

from __future__ import annotations

import copy
from typing import ClassVar

import numpy as np
import torch
from corpus.wild.causes.cause import Cause
from corpus.wild.loop import Batch
from torch import Tensor

IMAGES = ("photos", "enlarged", "digits")
BOUNDED = (*IMAGES, "signals")


class _Spoiled(Cause):
    """Real samples that are changed from a step on."""

    def change(self, samples: Tensor) -> Tensor:
        """Return what the fault makes of real samples."""
        raise NotImplementedError

    def spoil(self, samples: Tensor) -> Tensor:
        samples = super().spoil(samples)
        return self.change(samples) if self.is_on else samples


class PixelsOfBytes(_Spoiled):
    """Reals of 0…255 against a generator that ends in a tanh."""

    codes = ("GW501",)
    worlds = BOUNDED

    def change(self, samples: Tensor) -> Tensor:
        return (samples + 1.0) * 127.5


class StandardisedReals(_Spoiled):
    """Standardised reals against a generator that ends in a tanh."""

    codes = ("GW501",)
    worlds = ("digits", "enlarged", "photos")

    def change(self, samples: Tensor) -> Tensor:
        return (samples - self.pool.mean()) / self.pool.std()


class NormalisedTwice(_Spoiled):
    """Reals that are divided by 255 once more."""

    codes = ("GW501",)
    starts = False

    def change(self, samples: Tensor) -> Tensor:
        return samples / 255.0


class UnitsChanged(_Spoiled):
    """Values in thousandths, as after a change of the unit upstream."""

    codes = ("GW501",)
    starts = False
    worlds = ("table", "ring", "grid", "signals")

    def change(self, samples: Tensor) -> Tensor:
        return samples * 1000.0


class BlankBatches(_Spoiled):
    """Batches of zeros, as of files that cannot be read."""

    codes = ("GW502",)

    def change(self, samples: Tensor) -> Tensor:
        return torch.zeros_like(samples)


class MissingValues(_Spoiled):
    """One value in a batch is missing, in every batch."""

    codes: ClassVar[tuple[str, ...]] = ("GW502",)
    without = ("probability-bce",)  # its loss refuses what is not a number

    def change(self, samples: Tensor) -> Tensor:
        samples = samples.clone()
        samples[0].view(-1)[0] = float("nan")
        return samples


class OneBrokenBatch(MissingValues):
    """One single batch has values that are not numbers."""

    codes = ("GW502", "GW303")
    starts = False

    def change(self, samples: Tensor) -> Tensor:
        return super().change(samples) if self.begins else samples


class ConstantSamples(_Spoiled):
    """Most samples of a batch are one gray value each, as of corrupt files."""

    codes = ("GW502",)
    worlds = BOUNDED

    def change(self, samples: Tensor) -> Tensor:
        corrupt = torch.rand(len(samples)) < 0.8
        levels = torch.rand(len(samples)).view(-1, *[1] * (samples.dim() - 1)) * 2.0 - 1.0
        return torch.where(corrupt.view_as(levels), levels.expand_as(samples), samples)


class SampleRepeated(_Spoiled):
    """A sampler that returns one item for most of a batch."""

    codes = ("GW502",)

    def change(self, samples: Tensor) -> Tensor:
        repeated = torch.arange(len(samples)) % 10 > 0
        return torch.where(repeated.view(-1, *[1] * (samples.dim() - 1)), samples[:1], samples)


class FewRows(Cause):
    """Five rows of the data, over and over."""

    codes = ("GW502", "GW005")

    def next_real(self) -> Batch:
        batch = super().next_real()
        if not self.is_on:
            return batch
        places = torch.randint(5, (self.batch,))
        return Batch(self.pool[places], self.pool_labels[places])


class Transposed(_Spoiled):
    """Images whose axes are swapped from a step on."""

    codes = ("GW402",)
    starts = False
    worlds = IMAGES

    def change(self, samples: Tensor) -> Tensor:
        return samples.transpose(2, 3)


class Inverted(_Spoiled):
    """Values whose sign is swapped from a step on, as by another colour map."""

    codes = ("GW402",)
    starts = False
    worlds = (*BOUNDED, "table")

    def change(self, samples: Tensor) -> Tensor:
        if not self.world.categories:
            return -samples
        columns = samples.shape[1] - sum(self.world.categories)
        return torch.cat([-samples[:, :columns], samples[:, columns:]], 1)


class HarshAugmentation(_Spoiled):
    """From a step on the reals alone are augmented harshly: rolled, inverted and cut."""

    codes = ("GW402",)
    starts = False
    worlds = IMAGES

    def change(self, samples: Tensor) -> Tensor:
        size = samples.shape[-1]
        samples = torch.where(torch.rand(len(samples), 1, 1, 1) < 0.5, -samples, samples).roll(size // 2, 3).clone()
        samples[:, :, : size // 2] = 0.0
        return samples


class KindsLost(Cause):
    """From a step on the loader delivers some kinds no more."""

    codes: ClassVar[tuple[str, ...]] = ("GW402",)
    starts = False
    lost = 3

    def next_real(self) -> Batch:
        if not self.is_on:
            return super().next_real()
        kept = torch.nonzero(self.pool_labels >= self.lost).flatten()
        places = kept[torch.randint(len(kept), (self.batch,))]
        return Batch(self.pool[places], self.pool_labels[places])


class OneKindLost(KindsLost):
    """From a step on the loader delivers one kind no more."""

    lost = 1
    without = ("grid",)


class SourceLost(KindsLost):
    """From a step on one kind alone comes, as of a mixed source of which the rest has run out."""

    codes = ("GW402", "GW101")

    @property
    def lost(self) -> int:  # type: ignore[override]
        """The last kind remains."""
        return self.world.kinds - 1


class SortedByClass(Cause):
    """The data come sorted by class, thirty batches of each in turn."""

    codes = ("GW402", "GW304")
    run = 30

    def next_real(self) -> Batch:
        if not self.is_on:
            return super().next_real()
        kinds = torch.unique(self.pool_labels)
        kept = torch.nonzero(self.pool_labels == kinds[self.step // self.run % len(kinds)]).flatten()
        places = kept[torch.randint(len(kept), (self.batch,))]
        return Batch(self.pool[places], self.pool_labels[places])


class RareKinds(Cause):
    """Half of the kinds have one sample in forty of what they had: the generator may drop them."""

    codes = ("GW102",)
    fact, sets_in = False, False
    ratio = 0.025

    def configure(self) -> None:
        super().configure()
        drawn = torch.rand(len(self.pool), generator=torch.Generator().manual_seed(1))
        kept = (self.pool_labels % 2 == 0) | (drawn < self.ratio)
        self.pool, self.pool_labels = self.pool[kept], self.pool_labels[kept]
        counts = np.bincount(self.pool_labels.numpy(), minlength=len(self.world.truth.shares))
        truth = copy.copy(self.world.truth)
        truth.shares = counts / counts.sum()
        self.world = copy.copy(self.world)
        object.__setattr__(self.world, "truth", truth)


class FewSamples(Cause):
    """A few dozen training samples, which both networks learn by heart."""

    codes = ("GW103", "GW203", "GW502")
    fact, sets_in = False, False
    worlds = ("digits", "enlarged", "table", "signals")
    few, more_steps = 32, 800

    def configure(self) -> None:
        super().configure()
        self.pool, self.pool_labels = self.pool[: self.few], self.pool_labels[: self.few]
