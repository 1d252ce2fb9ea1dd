"""Clusters: k-means in torch, because scikit-learn is no dependency of the core."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ganwatch.core.errors import UserError
from ganwatch.metrics.neighbours import ROWS_PER_BLOCK, nearest_neighbours, subtract_mean

STARTS = 5
"""Starts, of which the best is returned."""
ROUNDING = 1e-14
"""Squared distance of copies, computed from products in float64, over the sum of their squared norms."""


def kmeans(samples: Tensor, k: int, *, seed: int = 0, starts: int = STARTS, max_rounds: int = 50) -> Tensor:
    """Return the centres of k clusters: the best of several starts, by the sum of squared distances to the nearest centre (inertia).

    Each start draws its centres by greedy k-means++ (Arthur and Vassilvitskii, 2007): each further centre is the best of ``2 + log k``
    candidates, drawn in proportion to their squared distance to the centres so far. Lloyd's iterations follow until no sample changes
    its cluster. All starts run at once; the first of equally good ones is returned.

    One start may end in a bad optimum. ``tests/benchmarks/kmeans_starts.py`` counts the seeds, of 40, whose inertia is more than 1.1 times
    the lowest that was found: 15 with 1 start, 0 with 5 and 0 with 10 for a mixture of 20 Gaussians in 64 dimensions, and 5, 0 and 0 for
    the worst of its five other data sets. Five starts take about twice as long as one.

    Parameters
    ----------
    samples : Tensor, shape (N, D), floating point
    k : int
        At most N. Fewer centres are returned if fewer samples are distinct.
    seed : int
        Seed of all starts; the same seed gives the same centres.
    starts : int
        Number of starts.
    max_rounds : int
        Maximum number of Lloyd's iterations.

    Returns
    -------
    Tensor, shape (k, D)

    Raises
    ------
    UserError
        ``k`` is not between 1 and N, or ``starts`` is less than 1.

    Examples
    --------
    >>> centres = kmeans(torch.tensor([[0.0], [0.1], [5.0], [5.1]]), 2)
    >>> sorted(round(float(centre), 2) for centre in centres)
    [0.05, 5.05]
    """
    if not 1 <= k <= len(samples):
        raise UserError(f"k must be between 1 and the number of samples, got {k} of {len(samples)}")
    if starts < 1:
        raise UserError(f"starts must be >= 1, got {starts}")
    (rows,) = subtract_mean(samples)
    centres = _draw_centres(rows, k, starts, torch.Generator().manual_seed(seed))
    clusters = _assign_all(rows, centres)
    for _ in range(max_rounds):
        centres = _means(rows, clusters, centres)
        before, clusters = clusters, _assign_all(rows, centres)
        if torch.equal(before, clusters):
            break
    inertia = [float((rows - start[of]).square().sum(dtype=torch.float64)) for start, of in zip(centres, clusters, strict=True)]
    best = inertia.index(min(inertia))
    return _means(samples, clusters[best : best + 1], centres[best : best + 1] + samples.mean(0))[0]


def assign(samples: Tensor, centres: Tensor) -> Tensor:
    """Return the number of the nearest centre of each sample: shape (N,), int64."""
    return nearest_neighbours(samples, centres, 1)[1].squeeze(1)


def _draw_centres(rows: Tensor, k: int, starts: int, generator: torch.Generator) -> Tensor:
    """Draw the first centres of each start by greedy k-means++: shape (starts, k, D)."""
    candidates, exact = 2 + int(math.log(k)), rows.double()
    squares = exact.square().sum(1)

    def squared_distances(drawn: Tensor) -> Tensor:
        """From drawn rows, shape (S, C), to all rows: shape (S, C, N), 0 between copies."""
        sums = squares[drawn][..., None] + squares
        between = torch.addmm(sums.flatten(0, 1), exact[drawn.flatten()], exact.T, alpha=-2.0).view_as(sums)
        return between.where(between > ROUNDING * sums, 0.0)

    chosen = torch.randint(len(rows), (starts, 1), generator=generator).to(rows.device)
    nearest_squared = squared_distances(chosen).squeeze(1)  # of each row, in each start
    while chosen.shape[1] < k:
        cumulative = nearest_squared.cumsum(1)
        if not bool((cumulative[:, -1] > 0).all()):
            break  # every row is a centre already
        thresholds = torch.rand(starts, candidates, generator=generator, dtype=torch.float64).to(rows.device) * cumulative[:, -1:]
        drawn = torch.searchsorted(cumulative, thresholds, right=True).clamp_max(len(rows) - 1)
        left = torch.minimum(nearest_squared[:, None], squared_distances(drawn))
        best = left.sum(2).argmin(1, keepdim=True)
        chosen = torch.cat([chosen, drawn.gather(1, best)], dim=1)
        nearest_squared = left[torch.arange(starts), best[:, 0]]
    return rows[chosen]


def _assign_all(rows: Tensor, centres: Tensor) -> Tensor:
    """Return the number of the nearest centre of each row in each start: shape (starts, N)."""
    starts, k, _ = centres.shape
    flat = centres.flatten(0, 1)
    squares = flat.square().sum(1)
    numbers = []
    for block in torch.split(rows, ROWS_PER_BLOCK):
        distances = torch.addmm(squares, block, flat.T, alpha=-2.0)  # squared, less the squared norm of the row
        numbers.append(distances.view(len(block), starts, k).argmin(2))
    return torch.cat(numbers).T.contiguous()


def _means(rows: Tensor, clusters: Tensor, centres: Tensor) -> Tensor:
    """Return the mean of each cluster in each start, shape (starts, k, D); an empty cluster keeps its centre."""
    sums, counts = torch.zeros_like(centres), centres.new_zeros(centres.shape[:2])
    for start, numbers in enumerate(clusters):
        sums[start].index_add_(0, numbers, rows)
    counts.scatter_add_(1, clusters, centres.new_ones(1).expand_as(clusters))
    return torch.where(counts[..., None] > 0, sums / counts[..., None].clamp_min(1.0), centres)
