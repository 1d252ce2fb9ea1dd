"""Precision, recall, density and coverage: how the two sides lie in each other's neighbourhoods."""

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
from ganwatch.metrics.neighbours import ROWS, centred, nearest

PARTS = ("precision", "recall", "density", "coverage")


@dataclass(frozen=True, slots=True)
class Part:
    """One of the four: its value, its standard error, and its expectation for two real samples of these sizes."""

    value: float
    error: float
    null: float
    of: int | None = None
    """The samples that it is a share of."""

    def interval(self, confidence: float) -> tuple[float, float]:
        """Never outside of [0, 1] for a share, never below 0 for the density."""
        if self.of is None:
            half = normal_quantile(confidence) * self.error
            return max(0.0, self.value - half), self.value + half
        return share_interval(self.value, self.error, self.of, confidence)


def neighbourhoods(real: Tensor, fake: Tensor, k: int = 5) -> dict[str, Part]:
    """Precision and recall, density and coverage, from one pass over the distances.

    A sample's neighbourhood is the ball out to its k-th nearest neighbour on its own side, the rim included; where several are equally far,
    as copies are, it holds more than k.

    - *Precision*: share of fakes in the neighbourhood of some real. *Recall*: share of reals in that of some fake
      (Kynkäänniemi et al., 2019, arXiv:1904.06991).
    - *Density*: neighbourhoods of reals that a fake lies in, each over the k or more reals that it holds; about 1 for equal distributions.
      *Coverage*: share of reals with a fake in their neighbourhood (Naeem et al., 2020, arXiv:2002.09797).

    The standard errors are those of the jackknife over both sides, with the radii held. What equal distributions give is exact for density
    and coverage; for precision and recall it is the share of reals that are among the k nearest of another one, which is what leaving
    each of them out gives. Recall needs as many reals as fakes for that; where there are fewer, all of them are taken.

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
        For another shape or dtype, and for a k that the sizes do not allow.

    Examples
    --------
    >>> points = torch.linspace(0, 1, 50)[:, None]
    >>> there = neighbourhoods(points, points[:25], k=3)
    >>> there["precision"].value, there["coverage"].value
    (1.0, 0.54)
    """
    _check(real, fake, k)
    real, fake = centred(real, fake)
    n, m = len(real), len(fake)
    real_reach, held, within_reals = _among_themselves(real, k)
    within_as_many = within_reals if n <= m else _among_themselves(_spread(real, m), k)[2]
    fake_reach = nearest(fake, None, k)[0][:, -1].square()
    precise, recalled, covered = _Covered(m, n), _Covered(n, m), _Covered(n, m)
    balls = torch.zeros(m, dtype=torch.float64)
    weights = (k / held).to(real)
    for start, apart in _squared(fake, real):
        recalled.by_rows((apart <= fake_reach[start : start + len(apart), None]).to(apart), start)
        inside = apart.le_(real_reach)
        covered.by_rows(inside, start)
        precise.by_columns(inside, start)
        balls[start : start + len(apart)] = (inside @ weights).double().cpu()
    return {
        "precision": Part(*precise.share(), within_reals, m),
        "recall": Part(*recalled.share(), within_as_many, n),
        "density": _density(balls / k, covered.counts * (n / m) / held.double().cpu()),
        "coverage": Part(*covered.share(), coverage_of_equals(n, m, held), n),
    }


def coverage_of_equals(n: int, m: int, k: int | Tensor) -> float:
    """Coverage that N reals and M fakes of the same distribution have on average, where each real's neighbourhood holds k others.

    The k nearest of a real, among all others, are all real with probability ``C(N-1, k) / C(N-1+M, k)``.

    >>> round(coverage_of_equals(10_000, 10_000, 5), 5), round(coverage_of_equals(10_000, 10_000, 3), 3)
    (0.96877, 0.875)
    """
    held = torch.as_tensor(k, device="cpu")
    others = torch.arange(n - 1, n - 1 - int(held.max()), -1, dtype=torch.float64)
    return 1.0 - float((others / (others + m)).cumprod(0)[held - 1].mean())


def _among_themselves(points: Tensor, k: int) -> tuple[Tensor, Tensor, float]:
    """Squared radii, how many others each neighbourhood holds, and the share of points that lie in some other's."""
    n = len(points)
    distances, places = nearest(points, None, min(k + 1, n - 1))
    reach = distances[:, k - 1].square()
    held = torch.full((n,), k, device=points.device)
    if not bool((distances[:, k:] <= distances[:, k - 1 : k]).any()):
        return reach, held, int((torch.bincount(places[:, :k].flatten(), minlength=n) > 0).sum()) / n
    held, inside_some = torch.zeros_like(held), 0
    for start, apart in _squared(points, points):
        inside = apart <= reach
        inside.diagonal(start).fill_(value=False)
        held += inside.sum(0)
        inside_some += int(inside.any(1).sum())
    return reach, held.clamp_(min=k), inside_some / n


def _squared(rows: Tensor, columns: Tensor) -> Iterator[tuple[int, Tensor]]:
    """Squared distances in blocks of rows, each with its first row; never too large by rounding, so that a rim is inside."""
    slack = 8.0 * torch.finfo(rows.dtype).eps
    of_rows, of_columns = (side.square().sum(1) * (1.0 - slack) for side in (rows, columns))
    for start in range(0, len(rows), ROWS):
        apart = torch.addmm(of_columns, rows[start : start + ROWS], columns.T, alpha=-2.0)
        yield start, apart.add_(of_rows[start : start + ROWS, None])


class _Covered:
    """How many of the balls hold each target, and which one does where it is the only one."""

    def __init__(self, targets: int, balls: int) -> None:
        self.counts = torch.zeros(targets, dtype=torch.float64)
        self._places = torch.zeros(targets, dtype=torch.float64)
        self._balls = balls

    def by_rows(self, inside: Tensor, start: int) -> None:
        """Targets are the columns, balls the rows from `start` on; `inside` is 0 or 1, shape (B, T)."""
        places = torch.arange(start, start + len(inside), dtype=inside.dtype, device=inside.device)
        counts, sums = (torch.stack([torch.ones_like(places), places]) @ inside).double().cpu()
        self.counts += counts
        self._places += sums

    def by_columns(self, inside: Tensor, start: int) -> None:
        """Targets are the rows from `start` on, balls the columns."""
        places = torch.arange(inside.shape[1], dtype=inside.dtype, device=inside.device)
        counts, sums = (inside @ torch.stack([torch.ones_like(places), places], dim=1)).double().cpu().T
        self.counts[start : start + len(inside)] = counts
        self._places[start : start + len(inside)] = sums

    def share(self) -> tuple[float, float]:
        """Share of targets that some ball holds, and its standard error."""
        share = float((self.counts > 0).double().mean())
        alone = self._places[self.counts == 1].long()  # a sum over one ball is its place
        held = torch.bincount(alone, minlength=self._balls).double() / len(self.counts)
        return share, math.sqrt(share * (1.0 - share) / len(self.counts) + float((held - held.mean()).square().sum()))


def _check(real: Tensor, fake: Tensor, k: int) -> None:
    for side, samples in (("real", real), ("fake", fake)):
        if samples.ndim != 2 or not samples.is_floating_point():
            raise UserError(f"{side} must be floating-point features of shape (N, D), got {samples.dtype} of shape {tuple(samples.shape)}")
        if not 0 < k < len(samples):
            raise UserError(f"k must be between 1 and the number of {side} samples less one, got {k} of {len(samples)}")
    if real.shape[1] != fake.shape[1]:
        raise UserError(f"fake must have the dimension of real, {real.shape[1]}, got {fake.shape[1]}")


def _density(rows: Tensor, columns: Tensor) -> Part:
    error = math.sqrt(float(rows.var() / len(rows) + columns.var() / len(columns)))
    return Part(float(rows.mean()), error, 1.0)


def _spread(samples: Tensor, n: int) -> Tensor:
    """So many of the samples, evenly over their order."""
    return samples[torch.linspace(0, len(samples) - 1, n, device=samples.device).round().long()]


class _OfNeighbourhoods(QualityMetric):
    part: ClassVar[str]
    higher_is_better = True
    bounds = (0.0, 1.0)

    def __init__(self, extractor: Extractor | None = None, *, k: int = 5, **kwargs: Any) -> None:
        super().__init__(extractor, **kwargs)
        if not 1 <= k < self.reservoir:
            raise UserError(f"k must be >= 1 (neighbours) and less than the reservoir, got {k}")
        self.k, self.least = k, k + 1
        self._found: dict[str, Part] | None = None

    def measure(self, real: Tensor, fake: Tensor) -> float:
        self._found = neighbourhoods(real, fake, self.k)
        return self._found[self.part].value

    def estimates(self) -> dict[str, Estimate]:
        """All four by name, from one pass over the distances and with the same state."""
        own = self.estimate()
        if math.isnan(own.value) or self._found is None:
            return dict.fromkeys(PARTS, own)
        named = {}
        for name, part in self._found.items():
            low, high = part.interval(self.confidence)
            provenance = own.provenance | {"metric": name.capitalize()}
            named[name] = replace(own, value=part.value, low=low, high=high, null=part.null, provenance=provenance)
        return named

    def _interval(self, value: float) -> tuple[float, float]:  # noqa: ARG002  # all four were found with the value
        assert self._found is not None
        return self._found[self.part].interval(self.confidence)

    def _null(self) -> float:
        assert self._found is not None
        return self._found[self.part].null

    def provenance(self) -> dict[str, Any]:
        return super().provenance() | {"k": self.k}


class Precision(_OfNeighbourhoods):
    """Share of generated samples that lie among the real ones, between 0 and 1; see ``neighbourhoods``.

    Examples
    --------
    >>> metric = Precision(k=2)
    >>> metric.update(torch.arange(6.0)[:, None], real=True)
    >>> metric.update(torch.tensor([[2.5], [3.5], [90.0], [91.0]]), real=False)
    >>> metric.compute()
    tensor(0.5000, dtype=torch.float64)
    """

    part = "precision"


class Recall(_OfNeighbourhoods):
    """Share of real samples that lie among the generated ones, between 0 and 1; see ``neighbourhoods``."""

    part = "recall"


class Density(_OfNeighbourhoods):
    """How densely generated samples lie where real ones do, 1 for equal distributions, without a limit above; see ``neighbourhoods``."""

    part = "density"
    bounds = (0.0, math.inf)


class Coverage(_OfNeighbourhoods):
    """Share of real samples with a generated one in their neighbourhood, between 0 and 1; see ``neighbourhoods``."""

    part = "coverage"
