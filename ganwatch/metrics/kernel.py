"""Kernel distance: the squared maximum mean discrepancy of features, which is 0 on average for equal distributions at any size."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor

from ganwatch.core.errors import UserError
from ganwatch.features.extractor import Extractor
from ganwatch.metrics.base import QualityMetric

ROWS_PER_BLOCK = 1024
"""Rows of a kernel matrix that are in memory at a time."""
MAX_MEDIAN_ROWS = 1000
"""Rows of each set from which the median distance is computed."""
_ROUNDING = 64 * torch.finfo(torch.float64).eps
"""Rounding error of a distance, as a share of the kernel's values; smaller distances become 0."""

Kernel = Callable[[Tensor, Tensor], Tensor]


def polynomial_kernel(x: Tensor, y: Tensor) -> Tensor:
    """Return ``(⟨x, y⟩ / D + 1)³``, the kernel of KID: ``(N, D)`` and ``(M, D)`` to ``(N, M)``.

    >>> float(polynomial_kernel(torch.ones(1, 2), torch.ones(1, 2)))
    8.0
    """
    return (x @ y.T / x.shape[1] + 1.0) ** 3


def gaussian_kernel(width: float) -> Kernel:
    """Return the kernel ``exp(-‖x − y‖² / (2 width²))``: ``(N, D)`` and ``(M, D)`` to ``(N, M)``; it is 1 for equal rows, also at width 0.

    >>> round(float(gaussian_kernel(1.0)(torch.zeros(1, 2), torch.ones(1, 2))), 4)
    0.3679
    """

    def kernel(x: Tensor, y: Tensor) -> Tensor:
        return torch.exp(-0.5 * (torch.cdist(x, y) / max(width, torch.finfo(x.dtype).tiny)) ** 2)

    return kernel


def median_distance(real: Tensor, fake: Tensor) -> float:
    """Return the median distance between two samples of the pooled sets, from at most 1,000 evenly spaced rows of each."""
    pooled = torch.cat([rows[:: math.ceil(len(rows) / MAX_MEDIAN_ROWS)] for rows in (real, fake)])
    return float(torch.nn.functional.pdist(pooled.double()).median())


def kernel_distances(real: Tensor, fake: Tensor, in_real: Tensor, in_fake: Tensor, kernel: Kernel = polynomial_kernel) -> Tensor:
    """Return the unbiased squared MMD of many pairs of subsamples, from one pass over the kernel matrices.

    Parameters
    ----------
    real, fake : Tensor ``(N, D)``, ``(M, D)``
        Features.
    in_real, in_fake : bool Tensor ``(N, B)``, ``(M, B)``
        Membership of the samples in each of the B subsamples.
    kernel : callable
        Takes two blocks of rows and returns their kernel matrix.

    Returns
    -------
    Tensor ``(B,)``, float64; NaN for a subsample with fewer than two samples of a set. Memory is that of 1,024 rows of a kernel matrix.
    """
    real, fake = real.double(), fake.double()
    real_weight, fake_weight = in_real.to(real), in_fake.to(fake)
    n, m = real_weight.sum(0), fake_weight.sum(0)
    within_real = _sum_pairs(real, real, real_weight, real_weight, kernel) / (n * (n - 1))
    within_fake = _sum_pairs(fake, fake, fake_weight, fake_weight, kernel) / (m * (m - 1))
    between = _sum_pairs(real, fake, real_weight, fake_weight, kernel) / (n * m)
    distances = within_real + within_fake - 2 * between
    distances = torch.where(distances.abs() > _ROUNDING * between.abs(), distances, 0.0)
    return torch.where((n >= 2) & (m >= 2), distances, torch.nan)


def kernel_distance(real: Tensor, fake: Tensor, kernel: Kernel = polynomial_kernel) -> float:
    """Return the unbiased squared maximum mean discrepancy of two feature sets.

    The default kernel gives the kernel inception distance (KID). It is unbiased: for equal distributions it is 0 on average, and so below
    0 half of the time.

    Parameters
    ----------
    real, fake : Tensor ``(N, D)``, ``(M, D)``
        Features.
    kernel : callable
        ``polynomial_kernel`` or ``gaussian_kernel(median_distance(real, fake))``.

    References
    ----------
    Gretton et al., "A Kernel Two-Sample Test", JMLR 13, 2012; Bińkowski et al., "Demystifying MMD GANs", 2018, arXiv 1801.01401.

    Examples
    --------
    >>> real, fake = torch.tensor([[0.0], [2.0]]), torch.tensor([[1.0], [3.0]])
    >>> kernel_distance(real, fake, lambda x, y: x @ y.T)  # 0 * 2 + 1 * 3 - 2 * mean(0, 0, 2, 6)
    -1.0
    """
    every_real, every_fake = (torch.ones(len(rows), 1, dtype=torch.bool, device=rows.device) for rows in (real, fake))
    return float(kernel_distances(real, fake, every_real, every_fake, kernel)[0])


def _sum_pairs(x: Tensor, y: Tensor, in_x: Tensor, in_y: Tensor, kernel: Kernel) -> Tensor:
    """Return the sum of the kernel over the pairs of each subsample; within one set without the diagonal, from the upper half."""
    sums = torch.zeros(in_x.shape[1], dtype=torch.float64, device=x.device)
    for start in range(0, len(x), ROWS_PER_BLOCK):
        rows, first = slice(start, start + ROWS_PER_BLOCK), start if x is y else 0
        matrix = kernel(x[rows], y[first:])
        if x is y:
            matrix[:, : len(matrix)].fill_diagonal_(0.0)
            matrix[:, len(matrix) :] *= 2.0
        sums += (in_x[rows] * (matrix @ in_y[first:])).sum(0)
    return sums


class KernelDistance(QualityMetric):
    """Kernel distance (KID, MMD²) between real and generated features.

    It needs no Gaussian features and is unbiased, so small and unequal sizes compare, unlike with the Fréchet distance.

    Parameters
    ----------
    extractor : Extractor, optional
        Samples to features ``(N, D)``; without it ``update`` takes features.
    kernel : {"polynomial", "gaussian"}
        The cubic kernel of KID, or a Gaussian whose width is the median distance.
    **kwargs
        Arguments of ``QualityMetric``.

    References
    ----------
    Bińkowski et al., "Demystifying MMD GANs", 2018, arXiv 1801.01401; Gretton et al., "A Kernel Two-Sample Test", JMLR 13, 2012.

    Examples
    --------
    >>> metric = KernelDistance()
    >>> metric.update(torch.tensor([[0.0], [1.0], [2.0]]), real=True)
    >>> metric.update(torch.tensor([[3.0], [4.0], [5.0]]), real=False)
    >>> round(float(metric.compute()), 1)
    4569.7
    """

    higher_is_better = False
    kernels: ClassVar[tuple[str, ...]] = ("polynomial", "gaussian")

    def __init__(self, extractor: Extractor | None = None, *, kernel: str = "polynomial", **kwargs: Any) -> None:
        super().__init__(extractor, **kwargs)
        if kernel not in self.kernels:
            raise UserError(f"kernel must be one of {self.kernels}, got {kernel!r}")
        self.kernel = kernel

    def measure(self, real: Tensor, fake: Tensor) -> float:
        return kernel_distance(real, fake, self._kernel(real, fake))

    def _kernel(self, real: Tensor, fake: Tensor) -> Kernel:
        return polynomial_kernel if self.kernel == "polynomial" else gaussian_kernel(median_distance(real, fake))

    def _interval(self, value: float) -> tuple[float, float]:
        real, fake = self.features(real=True), self.features(real=False)
        generator = torch.Generator().manual_seed(self.seed)
        in_real, in_fake = (self._draw_members(len(rows), generator) for rows in (real, fake))
        return self._t_interval(value, kernel_distances(real, fake, in_real, in_fake, self._kernel(real, fake)))

    def _draw_members(self, n: int, generator: torch.Generator) -> Tensor:
        return torch.stack([torch.randperm(n, generator=generator) < n // 2 for _ in range(self.resamples)], 1).to(self.device)

    def _null(self) -> float:
        return 0.0

    def provenance(self) -> dict[str, Any]:
        return super().provenance() | {"kernel": self.kernel}
