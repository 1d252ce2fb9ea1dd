"""Truth about samples of many dimensions: the nearest centre, or a classifier of digits at another size."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from corpus.truth import SAMPLES, Classified, Points, Truth
from torch.nn import functional as F  # noqa: N812  # as everybody calls it

DIRECTIONS = 64
"""Fixed directions of the sliced Wasserstein distance."""
REACH_QUANTILE = 0.99
"""Part of a mode's reals that are nearer to its centre than its reach, before ``REACH_SLACK``."""
REACH_SLACK = 1.5
"""Factor of the reach."""


class Nearest(Truth):
    """Truth about data with a centre per mode: a sample within reach of the nearest centre belongs to its mode.

    The distance is sliced Wasserstein (Rabin et al., 2011) on fixed random directions.

    Parameters
    ----------
    centres : (K, F) float64
    reals, shares
        As for ``Truth``.
    """

    def __init__(self, centres: Points, reals: Points, shares: Points) -> None:
        super().__init__(reals, shares)
        self.centres = centres
        mode, distances = self._nearest(reals)
        usual = np.quantile(distances, REACH_QUANTILE)
        own = (distances[mode == one] for one in range(len(centres)))
        self.reach = np.array([np.quantile(each, REACH_QUANTILE) if len(each) else usual for each in own]) * REACH_SLACK
        directions = np.random.default_rng(0).normal(size=(reals.shape[1], DIRECTIONS))
        self._directions = directions / np.linalg.norm(directions, axis=0)
        self._quantiles = self._project(reals)
        self._constant = float(np.abs(self._quantiles - self._quantiles.mean(0)).mean())

    def _nearest(self, samples: Points) -> tuple[npt.NDArray[np.int64], Points]:
        distances = torch.cdist(torch.from_numpy(samples), torch.from_numpy(self.centres)).numpy()
        return distances.argmin(1), distances.min(1)

    def _project(self, samples: Points) -> Points:
        return np.quantile(samples @ self._directions, (np.arange(SAMPLES) + 0.5) / SAMPLES, axis=0)

    def mode_of(self, samples: Points) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
        mode, distances = self._nearest(samples)
        return mode, distances < self.reach[mode]

    def distance(self, samples: Points) -> float:
        return float(np.abs(self._project(samples) - self._quantiles).mean()) / self._constant


class Combinations(Nearest):
    """Truth about rows with two one-hot blocks at the end: a mode is a combination of their categories.

    A sample belongs to its mode if its continuous columns are within reach of the mode's centre.
    """

    def __init__(self, centres: Points, reals: Points, shares: Points, sizes: tuple[int, int]) -> None:
        self.sizes = sizes
        super().__init__(centres, reals, shares)

    def _nearest(self, samples: Points) -> tuple[npt.NDArray[np.int64], Points]:
        first, second = self.sizes
        columns, blocks = np.split(samples, [-first - second], axis=1)
        mode = second * blocks[:, :first].argmax(1) + blocks[:, first:].argmax(1)
        return mode, np.linalg.norm(columns - self.centres[mode], axis=1)


class Digits(Classified):
    """Truth about digits that classifies the same samples once. Larger images are averaged down to 8x8 pixels."""

    latest: tuple[Points, Points] | None = None

    def __init__(self, images: Points, labels: npt.NDArray[np.int64], reals: Points, shares: Points) -> None:
        super().__init__(shrink(images), labels, reals, shares)

    def _decisions(self, samples: Points) -> Points:
        if self.latest is None or self.latest[0] is not samples:
            self.latest = samples, super()._decisions(shrink(samples))
        return self.latest[1]


def shrink(samples: Points) -> Points:
    """Average rows of 16x16 images down to rows of 8x8, and leave those of 8x8 as they are."""
    if samples.shape[1] == 64:
        return samples
    return F.avg_pool2d(torch.from_numpy(samples).view(-1, 1, 16, 16), 2).flatten(1).numpy()
