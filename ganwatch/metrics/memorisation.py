"""Memorisation: whether generated samples lie nearer to the training samples than other real samples do."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from ganwatch.core.errors import UserError
from ganwatch.features.extractor import Batch, Extractor
from ganwatch.metrics.intervals import share_interval
from ganwatch.metrics.kmeans import assign, kmeans
from ganwatch.metrics.neighbours import nearest
from ganwatch.metrics.places import PlacedMetric

CELLS = 10
PER_CELL = 50
"""Held-out and generated samples for each cell on average, at least."""
RARE = 0.05
"""A cell counts where it holds as many of the generated samples as this share of an even part."""
NEIGHBOURS = 10
BY_CHANCE = 0.01
"""Share of held-out samples that would pass for copies."""


@dataclass(frozen=True, slots=True)
class Copy:
    """A generated sample that lies closer to a training sample than real samples do."""

    fake: int
    """Place of the generated sample."""
    training: int
    """Place of the training sample."""
    distance: float
    ratio: float
    """Distance to the nearest training sample over that to the tenth."""


@dataclass(frozen=True, slots=True)
class Copying:
    """What the distances to the nearest training sample tell."""

    nearer: float
    """Probability that a generated sample lies nearer than a held-out one, within a cell of the data; 0.5 without memorisation."""
    error: float
    """Standard error of that."""
    c_t: float
    """Meehan et al.'s statistic, in standard deviations: far below 0 for memorisation, far above for a generator that is off the data."""
    share: float
    """Share of generated samples that are near copies; one in a hundred is so by chance."""
    copies: tuple[Copy, ...]
    """These near copies, nearest first."""


UNKNOWN = Copying(math.nan, math.nan, math.nan, math.nan, ())


def copying(training: Tensor, held_out: Tensor, fake: Tensor, *, seed: int = 0) -> Copying:
    """Compare how far generated and held-out real samples lie from the training samples.

    Within each cell of the data (k-means on the training samples), because generated samples that are merely more frequent where the data
    are dense lie nearer too. Cells weigh as held-out samples fall into them (Meehan, Chaudhuri and Dasgupta, 2020, arXiv:2004.05675).
    A near copy is a generated sample whose nearest training sample is nearer, in units of the distance to the tenth, than for all but one
    in a hundred held-out samples; so copies that the data have among themselves do not count.

    Parameters
    ----------
    training, held_out, fake : Tensor, shapes (T, D), (N, D), (M, D), floating point
        Held-out samples come from the same source as the training samples, and are not among them.
    seed : int
        Of the cells.

    Examples
    --------
    >>> draw = torch.Generator().manual_seed(0)
    >>> training, held_out = torch.randn(200, 3, generator=draw), torch.randn(100, 3, generator=draw)
    >>> found = copying(training, held_out, training[:50] + 1e-3)
    >>> found.nearer, found.share, found.copies[0].training == found.copies[0].fake
    (1.0, 1.0, True)
    """
    if len(training) < 2 or len(held_out) < 2 or len(fake) < 2:
        raise UserError(f"training, held_out and fake must have at least 2 samples, got {len(training)}, {len(held_out)} and {len(fake)}")
    k = min(NEIGHBOURS, len(training))
    (real_apart, _), (fake_apart, places) = (nearest(side, training, k) for side in (held_out, fake))
    centres = kmeans(training, max(1, min(CELLS, len(held_out) // PER_CELL, len(fake) // PER_CELL, len(training))), seed=seed)
    real_cells, fake_cells = (assign(side, centres) for side in (held_out, fake))
    nearer = variance = c_t = weights = 0.0
    for cell in range(len(centres)):
        real, generated = real_apart[real_cells == cell, 0].double(), fake_apart[fake_cells == cell, 0].double()
        if len(real) < 2 or len(generated) < max(2.0, RARE * len(fake) / len(centres)):
            continue
        share, error2, z = _rank_test(real, generated)
        weights += len(real)
        nearer += len(real) * share
        variance += len(real) ** 2 * error2
        c_t += len(real) * z
    known = weights or math.nan
    copies = _near_copies(real_apart, fake_apart, places)
    return Copying(nearer / known, math.sqrt(variance) / known, c_t / known, len(copies) / len(fake), copies)


def nearer_to_training(training: Tensor, held_out: Tensor, fake: Tensor, *, seed: int = 0) -> tuple[float, float]:
    """Share of generated samples whose nearest real sample is one of the training's, and not a held-out one, of as many of each.

    It is 0.5 without memorisation however far the samples are from real data, where ``copying`` sees copies that are as close as real
    samples are (after Yale et al., 2019, adversarial accuracy against training and test data).

    Parameters
    ----------
    training, held_out, fake : Tensor, shapes (T, D), (N, D), (M, D), floating point
        No training sample twice.
    seed : int
        Of the choice of as many training as held-out samples, or the reverse.

    Returns
    -------
    share, error : float
        The standard error is that of a share of as many independent samples as the smallest side has.

    Examples
    --------
    >>> draw = torch.Generator().manual_seed(0)
    >>> training, held_out = torch.randn(100, 9, generator=draw), torch.randn(100, 9, generator=draw)
    >>> nearer_to_training(training, held_out, training[:60] + 0.3 * torch.randn(60, 9, generator=draw))[0] > 0.9
    True
    """
    n = min(len(training), len(held_out))
    draw = torch.Generator().manual_seed(seed)
    apart = [nearest(fake, side[torch.randperm(len(side), generator=draw)[:n]], 1)[0][:, 0] for side in (training, held_out)]
    share = float(((torch.sign(apart[1] - apart[0]) + 1.0) / 2.0).mean())
    return share, 0.5 / math.sqrt(min(n, len(fake)))


def _rank_test(real: Tensor, fake: Tensor) -> tuple[float, float, float]:
    """P(fake < real) with ties as halves, its variance (DeLong et al., 1988), and the standardised number of pairs with fake > real."""
    n, m = len(real), len(fake)
    of_fake = _share_above(real, fake)
    of_real = 1.0 - _share_above(fake, real)
    share = float(of_fake.mean())
    z = (0.5 - share) * n * m / math.sqrt(n * m * (n + m + 1) / 12.0)
    return share, float(of_fake.var()) / m + float(of_real.var()) / n, z


def _share_above(values: Tensor, limits: Tensor) -> Tensor:
    """Share of the values above each limit, those equal to it as halves."""
    ordered = values.sort().values
    up_to, below = (torch.searchsorted(ordered, limits, right=right) for right in (True, False))
    return 1.0 - (up_to + below).double() / (2.0 * len(values))


def _near_copies(real_apart: Tensor, fake_apart: Tensor, places: Tensor) -> tuple[Copy, ...]:
    of_real, of_fake = ((apart[:, 0] / apart[:, -1]).nan_to_num(1.0) for apart in (real_apart, fake_apart))  # 0/0: all ten are the same
    limit = of_real.double().quantile(BY_CHANCE, interpolation="lower")
    found = (of_fake.double() < limit).nonzero().squeeze(1)
    order = found[of_fake[found].argsort(stable=True)].tolist()
    return tuple(Copy(i, int(places[i, 0]), float(fake_apart[i, 0]), float(of_fake[i])) for i in order)


class Memorisation(PlacedMetric):
    """Probability that a generated sample lies nearer to the training samples than a held-out real one; 0.5 without memorisation.

    Three sides: ``update(x, training=True)`` for what the generator was trained on, ``update(x, real=True)`` for other real samples of the
    same source, ``update(x, real=False)``. A copy of a training sample that the reservoir did not keep is not seen, so let it be
    as large as the training data where memory allows.

    Parameters
    ----------
    reservoir : int, samples
        At most so many of each side are kept.

    Examples
    --------
    >>> draw = torch.Generator().manual_seed(0)
    >>> metric = Memorisation()
    >>> training = torch.randn(200, 3, generator=draw)
    >>> metric.update(training, training=True)
    >>> metric.update(torch.randn(100, 3, generator=draw), real=True)
    >>> metric.update(training[7:9] + 1e-3, real=False)
    >>> metric.compute(), {copy.training for copy in metric.copying().copies} == {7, 8}
    (tensor(1., dtype=torch.float64), True)
    """

    higher_is_better = False
    sides = ("real", "fake", "training")
    bounds = (0.0, 1.0)

    def __init__(self, extractor: Extractor | None = None, *, reservoir: int = 50_000, **kwargs: Any) -> None:
        super().__init__(extractor, reservoir=reservoir, **kwargs)
        self._found = UNKNOWN

    def update(self, samples: Batch, *, real: bool | None = None, training: bool = False, places: Tensor | None = None) -> None:
        """Take samples ``(N, …)`` of one side, or features ``(N, D)`` where there is no extractor.

        Parameters
        ----------
        samples : Tensor
        real : bool, optional
            Held-out real samples, or generated ones.
        training : bool
            Training samples, in place of `real`.
        places : Tensor, shape (N,), int64, less than 2**24, optional
            What ``copying`` calls the samples; by default their place among those of their side that this process was given.
        """
        if training == (real is not None):
            raise UserError(f"one of real and training must be given, got real={real} and training={training}")
        side = "training" if training else "real" if real else "fake"
        self._take_placed(side, samples, places)

    def copying(self) -> Copying:
        """All that the distances tell, with the places that ``update`` was given; everything unknown for too few samples."""
        sides = [self._kept(side) for side in ("training", "real", "fake")]
        return UNKNOWN if min(map(len, sides)) < self.least else self._copying(*sides)

    def measure(self, real: Tensor, fake: Tensor) -> float:
        training = self._kept("training")
        self._found = UNKNOWN if len(training) < self.least else self._copying(training, real, fake)
        return self._found.nearer

    def _copying(self, *sides: Tensor) -> Copying:
        """From rows whose last column is their place."""
        training, _, fake = sides
        found = copying(*(rows[:, :-1] for rows in sides), seed=self.seed)
        named = (replace(copy, fake=int(fake[copy.fake, -1]), training=int(training[copy.training, -1])) for copy in found.copies)
        return replace(found, copies=tuple(named))

    def _interval(self, value: float) -> tuple[float, float]:
        return share_interval(value, self._found.error, min(self._used(real=True), self._used(real=False)), self.confidence)

    def _null(self) -> float:
        return 0.5
