"""Real samples that quality is compared with: the first batches, collected and then kept as features."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ganwatch.data.sample_format import find_common_range
from ganwatch.evaluation.resolution import SampleResolution
from ganwatch.evaluation.tensor_state import pack, unpack

MAX_BYTES = 64 * 2**20
"""Memory of collected reals."""
MIN_SAMPLES = 40
"""Samples of a side below which nothing can be compared."""


class RealCollector:
    """Collects the real batches that the discriminator receives, with their labels.

    Parameters
    ----------
    count : int, samples
        Samples to collect, fewer if they would take more than 64 MiB.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self._batches: list[tuple[Tensor, Tensor | None]] = []

    @property
    def is_full(self) -> bool:
        """True if there are enough reals."""
        if not self._batches:
            return False
        sample = self._batches[0][0][0]
        affordable = max(MIN_SAMPLES, MAX_BYTES // max(1, sample.numel() * sample.element_size()))
        return self.size >= min(self.count, affordable)

    @property
    def size(self) -> int:
        """Number of reals so far."""
        return sum(len(batch) for batch, _ in self._batches)

    def add(self, samples: Tensor, labels: Tensor | None) -> None:
        """Add a copy of a batch, unless there are enough reals; a batch of another shape replaces those so far."""
        if self.is_full:
            return
        if self._batches and self._batches[0][0].shape[1:] != samples.shape[1:]:
            self._batches.clear()
        self._batches.append((samples.clone(), None if labels is None else labels.clone()))

    def take(self) -> tuple[Tensor, Tensor | None]:
        """Return the finite reals ``(N, …)`` and their labels ``(N,)`` int64, if every batch had some, and forget the batches."""
        samples, labels = torch.cat([batch for batch, _ in self._batches]), [one for _, one in self._batches if one is not None]
        finite = torch.isfinite(samples.flatten(1)).all(1)
        has_labels = len(labels) == len(self._batches)
        self._batches.clear()
        return samples[finite], torch.cat(labels)[finite].long().cpu() if has_labels else None


@dataclass(frozen=True, slots=True)
class RealFeatures:
    """Real samples as features.

    Parameters
    ----------
    features : Tensor, shape (N, D), float32
    labels : Tensor, shape (N,), int64, or None
    heldout : Tensor, shape (M, D), float32, or None
        Features of held-out reals.
    value_range : (low, high)
        Range of the samples.
    resolution : SampleResolution
    pixels : Tensor or None
        The samples as images, which no state keeps.
    """

    features: Tensor
    labels: Tensor | None
    heldout: Tensor | None
    value_range: tuple[float, float]
    resolution: SampleResolution
    pixels: Tensor | None = None

    def state_dict(self) -> dict[str, Any]:
        """Return the features as plain types."""
        return {
            "features": pack(self.features),
            "labels": pack(self.labels),
            "heldout": pack(self.heldout),
            "value_range": list(self.value_range),
            "resolution": [list(self.resolution.shape), self.resolution.sharpness],
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> RealFeatures:
        """Restore saved features."""
        features, labels, heldout = (unpack(state[name]) for name in ("features", "labels", "heldout"))
        shape, sharpness = state["resolution"]
        low, high = state["value_range"]
        return cls(features, labels, heldout, (low, high), SampleResolution(tuple(shape), sharpness))


def infer_range(reals: Tensor) -> tuple[float, float]:
    """Return the range of images: a common one that they fit, else their own extremes."""
    low, high = float(reals.min()), float(reals.max())
    return find_common_range(low, high) or (low, high if high > low else low + 1.0)
