"""Diversity by structural similarity: the likeness of two generated images against that of two real ones."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torchmetrics.functional.image import multiscale_structural_similarity_index_measure

from ganwatch.core.errors import UserError
from ganwatch.features.extractor import Batch
from ganwatch.metrics.base import QualityMetric
from ganwatch.metrics.intervals import normal_quantile

WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""Weights of the scales, finest first (Wang, Simoncelli and Bovik, 2003)."""
WINDOW_SIDE = 11
"""Side of the window, in pixels."""
MIN_SIDE = WINDOW_SIDE // 2 + 1
"""Side of the smallest images, in pixels."""
_PAIRS_PER_BLOCK = 32


def count_scales(height: int, width: int) -> int:
    """Return the number of scales for images of this size: they are halved up to four times while the 11-pixel window fits.

    Images in which it never fits have one scale.

    >>> count_scales(8, 8), count_scales(32, 32), count_scales(64, 64), count_scales(256, 256)
    (1, 2, 3, 5)
    """
    return max(1, sum(min(height, width) >> halved >= WINDOW_SIDE for halved in range(len(WEIGHTS))))


def pairwise_ms_ssim(images: Tensor, data_range: float) -> Tensor:
    """Return the MS-SSIM of neighbouring pairs, 0 with 1, 2 with 3, …: shape (N // 2,), between 0 and 1, 1 for identical images.

    Small images have fewer than five scales, see ``count_scales``, with weights of the same sum, so compare values between images of one
    size only.

    Parameters
    ----------
    images : Tensor, shape (N, C, H, W), floating point
        Sides of 6 pixels or more.
    data_range : float > 0
        Largest minus smallest possible value.
    """
    if images.ndim != 4 or min(images.shape[2:]) < MIN_SIDE:
        raise UserError(f"images must have shape (N, C, H, W) with sides of at least {MIN_SIDE} pixels, got {tuple(images.shape)}")
    if not data_range > 0.0:
        raise UserError(f"data_range must be > 0, got {data_range}")
    used = WEIGHTS[: count_scales(*images.shape[2:])]
    weights = tuple(weight * sum(WEIGHTS) / sum(used) for weight in used)
    n = len(images) // 2 * 2
    first, second = (torch.split(images[offset:n:2], _PAIRS_PER_BLOCK) for offset in (0, 1))
    return torch.cat(
        [
            multiscale_structural_similarity_index_measure(  # the window follows from sigma; count_scales replaces the check of kernel_size
                one, other, sigma=1.5, kernel_size=1, reduction="none", data_range=data_range, betas=weights, normalize="relu"
            )
            for one, other in zip(first, second, strict=True)
        ]
    )


class PairSimilarity(QualityMetric):
    """Mean MS-SSIM of pairs of generated images (Odena et al., 2017, arXiv:1610.09585); the null is that of pairs of real ones.

    A value above the null means less variety than the data have. Pairs are disjoint, so the interval is that of a mean.

    Parameters
    ----------
    data_range : float > 0, optional
        Largest minus smallest possible value of a pixel. By default the span of the real images.
    reservoir : int, images
        Maximum number of images of each set that are stored.

    Examples
    --------
    >>> metric = PairSimilarity(data_range=1.0)
    >>> metric.update(torch.rand(8, 1, 16, 16, generator=torch.Generator().manual_seed(0)), real=True)
    >>> metric.update(torch.ones(8, 1, 16, 16), real=False)
    >>> metric.compute()
    tensor(1., dtype=torch.float64)
    """

    higher_is_better = False
    min_samples = 4
    bounds = (0.0, 1.0)

    def __init__(self, *, data_range: float | None = None, reservoir: int = 500, **kwargs: Any) -> None:
        super().__init__(reservoir=reservoir, **kwargs)
        if data_range is not None and not data_range > 0.0:
            raise UserError(f"data_range must be > 0, got {data_range}")
        self.data_range = data_range

    @classmethod
    def example_samples(cls, n: int, seed: int) -> tuple[Tensor, Tensor]:
        generator = torch.Generator().manual_seed(seed)
        return torch.rand(n, 1, 8, 8, generator=generator), 0.5 * torch.rand(n, 1, 8, 8, generator=generator)

    def measure(self, real: Tensor, fake: Tensor) -> float:
        return float(self._similarities(fake, real).mean())

    def _rows(self, samples: Batch) -> Tensor:
        images = torch.as_tensor(samples)
        if images.ndim != 4 or min(images.shape[2:]) < MIN_SIDE:
            raise UserError(f"samples must be images N×C×H×W with sides of at least {MIN_SIDE} pixels, got shape {tuple(images.shape)}")
        return images.float()

    def _interval(self, value: float) -> tuple[float, float]:
        values = self._similarities(self.features(real=False), self.features(real=True))
        half = normal_quantile(self.confidence) * float(values.std()) / math.sqrt(len(values))
        return value - half, value + half

    def _null(self) -> float:
        real = self.features(real=True)
        return float(self._similarities(real, real).mean())

    def _similarities(self, images: Tensor, real: Tensor) -> Tensor:
        span = float(real.max() - real.min()) if self.data_range is None else self.data_range
        return pairwise_ms_ssim(images, span or 1.0).double()

    def provenance(self) -> dict[str, Any]:
        shape = self._shape("fake")
        return super().provenance() | {"data_range": self.data_range, "scales": count_scales(*shape[1:]) if shape else None}
