"""Permutation tests on the distance between samples.

Two statistics look at all points of both sides. The maximum mean discrepancy (Gretton et al. 2012, JMLR 13:723) with a Gaussian kernel is
the distance of the two means in the kernel's space; it sees shifts and spreads best. The balance of neighbourhoods sees kinds that are
missing or have become rarer: a difference between the sides that is alike for neighbours stays when it is spread over the graph of nearest
neighbours, and chance does not (Schilling 1986, J. Am. Stat. Assoc. 81:799, has neighbours in a test; Coifman and Lafon 2006, Appl. Comput.
Harmon. Anal. 21:5, diffusion). The smaller p-value counts, that of neighbourhoods twice, and the p-value of the result is found by the same
permutations (Westfall and Young 1993), as ``(k + 1) / (B + 1)`` (Phipson and Smyth 2010, arXiv 1603.05766): the level is exact for every
sample size.

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
from ganwatch.drift.kernel import as_features, kernel_product, same_width, subset, usual_bandwidth
from ganwatch.metrics.neighbours import nearest

LIMIT = 5000
"""Samples of a side that are looked at by default; of more a random subset is."""
NEIGHBOURS = 10
"""Nearest points that a point is joined to."""
_SPREAD = 3
"""Steps over the graph of neighbours."""
_RARER = 2
"""How many times the p-value of neighbourhoods counts: a third of the level is theirs, which costs shifts of the mean 1 % of power."""
_NORMAL = 1.959964
"""Two-sided 95 % of a standard normal."""
_ROUNDING = 1e-6
"""Of a mean of the kernel, which is at most 1; a spread is never taken to be less."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """How far two samples are apart.

    Parameters
    ----------
    effect : float >= 0
        Distance of the two means in the kernel's space in units of the spread within a side, as Cohen's d is for numbers: 0 for the
        same distribution, about 0.7 for a shift of every column by one standard deviation, whatever their number. Of two sides that are
        one point each, not the same, it is some 1,000, as far as float32 tells.
    low, high : float
        95 % confidence interval of the effect.
    p_value : float in (0, 1]
        Probability of a distance as large as this where both sides come from one distribution.
    first, second : int
        Samples of either side that were compared.
    bandwidth : float
        Of the kernel, in units of the features.
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


def compare(first: Any, second: Any, *, permutations: int = 999, seed: int = 0, limit: int = LIMIT) -> Comparison:
    """Test whether two samples come from one distribution.

    Parameters
    ----------
    first, second : (N, D), (M, D) arrays or tensors
        Feature vectors, at least two of each.
    permutations : int
        The smallest p-value is ``1 / (permutations + 1)``.
    seed : int
        Decides permutations and subsets.
    limit : int, samples
        Of a side with more a random subset is taken, which bounds time; memory is bounded anyway.

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
    x, y = (subset(as_features(side, name), limit, rng) for name, side in (("first", first), ("second", second)))
    _check(permutations, first=x, second=y)
    n, m = len(x), len(y)
    order = torch.from_numpy(rng.permutation(n + m))  # so that ties between points favour no side
    points, is_first = torch.cat((x, y))[order], order < n
    bandwidth = usual_bandwidth(points, rng)
    if bool((points == points[0]).all()):
        return Comparison(0.0, 0.0, 0.0, 1.0, n, m, bandwidth, permutations)
    of_first = _labellings(is_first, permutations, rng)
    contrasts = of_first / n - (1 - of_first) / m  # mean of the first side minus mean of the second
    products = kernel_product(points, points, torch.cat((contrasts, of_first[:, :1] / n), 1), bandwidth)
    witness, to_first = products[:, 0].double(), products[:, -1].double()
    drawn = (contrasts * products[:, :-1]).sum(0, dtype=torch.float64)
    balance = _spread_out(points, contrasts).square().sum(0, dtype=torch.float64)
    smaller = torch.minimum(_p_values(drawn), _RARER * _p_values(balance))
    within_first, within_second = _within(to_first[is_first]), _within((to_first - witness)[~is_first])
    squared = within_first + within_second - 2 * float(to_first[~is_first].mean())
    spread = _spread(within_first, within_second)
    variance = 4 * (float(witness[is_first].var()) / n + float(witness[~is_first].var()) / m) + float(drawn[1:].var())
    margin = _NORMAL * math.sqrt(variance)
    effect, low, high = (math.sqrt(max(0.0, value) / spread) for value in (squared, squared - margin, squared + margin))
    return Comparison(effect, low, high, _p_value(-smaller), n, m, bandwidth, permutations)


@dataclass(frozen=True, slots=True)
class Change:
    """How much further one sample is from a target than another is.

    Parameters
    ----------
    difference : float
        Squared distance of ``now`` to the target minus that of ``before``, in units of the squared spread within the target:
        positive where ``now`` is further away.
    error : float
        Standard error of the difference.
    p_value : float in (0, 1]
        Probability of a difference as large as this where both samples come from one distribution.
    now, before, target : int
        Samples that were compared.
    """

    difference: float
    error: float
    p_value: float
    now: int
    before: int
    target: int

    def further(self, level: float) -> bool:
        """Whether ``now`` is further away: neither chance nor two different distributions at one distance explain the difference."""
        return self.p_value <= level and self.difference > NormalDist().inv_cdf(1 - level) * self.error

    def as_dict(self) -> dict[str, Any]:
        """Plain types, with the ends ``low`` and ``high`` of the 95 % confidence interval of the difference."""
        margin = _NORMAL * self.error
        return asdict(self) | {"low": self.difference - margin, "high": self.difference + margin}


def change(now: Any, before: Any, target: Any, *, permutations: int = 999, seed: int = 0, limit: int = LIMIT) -> Change:
    """Test whether ``now`` is further from ``target`` than ``before`` is.

    The labels of ``now`` and ``before`` are permuted, the target is not, so the level is exact where both come from one distribution.
    Where they do not, but are equally far away, the standard error keeps it; see ``Change.further``.

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
    checked = {name: subset(as_features(side, name), limit, rng) for name, side in sides.items()}
    _check(permutations, **checked)
    g, r, b = checked.values()
    n, m, k = len(g), len(r), len(b)
    points = torch.cat((g, r))
    bandwidth = usual_bandwidth(torch.cat((points, b)), rng)
    of_now = _labellings(torch.arange(n + m) < n, permutations, rng)
    ones = torch.ones(n + m, 1)
    products = kernel_product(points, points, torch.cat((of_now, ones), 1), bandwidth).double()
    to_target = kernel_product(points, b, torch.full((k, 1), 1 / k), bandwidth).double()
    from_target = kernel_product(b, points, torch.cat((of_now[:, :1] / n, (1 - of_now[:, :1]) / m), 1), bandwidth).double()
    within_target = _within(kernel_product(b, b, torch.full((k, 1), 1 / k), bandwidth)[:, 0].double())
    labels, sums = of_now.double(), products[:, -1:]
    in_now = (labels * products[:, :-1]).sum(0)
    in_before = sums.sum() - 2 * (labels * sums).sum(0) + in_now
    contrast = labels / n - (1 - labels) / m
    drawn = (in_now - n) / (n * (n - 1)) - (in_before - m) / (m * (m - 1)) - 2 * (contrast * to_target).sum(0)
    to_now = products[:, 0] / n
    to_before = (sums[:, 0] - products[:, 0]) / m
    variance = 4 * (
        float((to_now - to_target[:, 0])[:n].var()) / n
        + float((to_before - to_target[:, 0])[n:].var()) / m
        + float((from_target[:, 1] - from_target[:, 0]).var()) / k
    )
    spread = _spread(within_target, within_target)
    return Change(float(drawn[0]) / spread, math.sqrt(variance) / spread, _p_value(drawn), n, m, k)


def _labellings(is_first: Tensor, permutations: int, rng: np.random.Generator) -> Tensor:
    """Indicators ``(N, permutations + 1)`` float32 of the first side: as it is, then permuted."""
    labels = np.tile(is_first.numpy().astype(np.float32), (permutations + 1, 1))
    rng.permuted(labels[1:], axis=1, out=labels[1:])
    return torch.from_numpy(labels.T.copy())


def _spread_out(points: Tensor, values: Tensor) -> Tensor:
    """Values ``(N, B)`` after some steps over the symmetric, normalised graph of nearest neighbours."""
    from scipy.sparse import csr_array, diags_array

    count = min(NEIGHBOURS, len(points) - 1)
    around = nearest(points, None, count)[1].numpy().ravel()
    joined = csr_array((np.ones(len(around), np.float32), around, np.arange(0, len(around) + 1, count)), shape=(len(points),) * 2)
    joined = joined + joined.T
    unit = diags_array((1 / np.sqrt(joined.sum(0))).astype(np.float32))
    step = (unit @ joined @ unit).tocsr()
    spread = values.numpy()
    for _ in range(_SPREAD):
        spread = step @ spread
    return torch.from_numpy(spread)


def _within(means: Tensor) -> float:
    """Mean of the kernel between different points of a side, from each point's mean over its whole side."""
    count = len(means)
    return (float(means.sum()) - 1) / (count - 1)


def _spread(first: float, second: float) -> float:
    return max(1 - (first + second) / 2, _ROUNDING)


def _p_value(drawn: Tensor) -> float:
    """Share of all that are at least as large as the first, ties counted against it up to rounding."""
    return float((drawn >= drawn[0] - _ROUNDING * float(drawn.abs().max())).sum()) / len(drawn)


def _p_values(drawn: Tensor) -> Tensor:
    """The same for each of them."""
    ordered = drawn.sort().values
    below = torch.searchsorted(ordered, drawn - _ROUNDING * float(drawn.abs().max()))
    return (len(drawn) - below).double() / len(drawn)


def _check(permutations: int, **sides: Tensor) -> None:
    if permutations < 1:
        raise UserError(f"permutations must be >= 1, got {permutations}")
    for name, features in sides.items():
        if len(features) < 2:
            raise UserError(f"{name} must hold at least 2 samples, got {len(features)}")
    same_width(**sides)
