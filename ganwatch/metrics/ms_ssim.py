"""Diversity by structural similarity: how alike two generated images are, against how alike two real ones are."""

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
"""Of the scales, finest first (Wang, Simoncelli and Bovik, 2003)."""
WINDOW = 11
SMALLEST = WINDOW // 2 + 1
_PAIRS = 32


def scales(height: int, width: int) -> int:
    """How many scales images of this size have: halved up to four times while the 11-pixel window fits, one where it never does.

    >>> scales(8, 8), scales(32, 32), scales(64, 64), scales(256, 256)
    (1, 2, 3, 5)
    """
    return max(1, sum(min(height, width) >> halved >= WINDOW for halved in range(len(WEIGHTS))))


def pairwise_ms_ssim(images: Tensor, data_range: float) -> Tensor:
    """MS-SSIM of neighbouring pairs, 0 with 1, 2 with 3, …: shape (N // 2,), between 0 and 1, 1 for identical images.

    Small images have fewer than five scales, see ``scales``, with weights that add up to the same: values compare between images of one
    size only.

    Parameters
    ----------
    images : Tensor, shape (N, C, H, W), floating point
        Sides of 6 pixels or more.
    data_range : float > 0
        Largest less smallest possible value.
    """
    if images.ndim != 4 or min(images.shape[2:]) < SMALLEST:
        raise UserError(f"images must have shape (N, C, H, W) with sides of at least {SMALLEST} pixels, got {tuple(images.shape)}")
    if not data_range > 0.0:
        raise UserError(f"data_range must be > 0, got {data_range}")
    used = WEIGHTS[: scales(*images.shape[2:])]
    weights = tuple(weight * sum(WEIGHTS) / sum(used) for weight in used)
    n = len(images) // 2 * 2
    first, second = (torch.split(images[place:n:2], _PAIRS) for place in (0, 1))
    return torch.cat(
        [
            multiscale_structural_similarity_index_measure(  # the window follows from sigma; the rule that kernel_size is for is ours above
                one, other, sigma=1.5, kernel_size=1, reduction="none", data_range=data_range, betas=weights, normalize="relu"
            )
            for one, other in zip(first, second, strict=True)
        ]
    )


class PairSimilarity(QualityMetric):
    """Mean MS-SSIM of pairs of generated images (Odena et al., 2017, arXiv:1610.09585); that of pairs of real ones is its null.

    Above the null the generator has less variety than the data. Pairs are disjoint, so the interval is that of a mean.

    Parameters
    ----------
    data_range : float > 0, optional
        Largest less smallest possible value of a pixel. By default the span of the real images.
    reservoir : int, images
        At most so many of each side are kept.

    Examples
    --------
    >>> metric = PairSimilarity(data_range=1.0)
    >>> metric.update(torch.rand(8, 1, 16, 16, generator=torch.Generator().manual_seed(0)), real=True)
    >>> metric.update(torch.ones(8, 1, 16, 16), real=False)
    >>> metric.compute()
    tensor(1., dtype=torch.float64)
    """

    higher_is_better = False
    least = 4
    bounds = (0.0, 1.0)

    def __init__(self, *, data_range: float | None = None, reservoir: int = 500, **kwargs: Any) -> None:
        super().__init__(reservoir=reservoir, **kwargs)
        if data_range is not None and not data_range > 0.0:
            raise UserError(f"data_range must be > 0, got {data_range}")
        self.data_range = data_range

    @classmethod
    def demonstration(cls, n: int, seed: int) -> tuple[Tensor, Tensor]:
        generator = torch.Generator().manual_seed(seed)
        return torch.rand(n, 1, 8, 8, generator=generator), 0.5 * torch.rand(n, 1, 8, 8, generator=generator)

    def measure(self, real: Tensor, fake: Tensor) -> float:
        return float(self._similarities(fake, real).mean())

    def _rows(self, samples: Batch) -> Tensor:
        images = torch.as_tensor(samples)
        if images.ndim != 4 or min(images.shape[2:]) < SMALLEST:
            raise UserError(f"samples must be images N×C×H×W with sides of at least {SMALLEST} pixels, got shape {tuple(images.shape)}")
        return images.float()

    def _interval(self, value: float) -> tuple[float, float]:
        apart = self._similarities(self.features(real=False), self.features(real=True))
        half = normal_quantile(self.confidence) * float(apart.std()) / math.sqrt(len(apart))
        return value - half, value + half

    def _null(self) -> float:
        real = self.features(real=True)
        return float(self._similarities(real, real).mean())

    def _similarities(self, images: Tensor, real: Tensor) -> Tensor:
        span = float(real.max() - real.min()) if self.data_range is None else self.data_range
        return pairwise_ms_ssim(images, span or 1.0).double()

    def provenance(self) -> dict[str, Any]:
        shape = self._shape("fake")
        return super().provenance() | {"data_range": self.data_range, "scales": scales(*shape[1:]) if shape else None}
