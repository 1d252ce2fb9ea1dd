"""How samples are prepared for the discriminator: what a training changes that lets its resolution grow."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

LEAST = 0.8
"""Part of the detail of one batch that another of the same preparation has at least."""


@dataclass(frozen=True, slots=True)
class Preparation:
    """Shape of a sample, and detail of a batch of images.

    Examples
    --------
    >>> import torch
    >>> fine = torch.ones(1, 1, 8, 8).cumsum(3).remainder(2.0)
    >>> coarse, small = fine.repeat_interleave(2, 3)[..., :8], fine[..., :4]
    >>> [Preparation.of(fine).like(Preparation.of(other)) for other in (3.0 * fine + 1.0, coarse, small)]
    [True, False, False]
    """

    shape: tuple[int, ...]
    detail: float

    @classmethod
    def of(cls, samples: Tensor) -> Preparation:
        """That of a batch, of shape (N, …)."""
        return cls(tuple(samples.shape[1:]), detail(samples))

    def like(self, other: Preparation) -> bool:
        """Whether both may be of one preparation; the detail of what is no image is unknown and does not count."""
        low, high = min(self.detail, other.detail), max(self.detail, other.detail)
        return self.shape == other.shape and not low < LEAST * high


def detail(samples: Tensor) -> float:
    """Mean difference of neighbours in the rows of images (N, C, H, W), in standard deviations; NaN for what is no image.

    Neither brightness nor contrast matters; it falls where images are made coarse.
    """
    if samples.ndim != 4 or samples.shape[3] < 2:
        return math.nan
    samples = samples.float()
    return float(samples.diff(dim=3).abs().mean() / samples.std().clamp_min(1e-30))
