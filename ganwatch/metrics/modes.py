"""Modes of the real data that are missing among generated samples."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from ganwatch.core.errors import UserError
from ganwatch.features.extractor import Batch, Extractor
from ganwatch.metrics.indexed import IndexedMetric
from ganwatch.metrics.intervals import holm, wilson
from ganwatch.metrics.kmeans import assign, kmeans
from ganwatch.metrics.labels import label_rows

MIN_REALS_PER_CLUSTER = 20
"""Real samples per cluster, on average; fewer reduce the number of clusters."""
MAX_EXAMPLES = 8
"""Real samples of a mode that are returned as examples."""
MAX_REMAINING = 0.5
"""Share of generated samples against that of real ones above which a mode is not missing, however certain the difference is."""


@dataclass(frozen=True, slots=True)
class Mode:
    """A mode of the real data and its share among generated samples."""

    label: int
    """Label, or number of the cluster."""
    expected: float
    """Share of the real samples."""
    observed: float
    """Share of the generated samples."""
    p_value: float
    """Probability of at most the observed number by chance, corrected for the number of modes."""
    is_missing: bool
    examples: tuple[int, ...]
    """Indices of real samples of this mode."""


def modes_of(real: Tensor, fake: Tensor, *, level: float = 0.05) -> list[Mode]:
    """Compare the share of each mode among real and generated samples, the most certainly missing modes first.

    If nothing is missing, the number of generated samples among all samples of a mode is binomial. The p-value is the exact probability of
    as few (an upper bound of it for modes with large shares), corrected for the number of modes (Holm). A mode is missing if the p-value is
    below the level and half of its share or less remains.

    Parameters
    ----------
    real, fake : Tensor, shapes (N,) and (M,), integer
        Mode of each sample.
    level : float in (0, 1)
        Probability that some mode counts as missing although none is.

    Examples
    --------
    >>> modes = modes_of(torch.arange(1000) % 10, torch.arange(1000) % 9)
    >>> [(mode.label, mode.expected, mode.observed, mode.examples[:2]) for mode in modes if mode.is_missing]
    [(9, 0.1, 0.0, (9, 19))]
    """
    from scipy.special import bdtr

    if not len(real) or not len(fake):
        raise UserError(f"real and fake must have at least 1 sample, got {len(real)} and {len(fake)}")
    n, m = len(real), len(fake)
    counts = torch.bincount(real)
    labels = counts.nonzero()[:, 0].tolist()
    reals, fakes = counts[labels].tolist(), torch.bincount(fake, minlength=len(counts))[labels].tolist()
    corrected = holm([float(bdtr(y, x + y, m / (n + m))) for x, y in zip(reals, fakes, strict=True)])
    modes = [
        Mode(label, x / n, y / m, p, p < level and y / m <= MAX_REMAINING * x / n, _first_indices(real == label))
        for label, x, y, p in zip(labels, reals, fakes, corrected, strict=True)
    ]
    return sorted(modes, key=lambda mode: (mode.p_value, -mode.expected))


def _first_indices(is_member: Tensor) -> tuple[int, ...]:
    return tuple(is_member.nonzero()[:MAX_EXAMPLES, 0].tolist())


class MissingModes(IndexedMetric):
    """Share of the real data that is lost with the missing modes, between 0 and 1; see ``modes_of``.

    Modes are labels, or clusters of the features. Clusters are fitted to one half of the reals and counted on the other, so that two
    samples of the same data agree. The interval is that of the lost share of the missing modes.

    Parameters
    ----------
    extractor : callable, optional
        Samples to features; with ``clusters=None`` a classifier's scores, of which the largest decides.
    clusters : int or None
        Maximum number of clusters; there are fewer if the reals have fewer than 20 samples per cluster. None for labels: then ``update``
        without an extractor takes integers of shape ``(N,)``.
    level : float in (0, 1)
        Probability that some mode counts as missing although none is.

    Examples
    --------
    >>> metric = MissingModes(clusters=None)
    >>> metric.update(torch.arange(1000) % 10, real=True)
    >>> metric.update(torch.arange(1000) % 9, real=False)
    >>> metric.compute(), [mode.label for mode in metric.modes() if mode.is_missing]
    (tensor(0.1000, dtype=torch.float64), [9])
    """

    higher_is_better = False
    min_samples = MIN_REALS_PER_CLUSTER
    bounds = (0.0, 1.0)

    def __init__(self, extractor: Extractor | None = None, *, clusters: int | None = 50, level: float = 0.05, **kwargs: Any) -> None:
        super().__init__(extractor, **kwargs)
        if clusters is not None and clusters < 2:
            raise UserError(f"clusters must be >= 2 or None for labels, got {clusters}")
        if not 0.0 < level < 1.0:
            raise UserError(f"level must be in (0, 1), got {level}")
        self.clusters, self.level = clusters, level
        self._modes: list[Mode] = []

    def update(self, samples: Batch, *, real: bool, indices: Tensor | None = None) -> None:
        """Add samples ``(N, …)`` of one set, or features ``(N, D)``, or labels ``(N,)``.

        Parameters
        ----------
        samples : Tensor
        real : bool
        indices : Tensor, shape (N,), int64, less than 2**24, optional
            Indices that identify examples in ``modes``; by default they count the samples of the set in this process.
        """
        self._update_indexed("real" if real else "fake", samples, indices)

    def modes(self) -> list[Mode]:
        """Return every mode, the most certainly missing first, with the indices that ``update`` was given; empty for too few samples."""
        real, fake = self.features(real=True), self.features(real=False)
        return self._find_modes(real, fake) if min(len(real), len(fake)) >= self.min_samples else []

    def measure(self, real: Tensor, fake: Tensor) -> float:
        self._modes = self._find_modes(real, fake)
        return sum(mode.expected - mode.observed for mode in self._modes if mode.is_missing)

    def _rows(self, samples: Batch) -> Tensor:
        return super()._rows(samples) if self.clusters is not None else label_rows(samples, self.extractor)

    def _find_modes(self, real: Tensor, fake: Tensor) -> list[Mode]:
        """Compare rows whose last column is their index."""
        if self.clusters is None:
            real_labels, fake_labels = real[:, 0].long(), fake[:, 0].long()
        else:
            half = len(real) // 2
            centres = kmeans(real[:half, :-1], max(1, min(self.clusters, len(real) // MIN_REALS_PER_CLUSTER)), seed=self.seed)
            real = real[half:]
            real_labels, fake_labels = (assign(rows[:, :-1], centres) for rows in (real, fake))
        indices = real[:, -1].long()
        modes = modes_of(real_labels, fake_labels, level=self.level)
        return [replace(mode, examples=tuple(indices[list(mode.examples)].tolist())) for mode in modes]

    def _interval(self, value: float) -> tuple[float, float]:
        """Compute the interval of a difference of shares (Newcombe, 1998)."""
        missing = [mode for mode in self._modes if mode.is_missing]
        expected, observed = sum(mode.expected for mode in missing), sum(mode.observed for mode in missing)
        counted = self._count_used(real=True) if self.clusters is None else self._count_used(real=True) - self._count_used(real=True) // 2
        expected_low, expected_high = wilson(expected, counted, self.confidence)
        observed_low, observed_high = wilson(observed, self._count_used(real=False), self.confidence)
        low = value - math.hypot(expected - expected_low, observed_high - observed)
        return low, value + math.hypot(expected_high - expected, observed - observed_low)

    def _null(self) -> float:
        return 0.0

    def provenance(self) -> dict[str, Any]:
        return super().provenance() | {"clusters": self.clusters, "level": self.level}
