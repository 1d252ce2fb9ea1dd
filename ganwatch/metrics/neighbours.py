"""Nearest neighbours in blocks of rows, so that memory holds one block of the distances and never all of them."""

from __future__ import annotations

import torch
from torch import Tensor

from ganwatch.core.errors import UserError

ROWS_PER_BLOCK = 512
"""Rows of a distance matrix that are in memory at a time."""


def subtract_mean(*sets: Tensor) -> tuple[Tensor, ...]:
    """Subtract the mean of the first set from all sets, so that squares are small and their differences exact."""
    mean = sets[0].mean(0)
    return tuple(samples - mean for samples in sets)


def nearest_neighbours(queries: Tensor, points: Tensor | None, k: int) -> tuple[Tensor, Tensor]:
    """Return the k nearest points of each query by Euclidean distance.

    Candidates come from ``|x|² + |y|² - 2xy``; their distances are then computed from differences, so that the distance of a copy is 0.

    Parameters
    ----------
    queries : Tensor, shape (N, D), floating point
    points : Tensor, shape (M, D), or None
        None searches each query's neighbours among the other queries.
    k : int
        At most M, or N - 1.

    Returns
    -------
    tuple of Tensor, shape (N, k)
        Distances, smallest first, and indices among the points.

    Examples
    --------
    >>> distances, indices = nearest_neighbours(torch.tensor([[0.0], [1.0], [3.0]]), None, 1)
    >>> distances.squeeze(1).tolist(), indices.squeeze(1).tolist()
    ([1.0, 1.0, 2.0], [1, 0, 1])
    """
    among = queries if points is None else points
    if not 0 < k <= len(among) - (points is None):
        raise UserError(f"k must be between 1 and the number of other points, got {k} of {len(among) - (points is None)}")
    queries_, among_ = subtract_mean(queries, among)
    squares = among_.square().sum(1)
    distances, indices = [], []
    for start in range(0, len(queries), ROWS_PER_BLOCK):
        rows = queries_[start : start + ROWS_PER_BLOCK]
        approximate = torch.addmm(squares, rows, among_.T, alpha=-2.0)
        if points is None:
            approximate.diagonal(start).fill_(torch.inf)
        candidates = approximate.topk(k, largest=False, sorted=False).indices
        exact = torch.linalg.vector_norm(rows[:, None] - among_[candidates], dim=2)
        exact, order = exact.sort(dim=1, stable=True)
        distances.append(exact)
        indices.append(candidates.gather(1, order))
    return torch.cat(distances), torch.cat(indices)
