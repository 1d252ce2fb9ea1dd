"""Real samples, prepared once for many small evaluations of one generator."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ganwatch.metrics.clusters import clusters
from ganwatch.metrics.conditioning import distance_by_label
from ganwatch.metrics.coverage import neighbourhoods
from ganwatch.metrics.frechet import FrechetReference
from ganwatch.metrics.kernel import kernel_distance
from ganwatch.metrics.kinds import PER_KIND, Kind, kinds_of
from ganwatch.metrics.kmeans import assign
from ganwatch.metrics.moments import Moments
from ganwatch.metrics.neighbours import nearest

PARTS = 4
"""Of the generated samples; the values without each of them give the standard error."""
NEIGHBOURS = 5
CLUSTERS = 50
PER_LABEL = 8
"""Samples of a label on each side below which it has no distance of its own."""


@dataclass(frozen=True, slots=True)
class Measured:
    """A value and its standard error."""

    value: float
    error: float


class Reference:
    """Features of real samples and, where they are known, their labels.

    Parameters
    ----------
    features : Tensor, shape (N, D), float32
        At least 40.
    labels : Tensor, shape (N,), integer, optional
    seed : int
        Of the clusters.

    Examples
    --------
    >>> real = torch.randn(200, 4, generator=torch.Generator().manual_seed(0))
    >>> reference = Reference(real)
    >>> sorted(reference.compare(real))
    ['coverage', 'density', 'frechet', 'kernel_distance', 'precision', 'recall']
    >>> [kind for kind in reference.kinds(real) if kind.missing]
    []
    """

    def __init__(self, features: Tensor, labels: Tensor | None = None, *, seed: int = 0) -> None:
        self.features, self.labels = features, labels
        self._frechet = FrechetReference(Moments.of(features))
        half = len(features) // 2
        if labels is None:
            self.centres = clusters(features[:half], max(1, min(CLUSTERS, len(features) // PER_KIND)), seed=seed)
            self._counted, self._kinds = torch.arange(half, len(features)), assign(features[half:], self.centres)
        else:
            self._counted, self._kinds = torch.arange(len(features)), labels

    def compare(self, fake: Tensor) -> dict[str, Measured]:
        """Distances and neighbourhoods of generated features ``(M, D)``, by the name of the signal."""
        k = min(NEIGHBOURS, len(fake) - 1, len(self.features) - 1)
        near = neighbourhoods(self.features, fake, k)
        return {
            "frechet": _jackknifed(fake, lambda part: self._frechet.distance(Moments.of(part))),
            "kernel_distance": _jackknifed(fake, lambda part: kernel_distance(self.features, part)),
            **{name: Measured(part.value, part.error) for name, part in near.items()},
        }

    def kinds(self, fake: Tensor, produced: Tensor | None = None) -> list[Kind]:
        """Every kind of real data, the most surely missing first; examples are places among the reals.

        Kinds are the labels, where there are some (``produced`` has those of the generated samples), else clusters, made of one half of
        the reals and counted on the other.
        """
        of_fake = assign(fake, self.centres) if self.labels is None else self.classify(fake) if produced is None else produced
        kinds = kinds_of(self._kinds, of_fake)
        return [replace(kind, examples=tuple(self._counted[list(kind.examples)].tolist())) for kind in kinds]

    def classify(self, features: Tensor) -> Tensor:
        """The label that most of the nearest reals have: shape (M,), int64."""
        return self._vote(nearest(features, self.features, NEIGHBOURS)[1])

    def agreement(self, fake: Tensor, requested: Tensor) -> dict[str, Measured]:
        """Share of generated samples that are classified as what was asked for, and of reals, by the others, as what they are."""
        assert self.labels is not None
        own = self._vote(nearest(self.features, None, NEIGHBOURS)[1])
        return {"fake": _share(self.classify(fake) == requested), "real": _share(own == self.labels)}

    def by_label(self, fake: Tensor, requested: Tensor) -> dict[int, float]:
        """Kernel distance within each label; NaN for one with too few samples."""
        assert self.labels is not None
        return distance_by_label(kernel_distance, self.features, self.labels, fake, requested, least=PER_LABEL)

    def _vote(self, places: Tensor) -> Tensor:
        assert self.labels is not None
        return self.labels[places].mode(1).values


def _jackknifed(fake: Tensor, distance: Callable[[Tensor], float]) -> Measured:
    """A distance and its standard error by leaving out one part after the other."""
    parts = fake.chunk(PARTS)
    without = [distance(torch.cat([part for at, part in enumerate(parts) if at != left])) for left in range(len(parts))]
    spread = torch.tensor(without, dtype=torch.float64).var(correction=0)
    return Measured(distance(fake), math.sqrt((len(parts) - 1) * float(spread)))


def _share(agree: Tensor) -> Measured:
    share = float(agree.double().mean())
    return Measured(share, math.sqrt(share * (1.0 - share) / len(agree)))
