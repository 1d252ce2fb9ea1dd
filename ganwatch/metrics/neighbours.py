"""Nearest neighbours by blocks of rows, so that memory holds a block of the distances and never all of them."""

from __future__ import annotations

import torch
from torch import Tensor

from ganwatch.core.errors import UserError

ROWS = 512


def centred(*sides: Tensor) -> tuple[Tensor, ...]:
    """The same vectors about the mean of the first side, where squares are small and their differences exact."""
    centre = sides[0].mean(0)
    return tuple(side - centre for side in sides)


def nearest(queries: Tensor, points: Tensor | None, k: int) -> tuple[Tensor, Tensor]:
    """The k nearest points of each query by Euclidean distance.

    Candidates come from ``|x|² + |y|² - 2xy``; their distances are then taken from differences, so that the distance of a copy is 0.

    Parameters
    ----------
    queries : Tensor, shape (N, D), floating point
    points : Tensor, shape (M, D), or None
        None for the queries themselves, each without itself.
    k : int
        At most M, or N - 1.

    Returns
    -------
    tuple of Tensor, shape (N, k)
        Distances, smallest first, and places among the points.

    Examples
    --------
    >>> distances, places = nearest(torch.tensor([[0.0], [1.0], [3.0]]), None, 1)
    >>> distances.squeeze(1).tolist(), places.squeeze(1).tolist()
    ([1.0, 1.0, 2.0], [1, 0, 1])
    """
    among = queries if points is None else points
    if not 0 < k <= len(among) - (points is None):
        raise UserError(f"k must be between 1 and the number of other points, got {k} of {len(among) - (points is None)}")
    queries_, among_ = centred(queries, among)
    squares = among_.square().sum(1)
    distances, places = [], []
    for start in range(0, len(queries), ROWS):
        rows = queries_[start : start + ROWS]
        apart = torch.addmm(squares, rows, among_.T, alpha=-2.0)
        if points is None:
            apart.diagonal(start).fill_(torch.inf)
        found = apart.topk(k, largest=False, sorted=False).indices
        exact = torch.linalg.vector_norm(rows[:, None] - among_[found], dim=2)
        exact, order = exact.sort(dim=1, stable=True)
        distances.append(exact)
        places.append(found.gather(1, order))
    return torch.cat(distances), torch.cat(places)
