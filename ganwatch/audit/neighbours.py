"""Near copies: items far nearer to another one than the data's own neighbourhoods explain."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ganwatch.audit.survey import ItemSummary, Survey

NEIGHBOURS = 10
"""The distance to this neighbour is the scale that the nearest one is compared with."""
SIGNIFICANCE = 0.01
"""Probability that a data set without near copies has a pair that counts as one."""
MAX_RATIO = 0.2
"""Largest ratio of nearest to tenth distance of a near copy; significance may lower it."""
MIN_ITEMS = 100
"""Different items below which the search does not apply."""
_CHUNK_ROWS = 256
_MIN_WIDE_VALUES = 64
"""Values of an item above which single precision is used: it saves time, and such distances are large."""
Vectors = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class NearCopies:
    """Pairs (place among the queries, place among the reference), nearest first, and the number of queries that were compared."""

    pairs: tuple[tuple[int, int], ...]
    query_count: int
    dimension: float
    ratio: float
    """Largest ratio of nearest to tenth distance that counted as a near copy."""


def find_near_copies(
    queries: list[ItemSummary], reference: list[ItemSummary] | None, survey: Survey, *, is_expired: Callable[[], bool]
) -> NearCopies:
    """Find the queries whose nearest neighbour is a near copy.

    Where neighbours fall evenly around an item of data with intrinsic dimension d, the share (r1/r10)^d of the volume out to the
    tenth neighbour that lies within the nearest has the distribution Beta(1, 9), whatever the density (the reasoning of TwoNN,
    Facco et al. 2017, arXiv:1803.06992). A near copy is a pair for which a value so small would come up in one of a hundred data sets
    of this size (Bonferroni over the queries), and which is at least five times nearer than the tenth neighbour. The dimension is
    estimated from the same distances by order statistics, which a minority of copies does not change; from r10/r20 too, which holds
    where most items have copies. No threshold depends on the scale of the data.

    Images are compared by their normalised descriptions. Other data must be near both with each value in its own standard deviations
    and as ranks: the first misjudges long tails, the second mixtures of narrow and wide groups.

    Parameters
    ----------
    queries : list of ItemSummary, length N
        Items with descriptions.
    reference : list of ItemSummary or None, length > 100
        Items to find the copies in; None for the queries themselves.
    survey : Survey
        Survey whose distinct items give the scales.
    is_expired : callable
        Called between chunks of 256 queries; True ends the search.
    """
    known = _stack(survey.distinct_items())
    results = [
        _search(view(_stack(queries), known), None if reference is None else view(_stack(reference), known), is_expired)
        for view in ([_unchanged] if survey.has_images else [_standardise, _rank])
    ]
    agreed = set.intersection(*({query for query, _ in result.pairs} for result in results))
    pairs = tuple(pair for pair in results[0].pairs if pair[0] in agreed)
    return replace(results[0], pairs=pairs, query_count=min(result.query_count for result in results))


def _stack(items: list[ItemSummary]) -> Vectors:
    return np.stack([item.vector for item in items if item.vector is not None])


def _unchanged(vectors: Vectors, known: Vectors) -> Vectors:  # noqa: ARG001  # one signature for all views
    return vectors


def _standardise(vectors: Vectors, known: Vectors) -> Vectors:
    spread: Vectors = known.std(axis=0)
    spread[spread == 0] = 1.0
    return vectors / spread


def _rank(vectors: Vectors, known: Vectors) -> Vectors:
    columns = list(zip(np.sort(known, axis=0).T, vectors.T, strict=True))
    ranks = [np.searchsorted(column, values, "left") + np.searchsorted(column, values, "right") for column, values in columns]
    return (np.stack(ranks, axis=1) / (2.0 * len(known))).astype(np.float32)


def _search(queries: Vectors, reference: Vectors | None, is_expired: Callable[[], bool]) -> NearCopies:
    same = reference is None
    precise: type[np.floating[Any]] = np.float64 if queries.shape[1] < _MIN_WIDE_VALUES else np.float32
    base: NDArray[Any] = (queries if reference is None else reference).astype(precise)
    squares = np.einsum("ij,ij->i", base, base)
    nearest: list[NDArray[np.int64]] = []
    distances: list[NDArray[Any]] = []
    query_count = 0
    for start in range(0, len(queries), _CHUNK_ROWS):
        if query_count and is_expired():
            break
        rows: NDArray[Any] = queries[start : start + _CHUNK_ROWS].astype(precise)
        d2 = squares[None] - 2.0 * rows @ base.T + np.einsum("ij,ij->i", rows, rows)[:, None]
        if same:
            d2[np.arange(len(rows)), np.arange(start, start + len(rows))] = np.inf
        closest = d2.argmin(1)
        ordered = np.partition(d2, (NEIGHBOURS - 1, 2 * NEIGHBOURS - 1), axis=1)
        first = ((rows - base[closest]).astype(np.float64) ** 2).sum(1)
        distances.append(np.stack([first, ordered[:, NEIGHBOURS - 1], ordered[:, 2 * NEIGHBOURS - 1]], axis=1))
        nearest.append(closest)
        query_count += len(rows)
    r1, rk, r2k = np.sqrt(np.concatenate(distances).clip(1e-24)).T
    ratio, partner = r1 / rk, np.concatenate(nearest)
    dimension = max(
        _estimate_dimension(0.5, rk / r2k, None),
        _estimate_dimension(0.5, ratio, NEIGHBOURS),
        _estimate_dimension(0.1, ratio, NEIGHBOURS),
    )
    limit = min(MAX_RATIO, float((SIGNIFICANCE / len(queries) / (NEIGHBOURS - 1)) ** (1.0 / dimension)))
    copies = np.flatnonzero(ratio < limit)
    copies = copies[np.argsort(ratio[copies], kind="stable")]
    return NearCopies(tuple((int(i), int(partner[i])) for i in copies), query_count, dimension, limit)


def _estimate_dimension(share: float, ratios: NDArray[Any], k: int | None) -> float:
    """Return the intrinsic dimension at which a quantile of ratio^d has its theoretical value.

    That is the median of Beta(K, K) without ``k``, and the quantile ``share`` of Beta(1, k-1) with it.
    """
    value = float(np.quantile(ratios, share))
    theory = 0.5 if k is None else 1.0 - (1.0 - share) ** (1.0 / (k - 1))
    return float(np.log(theory) / np.log(value)) if 0.0 < value < 1.0 else 1.0
