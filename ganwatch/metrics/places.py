"""The places of samples in their data, kept beside their features so that a sample can be shown."""

from __future__ import annotations

import torch
from torch import Tensor

from ganwatch.core.errors import UserError
from ganwatch.features.extractor import Batch
from ganwatch.metrics.base import QualityMetric
from ganwatch.metrics.reservoir import shuffled


class PlacedMetric(QualityMetric):
    """A metric whose rows are features and, in the last column, a place."""

    beside = 1

    def _take_placed(self, side: str, samples: Batch, places: Tensor | None) -> None:
        n = len(samples) if torch.as_tensor(samples).ndim else 0  # what is no batch is refused with the features
        self._take(side, samples, place_column(n, places, self._seen(side)))

    def _kept(self, side: str) -> Tensor:
        """In an order that does not depend on the places, which parts that are merged may count anew."""
        rows = super()._kept(side)
        return rows[shuffled(rows[:, :-1], self.seed)] if len(rows) else rows


def place_column(n: int, places: Tensor | None, seen: int) -> Tensor:
    """Places of the next n samples as a column ``(N, 1)``, exact in float32: those given, or counted on from what was seen.

    >>> place_column(2, None, 5).tolist()
    [[5], [6]]
    """
    column = torch.arange(seen, seen + n) if places is None else torch.as_tensor(places)
    if column.shape != (n,) or column.is_floating_point():
        raise UserError(f"places must be {n} integers, got {column.dtype} of shape {tuple(column.shape)}")
    if n and not 0 <= int(column.min()) <= int(column.max()) < 2**24:
        raise UserError(f"places must be at least 0 and less than 2**24, got {int(column.min())} to {int(column.max())}")
    return column[:, None]
