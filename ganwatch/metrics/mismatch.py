"""Kinds of held-out real samples that the training samples lack."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ganwatch.core.errors import UserError
from ganwatch.metrics.kmeans import assign, kmeans
from ganwatch.metrics.neighbours import nearest_neighbours

MAX_CELLS = 10
MIN_SAMPLES_PER_CELL = 10
"""Held-out samples per cell, on average; fewer reduce the number of cells."""
FAR_QUANTILE = 0.95
"""Share of the samples of one set whose nearest other one is near."""
MAX_FAR_SHARE = 0.5
"""Share of far samples of a cell above which the training lacks the cell."""


@dataclass(frozen=True, slots=True)
class KindsComparison:
    """Held-out samples that lie where no training samples are."""

    far_share: float
    """Share of the held-out samples that are far from every training sample; about one in twenty if both have one source."""
    error: float
    """Standard error of ``far_share``."""
    lacking_share: float
    """Share of the held-out samples in cells most of whose samples are far."""


def compare_kinds(training: Tensor, held_out: Tensor, *, seed: int = 0) -> KindsComparison:
    """Look for held-out samples of kinds that the training samples lack.

    A held-out sample is far if its nearest training sample is farther than the nearest other sample is for all but one in twenty, of as
    many held-out and of as many training samples. The larger of the two distances counts: training samples that are augmented lie apart
    themselves, and those that are repeated lie too close. Cells come from k-means on the held-out samples. Where kinds are missing, most
    samples of some cells are far; where training samples are merely few or noisy, some samples of each cell are.

    Parameters
    ----------
    training, held_out : Tensor, shapes (T, D), (N, D), floating point
        At least two distinct samples each.
    seed : int
        Seed of the choice of as many samples of both and of the cells; no other random state is used.

    Examples
    --------
    >>> draw = torch.Generator().manual_seed(0)
    >>> training, held_out = torch.randn(200, 3, generator=draw), torch.randn(100, 3, generator=draw)
    >>> compare_kinds(training, held_out).lacking_share < 0.1, compare_kinds(training, held_out + 9.0).lacking_share
    (True, 1.0)
    """
    training, held_out = torch.unique(training, dim=0), torch.unique(held_out, dim=0)
    n = min(len(training), len(held_out))
    if n < 2:
        raise UserError(f"training and held_out must have at least 2 distinct samples, got {len(training)} and {len(held_out)}")
    draw = torch.Generator().manual_seed(seed)
    train, unseen = (samples[torch.randperm(len(samples), generator=draw)[:n]] for samples in (training, held_out))
    within = [nearest_neighbours(samples, None, 1)[0].quantile(FAR_QUANTILE) for samples in (train, unseen)]
    far = (nearest_neighbours(unseen, train, 1)[0][:, 0] > torch.maximum(*within)).double()
    cells = assign(unseen, kmeans(unseen, max(1, min(MAX_CELLS, n // MIN_SAMPLES_PER_CELL)), seed=seed))
    counts, far_counts = torch.bincount(cells), torch.bincount(cells, weights=far)
    share, lacking = float(far.mean()), float(counts[far_counts > MAX_FAR_SHARE * counts].sum()) / n
    return KindsComparison(share, math.sqrt(max(share * (1.0 - share), 1.0 / n) / n), lacking)
