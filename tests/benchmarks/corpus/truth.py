"""Truth that no detector sees: the modes of the data that generated samples belong to, by their centres or by a classifier."""

from __future__ import annotations

import statistics
from abc import ABC, abstractmethod
from functools import cache

import numpy as np
import numpy.typing as npt
from scipy import linalg, stats

Points = npt.NDArray[np.float64]

SAMPLES = 500
"""Generated samples of one measurement."""
MIN_PRESENT_RATIO = 0.2
"""Share of a mode among the samples against its share among the reals from which it counts as present."""
MIN_HEALTHY_MODES = 0.875
"""Share of the modes that a healthy generator has: 7 of 8, 9 of 10, 22 of 25."""
MIN_SPREAD_SAMPLES = 8
"""Samples of a mode from which its spread is measured."""


class Truth(ABC):
    """Measures samples of one data set.

    Parameters
    ----------
    reals : (N, F) float64
        Reals that are not in the training data, in the same values.
    shares : (K,) float64
        Share of each mode among the reals of the training.
    """

    def __init__(self, reals: Points, shares: Points) -> None:
        self.reals, self.shares = reals, shares

    @property
    def modes(self) -> int:
        """Number of modes of the data."""
        return int((self.shares > 0).sum())

    @property
    def complete(self) -> int:
        """Number of modes that a healthy generator has more often than not."""
        return self.modes

    @abstractmethod
    def mode_of(self, samples: Points) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
        """Return the nearest mode of each sample, and True if the sample is near enough to belong to it."""

    @abstractmethod
    def distance(self, samples: Points) -> float:
        """Return the distance to the reals in features that no detector uses: 0 for equal distributions, 1 for a constant."""

    def measure(self, samples: Points) -> dict[str, float]:
        """Measure the state of a generator from ``(N, F)`` samples.

        Returns
        -------
        dict
            ``modes`` present; ``lost``, the share of the reals whose mode is missing; ``largest`` share; ``good``, the share of samples
            that belong to a mode at all; ``variety``, the effective share of the modes, near or not (exponential of the entropy);
            ``distance``; ``spread``, the median over modes of the spread within against that of reals.
        """
        if not np.isfinite(samples).all():
            return {"modes": 0.0, "lost": 1.0, "largest": 1.0, "good": 0.0, "variety": 0.0, "distance": float("inf"), "spread": 0.0}
        mode, good = self.mode_of(samples)
        shares = np.bincount(mode[good], minlength=len(self.shares)) / len(samples)
        present = (shares >= MIN_PRESENT_RATIO * self.shares) & (self.shares > 0)
        return {
            "modes": float(present.sum()),
            "lost": float(self.shares[~present].sum()),
            "largest": float(shares.max()),
            "good": float(good.mean()),
            "variety": float(np.exp(stats.entropy(np.bincount(mode, minlength=len(self.shares)))) / self.modes),
            "distance": self.distance(samples),
            "spread": self._spread(samples, mode, good),
        }

    @cache  # noqa: B019  # few instances, as long-lived as the process
    def _real_spreads(self) -> dict[int, float]:
        mode, _ = self.mode_of(self.reals)
        return {one: _spread(self.reals[mode == one]) for one in np.unique(mode).tolist()}

    def _spread(self, samples: Points, mode: npt.NDArray[np.int64], good: npt.NDArray[np.bool_]) -> float:
        real, masks = self._real_spreads(), {one: good & (mode == one) for one in self._real_spreads()}
        ratios = [_spread(samples[masks[one]]) / real[one] for one in real if real[one] and masks[one].sum() >= MIN_SPREAD_SAMPLES]
        return float(np.median(ratios)) if ratios else 0.0


def _spread(samples: Points) -> float:
    return float(np.sqrt(samples.var(0).sum()))


class Centres(Truth):
    """Truth about mixtures of Gaussians: a sample within ``reach`` of the nearest centre belongs to its mode.

    The distance is sliced Wasserstein (Rabin et al., 2011) on fixed directions.
    """

    DIRECTIONS = 16

    def __init__(self, centres: Points, reals: Points, shares: Points) -> None:
        super().__init__(reals, shares)
        distances = np.linalg.norm(centres[:, None] - centres[None], axis=-1)
        self.centres, self.reach = centres, distances[distances > 0].min() / 4.0
        angles = np.pi * np.arange(self.DIRECTIONS) / self.DIRECTIONS
        self._directions = np.stack([np.cos(angles), np.sin(angles)])
        self._quantiles = np.quantile(reals @ self._directions, (np.arange(SAMPLES) + 0.5) / SAMPLES, axis=0)
        self._constant = float(np.abs(self._quantiles - self._quantiles.mean(0)).mean())

    def mode_of(self, samples: Points) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
        distances = np.linalg.norm(samples[:, None] - self.centres[None], axis=-1)
        return distances.argmin(1), distances.min(1) < self.reach

    def distance(self, samples: Points) -> float:
        quantiles = np.quantile(samples @ self._directions, (np.arange(SAMPLES) + 0.5) / SAMPLES, axis=0)
        return float(np.abs(quantiles - self._quantiles).mean()) / self._constant


class Classified(Truth):
    """Truth about digits: support vectors trained on all 1,797. Every sample belongs to some digit.

    The distance is Fréchet's on their decision values.
    """

    def __init__(self, images: Points, labels: npt.NDArray[np.int64], reals: Points, shares: Points) -> None:
        from sklearn.svm import SVC

        super().__init__(reals, shares)
        self._svm = SVC(gamma=0.001 * 64, C=10.0).fit(images, labels)  # values in [-1, 1] instead of 0…16
        decisions = self._decisions(reals)
        self._mean, self._covariance = decisions.mean(0), np.cov(decisions, rowvar=False)
        self._constant = float(np.trace(self._covariance))

    def _decisions(self, samples: Points) -> Points:
        decisions: Points = self._svm.decision_function(samples)
        return decisions

    def mode_of(self, samples: Points) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
        return self._decisions(samples).argmax(1), np.ones(len(samples), dtype=bool)

    def distance(self, samples: Points) -> float:
        decisions = self._decisions(samples)
        covariance = np.cov(decisions, rowvar=False)
        values = linalg.eigvals(covariance @ self._covariance)
        trace = np.trace(covariance) + self._constant - 2.0 * np.sqrt(np.clip(values.real, 0.0, None)).sum()
        return float(((decisions.mean(0) - self._mean) ** 2).sum() + trace) / self._constant


class Stacked(Truth):
    """Truth about three digits as three channels, so a thousand modes. ``Classified`` classifies each channel.

    No measurement has enough samples to find them all. ``modes`` is the number of different ones that equal shares let expect.
    Source: Metz et al., 2017, arXiv:1611.02163.
    """

    def __init__(self, digit: Classified, reals: Points) -> None:
        super().__init__(reals, np.full(1000, 1e-3))
        self.digit = digit

    @property
    def modes(self) -> int:
        return round(1000 * (1.0 - (1.0 - 1e-3) ** SAMPLES))

    @property
    def complete(self) -> int:
        return round(MIN_HEALTHY_MODES * self.modes)

    def mode_of(self, samples: Points) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
        ones, tens, hundreds = (self.digit.mode_of(channel)[0] for channel in self._channels(samples))
        return ones + 10 * tens + 100 * hundreds, np.ones(len(samples), dtype=bool)

    def distance(self, samples: Points) -> float:
        return statistics.fmean(self.digit.distance(channel) for channel in self._channels(samples))

    @staticmethod
    def _channels(samples: Points) -> list[Points]:
        return np.split(samples, 3, axis=1)


def memorised_share(samples: Points, training: Points, unseen: Points) -> float:
    """Return the share of samples that lie nearer to a training real than to an unseen one.

    No more training reals count than there are unseen ones, so that by chance it is one half, and less if there are few training reals.
    """
    nearest = [np.sqrt(((samples[:, None] - some[None]) ** 2).sum(-1)).min(1) for some in (training[: len(unseen)], unseen)]
    return float((nearest[0] < nearest[1]).mean())
