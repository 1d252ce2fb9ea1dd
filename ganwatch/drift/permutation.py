"""Permutation tests on the distance between samples.

Two statistics use all points of both sides. The maximum mean discrepancy (Gretton et al. 2012, JMLR 13:723) with a Gaussian kernel is the
distance of the two means in the kernel's space. It is most sensitive to shifts and spreads. The balance of neighbourhoods is sensitive to
modes that are missing or have become rarer. It diffuses the difference between the sides over the graph of nearest neighbours: a difference
that neighbours share remains, chance does not (Schilling 1986, J. Am. Stat. Assoc. 81:799, uses neighbours in a test; Coifman and Lafon
2006, Appl. Comput. Harmon. Anal. 21:5, diffusion). The smaller p-value counts, after that of neighbourhoods is doubled. The same
permutations give the p-value of the result (Westfall and Young 1993), as ``(k + 1) / (B + 1)`` (Phipson and Smyth 2010, arXiv 1603.05766):
the level is exact for every sample size.

Measured at 200 against 200 normal samples of 32 dimensions and level 0.05: 89 % of shifts of the mean by 0.1 are found. Of 600 handwritten
digits against some 630 without one of the ten, by their pixels and at level 0.01: 20 of 20, where the kernel alone finds 13.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ganwatch.core.errors import UserError
from ganwatch.drift.kernel import as_features, check_widths, default_bandwidth, kernel_product, random_subset
from ganwatch.metrics.neighbours import nearest_neighbours

MAX_SAMPLES = 5000
"""Default for the largest number of samples per side; of a larger side a random subset is used."""
NEIGHBOURS = 10
"""Nearest points that a point is joined to in the graph."""
_DIFFUSION_STEPS = 3
"""Diffusion steps over the graph of neighbours."""
_NEIGHBOURHOOD_WEIGHT = 2
"""Factor on the p-value of neighbourhoods. They get a third of the level, which costs shifts of the mean 1 % of power."""
_Z95 = 1.959964
"""Two-sided 95 % of a standard normal."""
_ROUNDING = 1e-6
"""Rounding error of a mean of the kernel, which is at most 1. It is also the lower bound of a spread."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """The distance between two samples, with its test.

    Parameters
    ----------
    effect : float >= 0
        Distance of the two means in the kernel's space in units of the spread within a side, like Cohen's d for numbers: 0 for the
        same distribution, about 0.7 for a shift of every column by one standard deviation, for any number of columns. It is about 1,000 if
        each side is a single repeated point and the points differ, the limit of float32.
    low, high : float
        95 % confidence interval of the effect.
    p_value : float in (0, 1]
        Probability of a distance at least this large if both sides come from one distribution.
    first, second : int
        Samples that were compared, per side.
    bandwidth : float
        Bandwidth of the kernel, in units of the features.
    permutations : int
    """

    effect: float
    low: float
    high: float
    p_value: float
    first: int
    second: int
    bandwidth: float
    permutations: int

    def as_dict(self) -> dict[str, Any]:
        """Plain types."""
        return asdict(self)


def compare(first: Any, second: Any, *, permutations: int = 999, seed: int = 0, limit: int = MAX_SAMPLES) -> Comparison:
    """Test whether two samples come from one distribution.

    Parameters
    ----------
    first, second : (N, D), (M, D) arrays or tensors
        Feature vectors, at least two per side.
    permutations : int
        The smallest p-value is ``1 / (permutations + 1)``.
    seed : int
        Decides permutations and subsets.
    limit : int, samples
        Largest number of samples per side. A random subset of a larger side is used, which bounds time; memory is bounded anyway.

    Raises
    ------
    UserError
        Features are not finite, their dimensions differ, or a side has fewer than two samples.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> found = compare(rng.normal(size=(200, 4)), rng.normal(1.0, size=(200, 4)))
    >>> found.p_value, found.low < found.effect < found.high
    (0.001, True)
    """
    rng = np.random.default_rng(seed)
    x, y = (random_subset(as_features(side, name), limit, rng) for name, side in (("first", first), ("second", second)))
    _check(permutations, first=x, second=y)
    n, m = len(x), len(y)
    order = torch.from_numpy(rng.permutation(n + m))  # ties between points favour no side
    points, is_first = torch.cat((x, y))[order], order < n
    bandwidth = default_bandwidth(points, rng)
    if bool((points == points[0]).all()):
        return Comparison(0.0, 0.0, 0.0, 1.0, n, m, bandwidth, permutations)
    of_first = _permute_labels(is_first, permutations, rng)
    contrasts = of_first / n - (1 - of_first) / m  # mean of the first side minus mean of the second
    products = kernel_product(points, points, torch.cat((contrasts, of_first[:, :1] / n), 1), bandwidth)
    witness, to_first = products[:, 0].double(), products[:, -1].double()
    statistics = (contrasts * products[:, :-1]).sum(0, dtype=torch.float64)
    balance = _diffuse(points, contrasts).square().sum(0, dtype=torch.float64)
    smaller = torch.minimum(_p_values(statistics), _NEIGHBOURHOOD_WEIGHT * _p_values(balance))
    within_first, within_second = _mean_within(to_first[is_first]), _mean_within((to_first - witness)[~is_first])
    squared = within_first + within_second - 2 * float(to_first[~is_first].mean())
    spread = _spread(within_first, within_second)
    variance = 4 * (float(witness[is_first].var()) / n + float(witness[~is_first].var()) / m) + float(statistics[1:].var())
    margin = _Z95 * math.sqrt(variance)
    effect, low, high = (math.sqrt(max(0.0, value) / spread) for value in (squared, squared - margin, squared + margin))
    return Comparison(effect, low, high, _p_value(-smaller), n, m, bandwidth, permutations)


@dataclass(frozen=True, slots=True)
class DistanceChange:
    """The difference between the distances of two samples to one target.

    Parameters
    ----------
    difference : float
        Squared distance of ``now`` to the target minus that of ``before``, in units of the squared spread within the target.
        Positive if ``now`` is further away.
    error : float
        Standard error of the difference.
    p_value : float in (0, 1]
        Probability of a difference at least this large if both samples come from one distribution.
    now, before, target : int
        Samples that were compared, per side.
    """

    difference: float
    error: float
    p_value: float
    now: int
    before: int
    target: int

    def is_further(self, level: float) -> bool:
        """Return True if ``now`` is further away.

        Then neither chance nor two different distributions at one distance explain the difference.
        """
        return self.p_value <= level and self.difference > NormalDist().inv_cdf(1 - level) * self.error

    def as_dict(self) -> dict[str, Any]:
        """Plain types, with the ends ``low`` and ``high`` of the 95 % confidence interval of the difference."""
        margin = _Z95 * self.error
        return asdict(self) | {"low": self.difference - margin, "high": self.difference + margin}


def compare_distances(
    now: Any, before: Any, target: Any, *, permutations: int = 999, seed: int = 0, limit: int = MAX_SAMPLES
) -> DistanceChange:
    """Test whether ``now`` is further from ``target`` than ``before`` is.

    The labels of ``now`` and ``before`` are permuted, the target is not. The level is exact if both come from one distribution. If they
    come
    from two at the same distance, the standard error keeps the level; see ``DistanceChange.is_further``.

    Parameters
    ----------
    now, before, target : (N, D) arrays or tensors
    permutations, seed, limit
        As for ``compare``.

    Raises
    ------
    UserError
        As for ``compare``.
    """
    rng = np.random.default_rng(seed)
    sides = {"now": now, "before": before, "target": target}
    checked = {name: random_subset(as_features(side, name), limit, rng) for name, side in sides.items()}
    _check(permutations, **checked)
    g, r, b = checked.values()
    n, m, k = len(g), len(r), len(b)
    points = torch.cat((g, r))
    bandwidth = default_bandwidth(torch.cat((points, b)), rng)
    of_now = _permute_labels(torch.arange(n + m) < n, permutations, rng)
    ones = torch.ones(n + m, 1)
    products = kernel_product(points, points, torch.cat((of_now, ones), 1), bandwidth).double()
    to_target = kernel_product(points, b, torch.full((k, 1), 1 / k), bandwidth).double()
    from_target = kernel_product(b, points, torch.cat((of_now[:, :1] / n, (1 - of_now[:, :1]) / m), 1), bandwidth).double()
    within_target = _mean_within(kernel_product(b, b, torch.full((k, 1), 1 / k), bandwidth)[:, 0].double())
    labels, sums = of_now.double(), products[:, -1:]
    in_now = (labels * products[:, :-1]).sum(0)
    in_before = sums.sum() - 2 * (labels * sums).sum(0) + in_now
    contrast = labels / n - (1 - labels) / m
    statistics = (in_now - n) / (n * (n - 1)) - (in_before - m) / (m * (m - 1)) - 2 * (contrast * to_target).sum(0)
    to_now = products[:, 0] / n
    to_before = (sums[:, 0] - products[:, 0]) / m
    variance = 4 * (
        float((to_now - to_target[:, 0])[:n].var()) / n
        + float((to_before - to_target[:, 0])[n:].var()) / m
        + float((from_target[:, 1] - from_target[:, 0]).var()) / k
    )
    spread = _spread(within_target, within_target)
    return DistanceChange(float(statistics[0]) / spread, math.sqrt(variance) / spread, _p_value(statistics), n, m, k)


def _permute_labels(is_first: Tensor, permutations: int, rng: np.random.Generator) -> Tensor:
    """Return indicators ``(N, permutations + 1)`` float32 of the first side: the given one, then its permutations."""
    labels = np.tile(is_first.numpy().astype(np.float32), (permutations + 1, 1))
    rng.permuted(labels[1:], axis=1, out=labels[1:])
    return torch.from_numpy(labels.T.copy())


def _diffuse(points: Tensor, values: Tensor) -> Tensor:
    """Diffuse values ``(N, B)`` over the symmetric, normalised graph of nearest neighbours."""
    from scipy.sparse import csr_array, diags_array

    count = min(NEIGHBOURS, len(points) - 1)
    around = nearest_neighbours(points, None, count)[1].numpy().ravel()
    joined = csr_array((np.ones(len(around), np.float32), around, np.arange(0, len(around) + 1, count)), shape=(len(points),) * 2)
    joined = joined + joined.T
    unit = diags_array((1 / np.sqrt(joined.sum(0))).astype(np.float32))
    step = (unit @ joined @ unit).tocsr()
    spread = values.numpy()
    for _ in range(_DIFFUSION_STEPS):
        spread = step @ spread
    return torch.from_numpy(spread)


def _mean_within(means: Tensor) -> float:
    """Return the mean kernel between different points of a side, given each point's mean over its whole side."""
    count = len(means)
    return (float(means.sum()) - 1) / (count - 1)


def _spread(first: float, second: float) -> float:
    return max(1 - (first + second) / 2, _ROUNDING)


def _p_value(statistics: Tensor) -> float:
    """Return the share of statistics at least as large as the first; values within rounding count as ties."""
    return float((statistics >= statistics[0] - _ROUNDING * float(statistics.abs().max())).sum()) / len(statistics)


def _p_values(statistics: Tensor) -> Tensor:
    """Return ``_p_value`` of each statistic among all."""
    ordered = statistics.sort().values
    below = torch.searchsorted(ordered, statistics - _ROUNDING * float(statistics.abs().max()))
    return (len(statistics) - below).double() / len(statistics)


def _check(permutations: int, **sides: Tensor) -> None:
    if permutations < 1:
        raise UserError(f"permutations must be >= 1, got {permutations}")
    for name, features in sides.items():
        if len(features) < 2:
            raise UserError(f"{name} must hold at least 2 samples, got {len(features)}")
    check_widths(**sides)
