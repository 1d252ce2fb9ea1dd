"""Number of statistically different bins: clusters of the real data whose share differs among generated samples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ganwatch.core.errors import UserError
from ganwatch.features.extractor import Extractor
from ganwatch.metrics.base import QualityMetric
from ganwatch.metrics.intervals import normal_quantile, wilson
from ganwatch.metrics.kmeans import assign, kmeans

MIN_REALS_PER_BIN = 20
"""Real samples per bin, on average; fewer reduce the number of bins."""


@dataclass(frozen=True, slots=True)
class Bins:
    """Shares of each bin among reals and fakes, float64 of shape (K,), and which bins differ, bool of shape (K,)."""

    real: Tensor
    fake: Tensor
    different: Tensor


def compare_bins(real: Tensor, fake: Tensor, bins: int = 100, *, level: float = 0.05, seed: int = 0) -> Bins:
    """Compare the shares of bins of the real data among reals and fakes (Richardson and Weiss, 2018, arXiv:1805.12462).

    Bins are clusters of one half of the reals; the other half is counted. A cluster holds more of the samples that it was fitted to than
    of others, so counting the same half would make two samples of the same data differ. The two-proportion z-test decides whether a bin
    differs.

    Parameters
    ----------
    real, fake : Tensor, shapes (N, D) and (M, D), floating point, in random order
    bins : int
        Maximum number of bins; there are fewer if the reals have fewer than 20 samples per bin.
    level : float in (0, 1)
        Level of the test of each bin: the share of bins that differ between two samples of the same data.
    seed : int
        Seed of the clusters.

    Examples
    --------
    >>> real = torch.arange(200).remainder(2)[:, None].float()
    >>> compare_bins(real, torch.zeros(50, 1), bins=2).different
    tensor([True, True])
    """
    if len(real) < 2 or len(fake) < 1:
        raise UserError(f"real and fake must have at least 2 samples and 1, got {len(real)} and {len(fake)}")
    half = len(real) // 2
    centres = kmeans(real[:half], max(1, min(bins, len(real) // MIN_REALS_PER_BIN)), seed=seed)
    counts = [torch.bincount(assign(samples, centres), minlength=len(centres)).double().cpu() for samples in (real[half:], fake)]
    n, m = (float(count.sum()) for count in counts)
    in_real, in_fake = counts[0] / n, counts[1] / m
    pooled = (counts[0] + counts[1]) / (n + m)
    error = (pooled * (1.0 - pooled) * (1.0 / n + 1.0 / m)).sqrt()
    return Bins(in_real, in_fake, (in_real - in_fake).abs() > normal_quantile(1.0 - level) * error)


class DifferentBins(QualityMetric):
    """Fraction of bins of the real data whose share differs among generated samples, between 0 and 1; see ``compare_bins``.

    The interval treats the bins as independent. More samples show smaller differences, so compare values at equal sizes only.

    Parameters
    ----------
    bins : int
        Maximum number of bins.
    level : float in (0, 1)
        Share of bins that differ between two samples of the same data.

    Examples
    --------
    >>> metric = DifferentBins(bins=10)
    >>> draw = torch.Generator().manual_seed(0)
    >>> metric.update(torch.randn(1000, 2, generator=draw), real=True)
    >>> metric.update(torch.randn(1000, 2, generator=draw) + 3.0, real=False)
    >>> metric.compute() > 0.5
    tensor(True)
    """

    higher_is_better = False
    bounds = (0.0, 1.0)

    def __init__(self, extractor: Extractor | None = None, *, bins: int = 100, level: float = 0.05, **kwargs: Any) -> None:
        super().__init__(extractor, **kwargs)
        if bins < 1:
            raise UserError(f"bins must be >= 1, got {bins}")
        if not 0.0 < level < 1.0:
            raise UserError(f"level must be in (0, 1), got {level}")
        self.bins, self.level = bins, level

    def measure(self, real: Tensor, fake: Tensor) -> float:
        return float(self._bins(real, fake).different.double().mean())

    def _bins(self, real: Tensor, fake: Tensor) -> Bins:
        return compare_bins(real, fake, self.bins, level=self.level, seed=self.seed)

    def _interval(self, value: float) -> tuple[float, float]:
        return wilson(value, len(self._bins(self.features(real=True), self.features(real=False)).different), self.confidence)

    def _null(self) -> float:
        return self.level

    def provenance(self) -> dict[str, Any]:
        return super().provenance() | {"bins": self.bins, "level": self.level}
