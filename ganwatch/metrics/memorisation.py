"""Memorisation: generated samples that lie nearer to the training samples than held-out real samples do."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from ganwatch.core.errors import UserError
from ganwatch.features.extractor import Batch, Extractor
from ganwatch.metrics.indexed import IndexedMetric
from ganwatch.metrics.intervals import share_interval
from ganwatch.metrics.kmeans import assign, kmeans
from ganwatch.metrics.neighbours import nearest_neighbours

MAX_CELLS = 10
MIN_SAMPLES_PER_CELL = 50
"""Held-out and generated samples per cell, on average; fewer reduce the number of cells."""
MIN_FAKE_SHARE = 0.05
"""Generated samples of a cell that counts, as a share of an even part of all."""
NEIGHBOURS = 10
"""Number of the neighbour whose distance is the unit of near copies."""
COPY_QUANTILE = 0.01
"""Share of held-out samples that count as near copies."""


@dataclass(frozen=True, slots=True)
class NearCopy:
    """A generated sample that lies closer to a training sample than real samples do."""

    fake: int
    """Index of the generated sample."""
    training: int
    """Index of the training sample."""
    distance: float
    ratio: float
    """Distance to the nearest training sample divided by that to the tenth."""


@dataclass(frozen=True, slots=True)
class TrainingComparison:
    """Results of the distances to the nearest training sample."""

    nearer_probability: float
    """Probability that a generated sample lies nearer than a held-out one, within a cell of the data; 0.5 without memorisation."""
    error: float
    """Standard error of ``nearer_probability``."""
    c_t: float
    """Meehan et al.'s statistic, in standard deviations: far below 0 for memorisation, far above for a generator that misses the data."""
    share: float
    """Share of generated samples that are near copies; one in a hundred is one by chance."""
    copies: tuple[NearCopy, ...]
    """The near copies, nearest first."""


UNKNOWN = TrainingComparison(math.nan, math.nan, math.nan, math.nan, ())


def compare_to_training(training: Tensor, held_out: Tensor, fake: Tensor, *, seed: int = 0) -> TrainingComparison:
    """Compare the distances of generated and held-out real samples to the training samples.

    The comparison is made within each cell of the data (k-means on the training samples), because generated samples that are merely more
    frequent where the data are dense lie nearer too. The weight of a cell is its share of held-out samples (Meehan, Chaudhuri and Dasgupta,
    2020, arXiv:2004.05675). A near copy is a generated sample whose nearest training sample is nearer, in units of the distance to the
    tenth, than for all but one in a hundred held-out samples. So copies within the data do not count.

    Parameters
    ----------
    training, held_out, fake : Tensor, shapes (T, D), (N, D), (M, D), floating point
        Held-out samples have the same source as the training samples, and are not among them.
    seed : int
        Seed of the cells.

    Examples
    --------
    >>> draw = torch.Generator().manual_seed(0)
    >>> training, held_out = torch.randn(200, 3, generator=draw), torch.randn(100, 3, generator=draw)
    >>> result = compare_to_training(training, held_out, training[:50] + 1e-3)
    >>> result.nearer_probability, result.share, result.copies[0].training == result.copies[0].fake
    (1.0, 1.0, True)
    """
    if len(training) < 2 or len(held_out) < 2 or len(fake) < 2:
        raise UserError(f"training, held_out and fake must have at least 2 samples, got {len(training)}, {len(held_out)} and {len(fake)}")
    k = min(NEIGHBOURS, len(training))
    (real_distances, _), (fake_distances, indices) = (nearest_neighbours(samples, training, k) for samples in (held_out, fake))
    cells = min(MAX_CELLS, len(held_out) // MIN_SAMPLES_PER_CELL, len(fake) // MIN_SAMPLES_PER_CELL, len(training))
    centres = kmeans(training, max(1, cells), seed=seed)
    real_cells, fake_cells = (assign(samples, centres) for samples in (held_out, fake))
    nearer = variance = c_t = weights = 0.0
    for cell in range(len(centres)):
        real, generated = real_distances[real_cells == cell, 0].double(), fake_distances[fake_cells == cell, 0].double()
        if len(real) < 2 or len(generated) < max(2.0, MIN_FAKE_SHARE * len(fake) / len(centres)):
            continue
        share, error2, z = _rank_test(real, generated)
        weights += len(real)
        nearer += len(real) * share
        variance += len(real) ** 2 * error2
        c_t += len(real) * z
    total = weights or math.nan
    copies = _find_near_copies(real_distances, fake_distances, indices)
    return TrainingComparison(nearer / total, math.sqrt(variance) / total, c_t / total, len(copies) / len(fake), copies)


def training_proximity(training: Tensor, held_out: Tensor, fake: Tensor, *, seed: int = 0) -> tuple[float, float]:
    """Return the share of generated samples whose nearest real sample is a training and not a held-out one, among as many of each.

    It is 0.5 without memorisation however far the samples are from real data. ``compare_to_training`` finds only copies that are as close
    as real samples are. After Yale et al., 2019, adversarial accuracy against training and test data.

    Parameters
    ----------
    training, held_out, fake : Tensor, shapes (T, D), (N, D), (M, D), floating point
        Training samples are distinct.
    seed : int
        Seed of the choice of as many training as held-out samples, or the reverse.

    Returns
    -------
    share, error : float
        The standard error is that of a share of as many independent samples as the smallest set has.

    Examples
    --------
    >>> draw = torch.Generator().manual_seed(0)
    >>> training, held_out = torch.randn(100, 9, generator=draw), torch.randn(100, 9, generator=draw)
    >>> training_proximity(training, held_out, training[:60] + 0.3 * torch.randn(60, 9, generator=draw))[0] > 0.9
    True
    """
    n = min(len(training), len(held_out))
    draw = torch.Generator().manual_seed(seed)
    distances = [
        nearest_neighbours(fake, samples[torch.randperm(len(samples), generator=draw)[:n]], 1)[0][:, 0] for samples in (training, held_out)
    ]
    share = float(((torch.sign(distances[1] - distances[0]) + 1.0) / 2.0).mean())
    return share, 0.5 / math.sqrt(min(n, len(fake)))


def _rank_test(real: Tensor, fake: Tensor) -> tuple[float, float, float]:
    """Return P(fake < real) with ties as halves, its variance (DeLong et al., 1988), and the standardised number of pairs fake > real."""
    n, m = len(real), len(fake)
    of_fake = _share_above(real, fake)
    of_real = 1.0 - _share_above(fake, real)
    share = float(of_fake.mean())
    z = (0.5 - share) * n * m / math.sqrt(n * m * (n + m + 1) / 12.0)
    return share, float(of_fake.var()) / m + float(of_real.var()) / n, z


def _share_above(values: Tensor, limits: Tensor) -> Tensor:
    """Return the share of the values above each limit; equal values count as halves."""
    ordered = values.sort().values
    up_to, below = (torch.searchsorted(ordered, limits, right=right) for right in (True, False))
    return 1.0 - (up_to + below).double() / (2.0 * len(values))


def _find_near_copies(real_distances: Tensor, fake_distances: Tensor, indices: Tensor) -> tuple[NearCopy, ...]:
    real_ratios, fake_ratios = ((each[:, 0] / each[:, -1]).nan_to_num(1.0) for each in (real_distances, fake_distances))  # 0/0: ten copies
    limit = real_ratios.double().quantile(COPY_QUANTILE, interpolation="lower")
    near = (fake_ratios.double() < limit).nonzero().squeeze(1)
    order = near[fake_ratios[near].argsort(stable=True)].tolist()
    return tuple(NearCopy(i, int(indices[i, 0]), float(fake_distances[i, 0]), float(fake_ratios[i])) for i in order)


class Memorisation(IndexedMetric):
    """Probability that a generated sample lies nearer to the training samples than a held-out real one; 0.5 without memorisation.

    Three sample sets: ``update(x, training=True)`` for the training samples, ``update(x, real=True)`` for other real samples of the same
    source, ``update(x, real=False)`` for generated ones. Copies of training samples outside the reservoir are not found, so make it as
    large as the training data if memory allows.

    Parameters
    ----------
    reservoir : int, samples
        Maximum number of samples of each set that are stored.

    Examples
    --------
    >>> draw = torch.Generator().manual_seed(0)
    >>> metric = Memorisation()
    >>> training = torch.randn(200, 3, generator=draw)
    >>> metric.update(training, training=True)
    >>> metric.update(torch.randn(100, 3, generator=draw), real=True)
    >>> metric.update(training[7:9] + 1e-3, real=False)
    >>> metric.compute(), {copy.training for copy in metric.compare_to_training().copies} == {7, 8}
    (tensor(1., dtype=torch.float64), True)
    """

    higher_is_better = False
    sample_sets = ("real", "fake", "training")
    bounds = (0.0, 1.0)

    def __init__(self, extractor: Extractor | None = None, *, reservoir: int = 50_000, **kwargs: Any) -> None:
        super().__init__(extractor, reservoir=reservoir, **kwargs)
        self._result = UNKNOWN

    def update(self, samples: Batch, *, real: bool | None = None, training: bool = False, indices: Tensor | None = None) -> None:
        """Add samples ``(N, …)`` of one set, or features ``(N, D)`` if there is no extractor.

        Parameters
        ----------
        samples : Tensor
        real : bool, optional
            True for held-out real samples, False for generated ones.
        training : bool
            True for training samples, instead of ``real``.
        indices : Tensor, shape (N,), int64, less than 2**24, optional
            Indices that identify the samples in the result; by default they count the samples of the set in this process.
        """
        if training == (real is not None):
            raise UserError(f"one of real and training must be given, got real={real} and training={training}")
        self._update_indexed("training" if training else "real" if real else "fake", samples, indices)

    def compare_to_training(self) -> TrainingComparison:
        """Return all results, with the indices that ``update`` was given; everything is NaN for too few samples."""
        sets = [self._stored_rows(sample_set) for sample_set in ("training", "real", "fake")]
        return UNKNOWN if min(map(len, sets)) < self.min_samples else self._compare(*sets)

    def measure(self, real: Tensor, fake: Tensor) -> float:
        training = self._stored_rows("training")
        self._result = UNKNOWN if len(training) < self.min_samples else self._compare(training, real, fake)
        return self._result.nearer_probability

    def _compare(self, *sets: Tensor) -> TrainingComparison:
        """Compare training, real and generated rows whose last column is their index."""
        training, _, fake = sets
        result = compare_to_training(*(rows[:, :-1] for rows in sets), seed=self.seed)
        named = (replace(copy, fake=int(fake[copy.fake, -1]), training=int(training[copy.training, -1])) for copy in result.copies)
        return replace(result, copies=tuple(named))

    def _interval(self, value: float) -> tuple[float, float]:
        return share_interval(value, self._result.error, min(self._count_used(real=True), self._count_used(real=False)), self.confidence)

    def _null(self) -> float:
        return 0.5
