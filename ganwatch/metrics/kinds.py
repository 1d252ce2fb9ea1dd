"""Which kinds of real data are missing among the generated."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from ganwatch.core.errors import UserError
from ganwatch.features.extractor import Batch, Extractor
from ganwatch.metrics.intervals import holm, wilson
from ganwatch.metrics.kmeans import assign, kmeans
from ganwatch.metrics.labels import label_rows
from ganwatch.metrics.places import PlacedMetric

PER_KIND = 20
"""Reals for each cluster, at least."""
EXAMPLES = 8
HALF = 0.5
"""A kind with more than this part of its share is not called missing, however sure the difference is."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of real data and how much of it there is among the generated."""

    kind: int
    """Label or number of the cluster."""
    expected: float
    """Share of the real samples."""
    observed: float
    """Share of the generated samples."""
    p_value: float
    """That so few come by chance, corrected over the kinds."""
    missing: bool
    examples: tuple[int, ...]
    """Places of real samples of this kind."""


def kinds_of(real: Tensor, fake: Tensor, *, level: float = 0.05) -> list[Kind]:
    """Compare the shares of each kind of real data, the most surely missing ones first.

    Of the samples of a kind on both sides, the number of generated ones is binomial if nothing is missing: the exact probability of as few
    (for kinds with large shares an upper bound of it), corrected over the kinds (Holm). A kind is missing where that is below the level
    and half of its share or less is left.

    Parameters
    ----------
    real, fake : Tensor, shapes (N,) and (M,), integer
        The kind of each sample.
    level : float in (0, 1)
        Probability that any kind is called missing where none is.

    Examples
    --------
    >>> kinds = kinds_of(torch.arange(1000) % 10, torch.arange(1000) % 9)
    >>> [(kind.kind, kind.expected, kind.observed, kind.examples[:2]) for kind in kinds if kind.missing]
    [(9, 0.1, 0.0, (9, 19))]
    """
    from scipy.special import bdtr

    if not len(real) or not len(fake):
        raise UserError(f"real and fake must have at least 1 sample, got {len(real)} and {len(fake)}")
    n, m = len(real), len(fake)
    counts = torch.bincount(real)
    kinds = counts.nonzero()[:, 0].tolist()
    reals, fakes = counts[kinds].tolist(), torch.bincount(fake, minlength=len(counts))[kinds].tolist()
    corrected = holm([float(bdtr(y, x + y, m / (n + m))) for x, y in zip(reals, fakes, strict=True)])
    found = [
        Kind(kind, x / n, y / m, p, p < level and y / m <= HALF * x / n, tuple((real == kind).nonzero()[:EXAMPLES, 0].tolist()))
        for kind, x, y, p in zip(kinds, reals, fakes, corrected, strict=True)
    ]
    return sorted(found, key=lambda kind: (kind.p_value, -kind.expected))


class MissingKinds(PlacedMetric):
    """Share of the real data that is lost with the kinds that are missing, between 0 and 1; see ``kinds_of``.

    Kinds are clusters of the features, made of one half of the reals and counted on the other, so that two samples of the same data agree;
    or labels. The interval is that of the lost share of the kinds that are named.

    Parameters
    ----------
    extractor : callable, optional
        Samples to features; with ``clusters=None`` a classifier's scores, of which the largest counts.
    clusters : int or None
        At most so many, fewer where the reals have fewer than 20 samples for each. None for labels: then ``update`` without an extractor
        is given integers of shape ``(N,)``.
    level : float in (0, 1)
        Probability that any kind is called missing where none is.

    Examples
    --------
    >>> metric = MissingKinds(clusters=None)
    >>> metric.update(torch.arange(1000) % 10, real=True)
    >>> metric.update(torch.arange(1000) % 9, real=False)
    >>> metric.compute(), [kind.kind for kind in metric.kinds() if kind.missing]
    (tensor(0.1000, dtype=torch.float64), [9])
    """

    higher_is_better = False
    least = PER_KIND
    bounds = (0.0, 1.0)

    def __init__(self, extractor: Extractor | None = None, *, clusters: int | None = 50, level: float = 0.05, **kwargs: Any) -> None:
        super().__init__(extractor, **kwargs)
        if clusters is not None and clusters < 2:
            raise UserError(f"clusters must be >= 2 or None for labels, got {clusters}")
        if not 0.0 < level < 1.0:
            raise UserError(f"level must be in (0, 1), got {level}")
        self.clusters, self.level = clusters, level
        self._found: list[Kind] = []

    def update(self, samples: Batch, *, real: bool, places: Tensor | None = None) -> None:
        """Take samples ``(N, …)`` of one side, or features ``(N, D)``, or labels ``(N,)``.

        Parameters
        ----------
        samples : Tensor
        real : bool
        places : Tensor, shape (N,), int64, less than 2**24, optional
            What ``kinds`` calls its examples; by default their place among those of their side that this process was given.
        """
        self._take_placed("real" if real else "fake", samples, places)

    def kinds(self) -> list[Kind]:
        """Every kind, the most surely missing first; examples are places as given to ``update``. Empty for too few samples."""
        real, fake = self.features(real=True), self.features(real=False)
        return self._kinds(real, fake) if min(len(real), len(fake)) >= self.least else []

    def measure(self, real: Tensor, fake: Tensor) -> float:
        self._found = self._kinds(real, fake)
        return sum(kind.expected - kind.observed for kind in self._found if kind.missing)

    def _rows(self, samples: Batch) -> Tensor:
        return super()._rows(samples) if self.clusters is not None else label_rows(samples, self.extractor)

    def _kinds(self, real: Tensor, fake: Tensor) -> list[Kind]:
        """From rows whose last column is their place."""
        if self.clusters is None:
            of_real, of_fake = real[:, 0].long(), fake[:, 0].long()
        else:
            half = len(real) // 2
            centres = kmeans(real[:half, :-1], max(1, min(self.clusters, len(real) // PER_KIND)), seed=self.seed)
            real = real[half:]
            of_real, of_fake = (assign(side[:, :-1], centres) for side in (real, fake))
        places = real[:, -1].long()
        return [
            replace(kind, examples=tuple(places[list(kind.examples)].tolist())) for kind in kinds_of(of_real, of_fake, level=self.level)
        ]

    def _interval(self, value: float) -> tuple[float, float]:
        """That of a difference of shares (Newcombe, 1998)."""
        missing = [kind for kind in self._found if kind.missing]
        expected, observed = sum(kind.expected for kind in missing), sum(kind.observed for kind in missing)
        counted = self._used(real=True) if self.clusters is None else self._used(real=True) - self._used(real=True) // 2
        at_least, at_most = wilson(expected, counted, self.confidence)
        fewest, most = wilson(observed, self._used(real=False), self.confidence)
        return value - math.hypot(expected - at_least, most - observed), value + math.hypot(at_most - expected, observed - fewest)

    def _null(self) -> float:
        return 0.0

    def provenance(self) -> dict[str, Any]:
        return super().provenance() | {"clusters": self.clusters, "level": self.level}
