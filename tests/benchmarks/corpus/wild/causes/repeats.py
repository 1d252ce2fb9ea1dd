"""Repeats: the same batch or the same latents at every step."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from corpus.wild.causes.cause import Cause
from corpus.wild.loop import Batch
from torch import Tensor


class LoaderRestarted(Cause):
    """``next(iter(loader))`` of a loader that does not shuffle: the same batch at every step."""

    codes = ("GW005",)

    def next_real(self) -> Batch:
        batch = super().next_real()
        if not self.is_on:
            return batch
        return Batch(self.spoil(self.pool[: self.batch]), self.pool_labels[: self.batch])


class SeededEachStep(Cause):
    """A seed that is set at every step: the same latents each time."""

    codes = ("GW005",)

    def draw_latents(self, count: int) -> Tensor:
        if not self.is_on:
            return super().draw_latents(count)
        return torch.randn(count, self.latents, generator=torch.Generator().manual_seed(42))


class FewBatchesCached(Cause):
    """A cache of the loader serves its first batch for ever."""

    codes = ("GW005",)
    starts = False

    def read(self) -> Iterator[tuple[Tensor, Tensor]]:
        source = super().read()
        last = next(source)
        while True:
            if not self.is_on:
                last = next(source)
            yield last
