"""Vendi score: the effective number of different samples."""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
from torch import Tensor

from ganwatch.core.errors import UserError
from ganwatch.features.extractor import Extractor
from ganwatch.metrics.base import QualityMetric

Kernel = Literal["gaussian", "cosine"]
KERNELS = ("gaussian", "cosine")
JACKKNIFE_GROUPS = 10
"""Groups of samples, each left out once for the interval."""
_MAX_COPY_DISTANCE = 1e-7
"""Largest distance of copies in float32, as a share of the largest norm."""
_MIN_WIDTH = 1e-100
"""Width of the kernel if all reals are the same."""


def vendi_score(samples: Tensor, kernel: Kernel = "gaussian", *, width: float | None = None) -> float:
    """Return the effective number of distinct samples, between 1 and N (Friedman and Dieng, 2022, arXiv:2210.02410).

    It is the exponential of the entropy of the eigenvalues of K / N, for a kernel K that is 1 on its diagonal.

    Parameters
    ----------
    samples : Tensor, shape (N, D), floating point
    kernel : "gaussian" or "cosine"
        ``exp(-d² / 2 width²)``, whose score grows with the variety in any dimension, or the cosine, whose score is never more than D. For
        the cosine the smaller of the N×N and the D×D matrix is decomposed.
    width : float > 0, in units of the samples
        Width of the Gaussian.

    Examples
    --------
    >>> groups = torch.tensor([[0.0], [0.0], [10.0], [10.0], [20.0], [20.0]])
    >>> round(vendi_score(groups, width=1.0), 4)
    3.0
    """
    if kernel not in KERNELS:
        raise UserError(f"kernel must be one of {KERNELS}, got {kernel!r}")
    if kernel == "cosine":
        return _score_of_directions(_directions(samples))
    if width is None or not width > 0.0:
        raise UserError(f"width must be > 0 (units of the samples) for the Gaussian kernel, got {width}")
    return _score_of_distances(_distances(samples), width)


def _distances(samples: Tensor) -> Tensor:
    rows = samples.double()
    distances = torch.cdist(rows, rows)
    return distances.masked_fill_(distances <= _MAX_COPY_DISTANCE * torch.linalg.vector_norm(rows, dim=1).max(), 0.0)


def _directions(samples: Tensor) -> Tensor:
    return torch.nn.functional.normalize(samples.double(), dim=1)


def _score_of_distances(distances: Tensor, width: float) -> float:
    return _effective_number(torch.exp(distances.square() / (-2.0 * width**2)) / len(distances))


def _score_of_directions(unit: Tensor) -> float:
    return _effective_number((unit @ unit.T if len(unit) <= unit.shape[1] else unit.T @ unit) / len(unit))


def _effective_number(matrix: Tensor) -> float:
    shares = torch.linalg.eigvalsh(matrix).clamp_min(0.0)
    return math.exp(-float(torch.xlogy(shares, shares).sum()))


class VendiRatio(QualityMetric):
    """Vendi score of generated samples over that of equally many real ones: the remaining variety, 1 for equal distributions.

    Collapse lowers it; the loss of a few modes out of many hardly does.

    Parameters
    ----------
    kernel : "gaussian" or "cosine"
        See ``vendi_score``. The width of the Gaussian is half the mean distance between reals, for both sets.
    reservoir : int, samples
        Maximum number of samples of each set that enter the value; time grows with its cube.

    Examples
    --------
    >>> metric = VendiRatio()
    >>> metric.update(torch.randn(200, 4, generator=torch.Generator().manual_seed(0)), real=True)
    >>> metric.update(torch.ones(200, 4), real=False)
    >>> metric.compute() < 0.1
    tensor(True)
    """

    higher_is_better = True
    min_samples = 4
    bounds = (0.0, math.inf)

    def __init__(self, extractor: Extractor | None = None, *, kernel: Kernel = "gaussian", reservoir: int = 1_000, **kwargs: Any) -> None:
        super().__init__(extractor, reservoir=reservoir, **kwargs)
        if kernel not in KERNELS:
            raise UserError(f"kernel must be one of {KERNELS}, got {kernel!r}")
        self.kernel: Kernel = kernel

    def measure(self, real: Tensor, fake: Tensor) -> float:
        n = min(len(real), len(fake))
        return self._ratio(*self._prepare(real[:n], fake[:n]))

    def _interval(self, value: float) -> tuple[float, float]:
        """Estimate by the jackknife, leaving out each tenth of both sets in turn: halves of the samples have another value."""
        n = self._count_used(real=False)
        groups = min(JACKKNIFE_GROUPS, n - 1)
        both = self._prepare(*(self.features(real=real)[:n] for real in (True, False)))
        group_of = torch.arange(n, device=self.device) % groups
        ratios = []
        for group in range(groups):
            rest = (group_of != group).nonzero()[:, 0]
            ratios.append(self._ratio(*(each[rest] if self.kernel == "cosine" else each[rest][:, rest] for each in both)))
        low, high = self._t_interval(math.log(value), (groups - 1) / math.sqrt(groups) * torch.tensor(ratios, dtype=torch.float64).log())
        return math.exp(low), math.exp(high)

    def _prepare(self, *sets: Tensor) -> list[Tensor]:
        return [_directions(samples) if self.kernel == "cosine" else _distances(samples) for samples in sets]

    def _ratio(self, real: Tensor, fake: Tensor) -> float:
        if self.kernel == "cosine":
            return _score_of_directions(fake) / _score_of_directions(real)
        width = max(float(real.sum()) / (len(real) * (len(real) - 1)) / 2.0, _MIN_WIDTH)
        return _score_of_distances(fake, width) / _score_of_distances(real, width)

    def _null(self) -> float:
        return 1.0

    def provenance(self) -> dict[str, Any]:
        return super().provenance() | {"kernel": self.kernel}

    def _count_used(self, *, real: bool) -> int:  # noqa: ARG002  # both sets have equally many
        return min(len(self.features(real=True)), len(self.features(real=False)))
