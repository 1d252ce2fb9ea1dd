"""Metrics that store the index of each sample in its data set, so that a sample can be displayed."""

from __future__ import annotations

import torch
from torch import Tensor

from ganwatch.core.errors import UserError
from ganwatch.features.extractor import Batch
from ganwatch.metrics.base import QualityMetric
from ganwatch.metrics.reservoir import hash_order


class IndexedMetric(QualityMetric):
    """A metric whose rows are features and, in the last column, an index."""

    extra_columns = 1

    def _update_indexed(self, sample_set: str, samples: Batch, indices: Tensor | None) -> None:
        n = len(samples) if torch.as_tensor(samples).ndim else 0  # a scalar is refused later, with the features
        self._update_set(sample_set, samples, index_column(n, indices, self._count_seen(sample_set)))

    def _stored_rows(self, sample_set: str) -> Tensor:
        """Return the rows in an order that does not depend on their indices, which merged parts may count from 0 each."""
        rows = super()._stored_rows(sample_set)
        return rows[hash_order(rows[:, :-1], self.seed)] if len(rows) else rows


def index_column(n: int, indices: Tensor | None, seen: int) -> Tensor:
    """Return the indices of the next n samples as a column ``(N, 1)``, exact in float32; None counts on from the samples seen.

    >>> index_column(2, None, 5).tolist()
    [[5], [6]]
    """
    column = torch.arange(seen, seen + n) if indices is None else torch.as_tensor(indices)
    if column.shape != (n,) or column.is_floating_point():
        raise UserError(f"indices must be {n} integers, got {column.dtype} of shape {tuple(column.shape)}")
    if n and not 0 <= int(column.min()) <= int(column.max()) < 2**24:
        raise UserError(f"indices must be at least 0 and less than 2**24, got {int(column.min())} to {int(column.max())}")
    return column[:, None]
