"""Which items lie far nearer to another one than the data's own neighbourhoods explain."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ganwatch.audit.survey import Row, Survey

K = 10
ALPHA = 0.01
CAP = 0.2
MINIMUM = 100
_ROWS = 256
_WIDE = 64
"""Values from which single precision is taken: time counts there, and distances are large."""
Vectors = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class NearCopies:
    """Pairs (place among the queries, place among the reference), nearest first, and how many queries were looked at."""

    pairs: tuple[tuple[int, int], ...]
    looked: int
    dimension: float
    ratio: float
    """Largest ratio of nearest to tenth distance that counted as a near copy."""


def near_copies(queries: list[Row], reference: list[Row] | None, survey: Survey, *, expired: Callable[[], bool]) -> NearCopies:
    """Find the queries whose nearest neighbour is a near copy.

    Where neighbours fall evenly around an item of data with intrinsic dimension d, the share (r1/r10)^d of the volume out to the
    tenth neighbour that lies within the nearest has the distribution Beta(1, 9), whatever the density (the reasoning of TwoNN,
    Facco et al. 2017, arXiv:1803.06992). A near copy is a pair for which a value so small would come up in one of a hundred data sets
    of this size (Bonferroni over the queries), and which is at least five times nearer than the tenth neighbour. The dimension is
    estimated from the same distances by order statistics, which a minority of copies does not move; from r10/r20 too, which holds
    where most items have copies. No threshold depends on the scale of the data.

    Images are compared by their normalised descriptions. Other data must be near both with each value in its own standard deviations
    and as ranks: the first misjudges long tails, the second mixtures of narrow and wide groups.

    Parameters
    ----------
    queries : list of Row, length N
        With descriptions.
    reference : list of Row or None, length > 100
        Where to look for the copies; None for the queries themselves.
    survey : Survey
        Whose distinct items give the scales.
    expired : callable
        Asked between chunks of 256 queries; ends the search when true.
    """
    known = _stack(survey.distinct())
    results = [
        _search(view(_stack(queries), known), None if reference is None else view(_stack(reference), known), expired)
        for view in ([_as_it_is] if survey.images else [_standardised, _ranked])
    ]
    agreed = set.intersection(*({query for query, _ in result.pairs} for result in results))
    pairs = tuple(pair for pair in results[0].pairs if pair[0] in agreed)
    return replace(results[0], pairs=pairs, looked=min(result.looked for result in results))


def _stack(rows: list[Row]) -> Vectors:
    return np.stack([row.vector for row in rows if row.vector is not None])


def _as_it_is(vectors: Vectors, known: Vectors) -> Vectors:  # noqa: ARG001  # one signature for all views
    return vectors


def _standardised(vectors: Vectors, known: Vectors) -> Vectors:
    spread: Vectors = known.std(axis=0)
    spread[spread == 0] = 1.0
    return vectors / spread


def _ranked(vectors: Vectors, known: Vectors) -> Vectors:
    columns = list(zip(np.sort(known, axis=0).T, vectors.T, strict=True))
    ranks = [np.searchsorted(column, values, "left") + np.searchsorted(column, values, "right") for column, values in columns]
    return (np.stack(ranks, axis=1) / (2.0 * len(known))).astype(np.float32)


def _search(queries: Vectors, reference: Vectors | None, expired: Callable[[], bool]) -> NearCopies:
    same = reference is None
    precise: type[np.floating[Any]] = np.float64 if queries.shape[1] < _WIDE else np.float32
    base: NDArray[Any] = (queries if reference is None else reference).astype(precise)
    squares = np.einsum("ij,ij->i", base, base)
    nearest: list[NDArray[np.int64]] = []
    distances: list[NDArray[Any]] = []
    looked = 0
    for start in range(0, len(queries), _ROWS):
        if looked and expired():
            break
        rows: NDArray[Any] = queries[start : start + _ROWS].astype(precise)
        d2 = squares[None] - 2.0 * rows @ base.T + np.einsum("ij,ij->i", rows, rows)[:, None]
        if same:
            d2[np.arange(len(rows)), np.arange(start, start + len(rows))] = np.inf
        closest = d2.argmin(1)
        ordered = np.partition(d2, (K - 1, 2 * K - 1), axis=1)
        first = ((rows - base[closest]).astype(np.float64) ** 2).sum(1)
        distances.append(np.stack([first, ordered[:, K - 1], ordered[:, 2 * K - 1]], axis=1))
        nearest.append(closest)
        looked += len(rows)
    r1, rk, r2k = np.sqrt(np.concatenate(distances).clip(1e-24)).T
    ratio, partner = r1 / rk, np.concatenate(nearest)
    dimension = max(
        _dimension(0.5, rk / r2k, None),
        _dimension(0.5, ratio, K),
        _dimension(0.1, ratio, K),
    )
    limit = min(CAP, float((ALPHA / len(queries) / (K - 1)) ** (1.0 / dimension)))
    found = np.flatnonzero(ratio < limit)
    found = found[np.argsort(ratio[found], kind="stable")]
    return NearCopies(tuple((int(i), int(partner[i])) for i in found), looked, dimension, limit)


def _dimension(share: float, ratios: NDArray[Any], k: int | None) -> float:
    """Intrinsic dimension for which a quantile of ratio^d is what theory says: median of Beta(K, K), or quantile of Beta(1, k-1)."""
    value = float(np.quantile(ratios, share))
    theory = 0.5 if k is None else 1.0 - (1.0 - share) ** (1.0 / (k - 1))
    return float(np.log(theory) / np.log(value)) if 0.0 < value < 1.0 else 1.0
