"""Resolution of samples, which some trainings let grow."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

MIN_SHARPNESS_RATIO = 0.8
"""Ratio of the sharpness of two batches, smaller to larger, at which both may have one resolution."""
READS_PER_CONFIRMATION = 2
"""Reads in a row with reals of another resolution that confirm that the training has changed it."""


@dataclass(frozen=True, slots=True)
class SampleResolution:
    """Shape of a sample, and sharpness of a batch of images.

    Examples
    --------
    >>> import torch
    >>> fine = torch.ones(1, 1, 8, 8).cumsum(3).remainder(2.0)
    >>> coarse, small = fine.repeat_interleave(2, 3)[..., :8], fine[..., :4]
    >>> [SampleResolution.of(fine).matches(SampleResolution.of(other)) for other in (3.0 * fine + 1.0, coarse, small)]
    [True, False, False]
    """

    shape: tuple[int, ...]
    sharpness: float

    @classmethod
    def of(cls, samples: Tensor) -> SampleResolution:
        """Measure a batch of shape (N, …)."""
        return cls(tuple(samples.shape[1:]), measure_sharpness(samples))

    def matches(self, other: SampleResolution) -> bool:
        """Return True if both may be one resolution; an unknown sharpness does not count."""
        low, high = min(self.sharpness, other.sharpness), max(self.sharpness, other.sharpness)
        return self.shape == other.shape and not low < MIN_SHARPNESS_RATIO * high


class ResolutionWatch:
    """Notices that reals have another resolution than those that others are compared with.

    Examples
    --------
    >>> import torch
    >>> watch, known = ResolutionWatch(), SampleResolution((1, 2, 2), math.nan)
    >>> [watch.update(known, torch.zeros(4, 1, side, side)) for side in (2, 4, 4)], watch.is_confirmed
    ([False, True, True], True)
    """

    def __init__(self) -> None:
        self._mismatches = 0

    def update(self, known: SampleResolution, samples: Tensor) -> bool:
        """Take a batch of reals; return True if it has another resolution."""
        self._mismatches = 0 if known.matches(SampleResolution.of(samples)) else self._mismatches + 1
        return self._mismatches > 0

    @property
    def is_confirmed(self) -> bool:
        """True if enough batches in a row have another resolution."""
        return self._mismatches >= READS_PER_CONFIRMATION


def measure_sharpness(samples: Tensor) -> float:
    """Return the mean difference of neighbours in images (N, C, H, W), in standard deviations; NaN for other samples.

    It falls as images get coarser, and does not depend on brightness, contrast or orientation.
    """
    if samples.ndim != 4 or min(samples.shape[2:]) < 2:
        return math.nan
    samples = samples.float()
    differences = samples.diff(dim=2).abs().mean() + samples.diff(dim=3).abs().mean()
    return float(differences / (2.0 * samples.std().clamp_min(1e-30)))
