"""Reference of quality: real samples, prepared once for many small evaluations of one generator."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ganwatch.metrics.clusters import find_clusters
from ganwatch.metrics.conditioning import distance_by_label
from ganwatch.metrics.coverage import neighbourhoods
from ganwatch.metrics.frechet import FrechetReference
from ganwatch.metrics.kernel import kernel_distance
from ganwatch.metrics.kmeans import assign
from ganwatch.metrics.modes import MIN_REALS_PER_CLUSTER, Mode, modes_of
from ganwatch.metrics.moments import Moments
from ganwatch.metrics.neighbours import nearest_neighbours

JACKKNIFE_PARTS = 4
"""Parts of the generated samples; the values without each part give the standard error."""
NEIGHBOURS = 5
MAX_CLUSTERS = 50
MIN_PER_LABEL = 8
"""Samples of a label on each side below which it has no distance of its own."""


@dataclass(frozen=True, slots=True)
class ValueWithError:
    """A value and its standard error."""

    value: float
    error: float


class Reference:
    """Features of real samples and, where they are known, their labels.

    Parameters
    ----------
    features : Tensor, shape (N, D), float32
        At least 40 samples.
    labels : Tensor, shape (N,), integer, optional
    seed : int
        Seed of the clusters.

    Examples
    --------
    >>> real = torch.randn(200, 4, generator=torch.Generator().manual_seed(0))
    >>> reference = Reference(real)
    >>> sorted(reference.compare(real))
    ['coverage', 'density', 'frechet', 'kernel_distance', 'precision', 'recall']
    >>> [mode for mode in reference.modes(real) if mode.is_missing]
    []
    """

    def __init__(self, features: Tensor, labels: Tensor | None = None, *, seed: int = 0) -> None:
        self.features, self.labels = features, labels
        self._frechet = FrechetReference(Moments.from_batches(features))
        half = len(features) // 2
        if labels is None:
            self.centres = find_clusters(features[:half], max(1, min(MAX_CLUSTERS, len(features) // MIN_REALS_PER_CLUSTER)), seed=seed)
            self._counted, self._modes = torch.arange(half, len(features)), assign(features[half:], self.centres)
        else:
            self._counted, self._modes = torch.arange(len(features)), labels

    def compare(self, fake: Tensor) -> dict[str, ValueWithError]:
        """Return distances and neighbourhoods of generated features ``(M, D)``, by the name of the signal."""
        k = min(NEIGHBOURS, len(fake) - 1, len(self.features) - 1)
        near = neighbourhoods(self.features, fake, k)
        return {
            "frechet": _jackknife(fake, lambda part: self._frechet.distance(Moments.from_batches(part))),
            "kernel_distance": _jackknife(fake, lambda part: kernel_distance(self.features, part)),
            **{name: ValueWithError(part.value, part.error) for name, part in near.items()},
        }

    def modes(self, fake: Tensor, fake_labels: Tensor | None = None) -> list[Mode]:
        """Return every mode of the real data, the most surely missing first; examples are places among the reals.

        Modes are the labels, if the reals have some; ``fake_labels`` then are those of the generated samples. Otherwise modes are clusters
        of one half of the reals, and the other half is counted.
        """
        of_fake = assign(fake, self.centres) if self.labels is None else self.classify(fake) if fake_labels is None else fake_labels
        modes = modes_of(self._modes, of_fake)
        return [replace(mode, examples=tuple(self._counted[list(mode.examples)].tolist())) for mode in modes]

    def classify(self, features: Tensor) -> Tensor:
        """Return the label that most of the nearest reals have: shape (M,), int64."""
        return self._majority_label(nearest_neighbours(features, self.features, NEIGHBOURS)[1])

    def label_agreement(self, fake: Tensor, requested: Tensor) -> dict[str, ValueWithError]:
        """Return the share of generated samples classified as their requested label, and of reals, by the others, as their own."""
        assert self.labels is not None
        own = self._majority_label(nearest_neighbours(self.features, None, NEIGHBOURS)[1])
        return {"fake": _share_with_error(self.classify(fake) == requested), "real": _share_with_error(own == self.labels)}

    def label_distances(self, fake: Tensor, requested: Tensor) -> dict[int, float]:
        """Return the kernel distance within each label, NaN for a label with too few samples."""
        assert self.labels is not None
        return distance_by_label(kernel_distance, self.features, self.labels, fake, requested, min_samples=MIN_PER_LABEL)

    def _majority_label(self, places: Tensor) -> Tensor:
        assert self.labels is not None
        return self.labels[places].mode(1).values


def _jackknife(fake: Tensor, distance: Callable[[Tensor], float]) -> ValueWithError:
    """Return a distance and its standard error by leaving out one part after the other."""
    parts = fake.chunk(JACKKNIFE_PARTS)
    without = [distance(torch.cat([part for at, part in enumerate(parts) if at != left])) for left in range(len(parts))]
    spread = torch.tensor(without, dtype=torch.float64).var(correction=0)
    return ValueWithError(distance(fake), math.sqrt((len(parts) - 1) * float(spread)))


def _share_with_error(agree: Tensor) -> ValueWithError:
    share = float(agree.double().mean())
    return ValueWithError(share, math.sqrt(share * (1.0 - share) / len(agree)))
