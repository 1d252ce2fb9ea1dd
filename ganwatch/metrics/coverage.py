"""Precision, recall, density and coverage, from the neighbourhoods of real and generated samples."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from ganwatch.core.errors import UserError
from ganwatch.features.extractor import Extractor
from ganwatch.metrics.base import QualityMetric
from ganwatch.metrics.estimate import Estimate
from ganwatch.metrics.intervals import normal_quantile, share_interval
from ganwatch.metrics.neighbours import ROWS_PER_BLOCK, nearest_neighbours, subtract_mean

NEIGHBOURHOOD_METRICS = ("precision", "recall", "density", "coverage")


@dataclass(frozen=True, slots=True)
class PointEstimate:
    """Value of one metric, its standard error, and its expectation for two real samples of these sizes."""

    value: float
    error: float
    null: float
    n: int | None = None
    """Number of samples that the value is a share of; None for the density, which is no share."""

    def interval(self, confidence: float) -> tuple[float, float]:
        """Return the interval: within [0, 1] for a share, not below 0 for the density."""
        if self.n is None:
            half = normal_quantile(confidence) * self.error
            return max(0.0, self.value - half), self.value + half
        return share_interval(self.value, self.error, self.n, confidence)


def neighbourhoods(real: Tensor, fake: Tensor, k: int = 5) -> dict[str, PointEstimate]:
    """Return precision, recall, density and coverage from one pass over the distances.

    The neighbourhood of a sample is the closed ball out to its k-th nearest neighbour in its own set; if several are equally far, as copies
    are, it holds more than k.

    - *Precision*: share of fakes in the neighbourhood of some real. *Recall*: share of reals in that of some fake
      (Kynkäänniemi et al., 2019, arXiv:1904.06991).
    - *Density*: number of neighbourhoods of reals that a fake lies in, each divided by the k or more reals that it holds; about 1 for equal
      distributions. *Coverage*: share of reals with a fake in their neighbourhood (Naeem et al., 2020, arXiv:2002.09797).

    The standard errors are those of the jackknife over both sets, with fixed radii. The null is exact for density and coverage. For
    precision and recall it is the share of reals that are among the k nearest of another one, as leaving each of them out gives. The null
    of recall needs as many reals as fakes; if there are fewer, all of them are used.

    Parameters
    ----------
    real, fake : Tensor, shapes (N, D) and (M, D), float32 or float64
        Features, all finite.
    k : int
        Less than N and M.

    Returns
    -------
    dict of str to Part
        "precision", "recall", "density" and "coverage".

    Raises
    ------
    UserError
        Features have another shape or dtype, or the sets are too small for k.

    Examples
    --------
    >>> points = torch.linspace(0, 1, 50)[:, None]
    >>> estimates = neighbourhoods(points, points[:25], k=3)
    >>> estimates["precision"].value, estimates["coverage"].value
    (1.0, 0.54)
    """
    _check_inputs(real, fake, k)
    real, fake = subtract_mean(real, fake)
    n, m = len(real), len(fake)
    real_radii, held, share_within = _own_neighbourhoods(real, k)
    share_of_as_many = share_within if n <= m else _own_neighbourhoods(_evenly_spaced(real, m), k)[2]
    fake_radii = nearest_neighbours(fake, None, k)[0][:, -1].square()
    precision, recall, coverage = _CoverageCounter(m, n), _CoverageCounter(n, m), _CoverageCounter(n, m)
    balls = torch.zeros(m, dtype=torch.float64)
    weights = (k / held).to(real)
    for start, distances in _squared_distances(fake, real):
        recall.add_rows((distances <= fake_radii[start : start + len(distances), None]).to(distances), start)
        inside = distances.le_(real_radii)
        coverage.add_rows(inside, start)
        precision.add_columns(inside, start)
        balls[start : start + len(distances)] = (inside @ weights).double().cpu()
    return {
        "precision": PointEstimate(*precision.share(), share_within, m),
        "recall": PointEstimate(*recall.share(), share_of_as_many, n),
        "density": _density(balls / k, coverage.counts * (n / m) / held.double().cpu()),
        "coverage": PointEstimate(*coverage.share(), expected_coverage(n, m, held), n),
    }


def expected_coverage(n: int, m: int, k: int | Tensor) -> float:
    """Return the expected coverage of N reals and M fakes of one distribution, if the neighbourhood of each real holds k others.

    The k nearest of a real, among all others, are all real with probability ``C(N-1, k) / C(N-1+M, k)``.

    >>> round(expected_coverage(10_000, 10_000, 5), 5), round(expected_coverage(10_000, 10_000, 3), 3)
    (0.96877, 0.875)
    """
    held = torch.as_tensor(k, device="cpu")
    others = torch.arange(n - 1, n - 1 - int(held.max()), -1, dtype=torch.float64)
    return 1.0 - float((others / (others + m)).cumprod(0)[held - 1].mean())


def _own_neighbourhoods(points: Tensor, k: int) -> tuple[Tensor, Tensor, float]:
    """Return squared radii, the number of others in each neighbourhood, and the share of points that lie in the one of another."""
    n = len(points)
    distances, indices = nearest_neighbours(points, None, min(k + 1, n - 1))
    radii = distances[:, k - 1].square()
    held = torch.full((n,), k, device=points.device)
    if not bool((distances[:, k:] <= distances[:, k - 1 : k]).any()):
        return radii, held, int((torch.bincount(indices[:, :k].flatten(), minlength=n) > 0).sum()) / n
    held, inside_some = torch.zeros_like(held), 0
    for start, squared in _squared_distances(points, points):
        inside = squared <= radii
        inside.diagonal(start).fill_(value=False)
        held += inside.sum(0)
        inside_some += int(inside.any(1).sum())
    return radii, held.clamp_(min=k), inside_some / n


def _squared_distances(rows: Tensor, columns: Tensor) -> Iterator[tuple[int, Tensor]]:
    """Yield the number of the first row and squared distances of each block; rounding never makes them larger, so that a rim is inside."""
    slack = 8.0 * torch.finfo(rows.dtype).eps
    of_rows, of_columns = (each.square().sum(1) * (1.0 - slack) for each in (rows, columns))
    for start in range(0, len(rows), ROWS_PER_BLOCK):
        distances = torch.addmm(of_columns, rows[start : start + ROWS_PER_BLOCK], columns.T, alpha=-2.0)
        yield start, distances.add_(of_rows[start : start + ROWS_PER_BLOCK, None])


class _CoverageCounter:
    """Number of balls that hold each target, and the ball if it is the only one."""

    def __init__(self, targets: int, balls: int) -> None:
        self.counts = torch.zeros(targets, dtype=torch.float64)
        self._ball_sums = torch.zeros(targets, dtype=torch.float64)
        self._balls = balls

    def add_rows(self, inside: Tensor, start: int) -> None:
        """Add a block: targets are the columns, balls the rows from ``start`` on; ``inside`` is 0 or 1, shape (B, T)."""
        balls = torch.arange(start, start + len(inside), dtype=inside.dtype, device=inside.device)
        counts, sums = (torch.stack([torch.ones_like(balls), balls]) @ inside).double().cpu()
        self.counts += counts
        self._ball_sums += sums

    def add_columns(self, inside: Tensor, start: int) -> None:
        """Add a block: targets are the rows from ``start`` on, balls the columns."""
        balls = torch.arange(inside.shape[1], dtype=inside.dtype, device=inside.device)
        counts, sums = (inside @ torch.stack([torch.ones_like(balls), balls], dim=1)).double().cpu().T
        self.counts[start : start + len(inside)] = counts
        self._ball_sums[start : start + len(inside)] = sums

    def share(self) -> tuple[float, float]:
        """Return the share of targets that some ball holds, and its standard error."""
        share = float((self.counts > 0).double().mean())
        alone = self._ball_sums[self.counts == 1].long()  # the sum over one ball is its number
        held = torch.bincount(alone, minlength=self._balls).double() / len(self.counts)
        return share, math.sqrt(share * (1.0 - share) / len(self.counts) + float((held - held.mean()).square().sum()))


def _check_inputs(real: Tensor, fake: Tensor, k: int) -> None:
    for name, samples in (("real", real), ("fake", fake)):
        if samples.ndim != 2 or not samples.is_floating_point():
            raise UserError(f"{name} must be floating-point features of shape (N, D), got {samples.dtype} of shape {tuple(samples.shape)}")
        if not 0 < k < len(samples):
            raise UserError(f"k must be between 1 and the number of {name} samples less one, got {k} of {len(samples)}")
    if real.shape[1] != fake.shape[1]:
        raise UserError(f"fake must have the dimension of real, {real.shape[1]}, got {fake.shape[1]}")


def _density(rows: Tensor, columns: Tensor) -> PointEstimate:
    error = math.sqrt(float(rows.var() / len(rows) + columns.var() / len(columns)))
    return PointEstimate(float(rows.mean()), error, 1.0)


def _evenly_spaced(samples: Tensor, n: int) -> Tensor:
    """Return n of the samples, evenly spaced in their order."""
    return samples[torch.linspace(0, len(samples) - 1, n, device=samples.device).round().long()]


class _NeighbourhoodMetric(QualityMetric):
    statistic: ClassVar[str]
    higher_is_better = True
    bounds = (0.0, 1.0)

    def __init__(self, extractor: Extractor | None = None, *, k: int = 5, **kwargs: Any) -> None:
        super().__init__(extractor, **kwargs)
        if not 1 <= k < self.reservoir:
            raise UserError(f"k must be >= 1 (neighbours) and less than the reservoir, got {k}")
        self.k, self.min_samples = k, k + 1
        self._estimates: dict[str, PointEstimate] | None = None

    def measure(self, real: Tensor, fake: Tensor) -> float:
        self._estimates = neighbourhoods(real, fake, self.k)
        return self._estimates[self.statistic].value

    def estimates(self) -> dict[str, Estimate]:
        """Return all four by name, from one pass over the distances of the same state."""
        own = self.estimate()
        if math.isnan(own.value) or self._estimates is None:
            return dict.fromkeys(NEIGHBOURHOOD_METRICS, own)
        named = {}
        for name, point in self._estimates.items():
            low, high = point.interval(self.confidence)
            provenance = own.provenance | {"metric": name.capitalize()}
            named[name] = replace(own, value=point.value, low=low, high=high, null=point.null, provenance=provenance)
        return named

    def _interval(self, value: float) -> tuple[float, float]:  # noqa: ARG002  # measure has computed all four
        assert self._estimates is not None
        return self._estimates[self.statistic].interval(self.confidence)

    def _null(self) -> float:
        assert self._estimates is not None
        return self._estimates[self.statistic].null

    def provenance(self) -> dict[str, Any]:
        return super().provenance() | {"k": self.k}


class Precision(_NeighbourhoodMetric):
    """Share of generated samples that lie among the real ones, between 0 and 1; see ``neighbourhoods``.

    Examples
    --------
    >>> metric = Precision(k=2)
    >>> metric.update(torch.arange(6.0)[:, None], real=True)
    >>> metric.update(torch.tensor([[2.5], [3.5], [90.0], [91.0]]), real=False)
    >>> metric.compute()
    tensor(0.5000, dtype=torch.float64)
    """

    statistic = "precision"


class Recall(_NeighbourhoodMetric):
    """Share of real samples that lie among the generated ones, between 0 and 1; see ``neighbourhoods``."""

    statistic = "recall"


class Density(_NeighbourhoodMetric):
    """Density of generated samples in the neighbourhoods of real ones: 1 for equal distributions, without an upper limit.

    See ``neighbourhoods``.
    """

    statistic = "density"
    bounds = (0.0, math.inf)


class Coverage(_NeighbourhoodMetric):
    """Share of real samples with a generated one in their neighbourhood, between 0 and 1; see ``neighbourhoods``."""

    statistic = "coverage"
