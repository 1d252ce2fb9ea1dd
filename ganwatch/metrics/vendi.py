"""Vendi score: how many different samples there are, in effect."""

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
GROUPS = 10
"""Of samples, each left out once for the interval."""
_SAME = 1e-7
"""Distances to the largest norm that float32 features cannot tell from 0."""
_NARROWEST = 1e-100
"""Width where all reals are the same."""


def vendi_score(samples: Tensor, kernel: Kernel = "gaussian", *, width: float | None = None) -> float:
    """Effective number of distinct samples, between 1 and N (Friedman and Dieng, 2022, arXiv:2210.02410).

    The exponential of the entropy of the eigenvalues of K / N, for a kernel K that is 1 on its diagonal.

    Parameters
    ----------
    samples : Tensor, shape (N, D), floating point
    kernel : "gaussian" or "cosine"
        ``exp(-d² / 2 width²)``, which grows with the variety in any dimension, or the cosine, which is never more than D; for it the
        smaller of the N×N and the D×D matrix is taken.
    width : float > 0, in units of the samples
        Of the Gaussian.

    Examples
    --------
    >>> groups = torch.tensor([[0.0], [0.0], [10.0], [10.0], [20.0], [20.0]])
    >>> round(vendi_score(groups, width=1.0), 4)
    3.0
    """
    if kernel not in KERNELS:
        raise UserError(f"kernel must be one of {KERNELS}, got {kernel!r}")
    if kernel == "cosine":
        return _of_directions(_directions(samples))
    if width is None or not width > 0.0:
        raise UserError(f"width must be > 0 (units of the samples) for the Gaussian kernel, got {width}")
    return _of_distances(_distances(samples), width)


def _distances(samples: Tensor) -> Tensor:
    rows = samples.double()
    apart = torch.cdist(rows, rows)
    return apart.masked_fill_(apart <= _SAME * torch.linalg.vector_norm(rows, dim=1).max(), 0.0)


def _directions(samples: Tensor) -> Tensor:
    return torch.nn.functional.normalize(samples.double(), dim=1)


def _of_distances(apart: Tensor, width: float) -> float:
    return _effective_number(torch.exp(apart.square() / (-2.0 * width**2)) / len(apart))


def _of_directions(unit: Tensor) -> float:
    return _effective_number((unit @ unit.T if len(unit) <= unit.shape[1] else unit.T @ unit) / len(unit))


def _effective_number(matrix: Tensor) -> float:
    shares = torch.linalg.eigvalsh(matrix).clamp_min(0.0)
    return math.exp(-float(torch.xlogy(shares, shares).sum()))


class VendiRatio(QualityMetric):
    """Vendi score of generated samples over that of equally many real ones: the variety that is left, 1 for equal distributions.

    Collapse lowers it; the loss of a few kinds out of many hardly does.

    Parameters
    ----------
    kernel : "gaussian" or "cosine"
        See ``vendi_score``. The width of the Gaussian is half the mean distance between reals, on both sides.
    reservoir : int, samples
        Enter the value, of each side; time grows with its cube.

    Examples
    --------
    >>> metric = VendiRatio()
    >>> metric.update(torch.randn(200, 4, generator=torch.Generator().manual_seed(0)), real=True)
    >>> metric.update(torch.ones(200, 4), real=False)
    >>> metric.compute() < 0.1
    tensor(True)
    """

    higher_is_better = True
    least = 4
    bounds = (0.0, math.inf)

    def __init__(self, extractor: Extractor | None = None, *, kernel: Kernel = "gaussian", reservoir: int = 1_000, **kwargs: Any) -> None:
        super().__init__(extractor, reservoir=reservoir, **kwargs)
        if kernel not in KERNELS:
            raise UserError(f"kernel must be one of {KERNELS}, got {kernel!r}")
        self.kernel: Kernel = kernel

    def measure(self, real: Tensor, fake: Tensor) -> float:
        n = min(len(real), len(fake))
        return self._ratio(*self._prepared(real[:n], fake[:n]))

    def _interval(self, value: float) -> tuple[float, float]:
        """Jackknife, without each tenth of both sides in turn: of half of the samples the value is another."""
        n = self._used(real=False)
        groups = min(GROUPS, n - 1)
        sides = self._prepared(*(self.features(real=real)[:n] for real in (True, False)))
        of = torch.arange(n, device=self.device) % groups
        ratios = []
        for group in range(groups):
            kept = (of != group).nonzero()[:, 0]
            ratios.append(self._ratio(*(side[kept] if self.kernel == "cosine" else side[kept][:, kept] for side in sides)))
        low, high = self._around(math.log(value), (groups - 1) / math.sqrt(groups) * torch.tensor(ratios, dtype=torch.float64).log())
        return math.exp(low), math.exp(high)

    def _prepared(self, *sides: Tensor) -> list[Tensor]:
        return [_directions(side) if self.kernel == "cosine" else _distances(side) for side in sides]

    def _ratio(self, real: Tensor, fake: Tensor) -> float:
        if self.kernel == "cosine":
            return _of_directions(fake) / _of_directions(real)
        width = max(float(real.sum()) / (len(real) * (len(real) - 1)) / 2.0, _NARROWEST)
        return _of_distances(fake, width) / _of_distances(real, width)

    def _null(self) -> float:
        return 1.0

    def provenance(self) -> dict[str, Any]:
        return super().provenance() | {"kernel": self.kernel}

    def _used(self, *, real: bool) -> int:  # noqa: ARG002  # equally many on both sides
        return min(len(self.features(real=True)), len(self.features(real=False)))
