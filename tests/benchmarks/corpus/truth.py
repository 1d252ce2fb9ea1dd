"""What no detector sees: where the generated samples lie among the modes of the data, by their centres or by a classifier."""

from __future__ import annotations

import statistics
from abc import ABC, abstractmethod
from functools import cache

import numpy as np
import numpy.typing as npt
from scipy import linalg, stats

Points = npt.NDArray[np.float64]

SAMPLES = 500
"""Generated samples of one look."""
PRESENT = 0.2
"""Part of its share among the reals from which on a kind counts as present."""
HEALTHY = 0.875
"""Part of the modes that a healthy generator shows: 7 of 8, 9 of 10, 22 of 25."""


class Truth(ABC):
    """Judges samples of one kind of data.

    Parameters
    ----------
    reals : (N, F) float64
        Reals that the training does not see, in the values of the training.
    shares : (K,) float64
        Share of each kind among the reals of the training.
    """

    def __init__(self, reals: Points, shares: Points) -> None:
        self.reals, self.shares = reals, shares

    @property
    def modes(self) -> int:
        """How many modes the data has."""
        return int((self.shares > 0).sum())

    @property
    def complete(self) -> int:
        """How many of them a healthy generator shows more often than not."""
        return self.modes

    @abstractmethod
    def mode_of(self, samples: Points) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
        """Nearest kind of each sample, and whether it is near enough to count as one."""

    @abstractmethod
    def distance(self, samples: Points) -> float:
        """Distance to the reals in features that no detector uses, 0 for equal distributions, 1 for the distance of a constant."""

    def look(self, samples: Points) -> dict[str, float]:
        """The state of a generator from ``(N, F)`` samples.

        Returns
        -------
        dict
            ``modes`` present; ``lost``, the part of the reals whose kind is missing; ``largest`` share; ``good``, the share of samples
            that count as a kind at all; ``variety``, the effective part of the modes, near or not (exponential of the entropy);
            ``distance``; ``spread``, the median over modes of the spread within against that of reals.
        """
        if not np.isfinite(samples).all():
            return {"modes": 0.0, "lost": 1.0, "largest": 1.0, "good": 0.0, "variety": 0.0, "distance": float("inf"), "spread": 0.0}
        kind, good = self.mode_of(samples)
        shares = np.bincount(kind[good], minlength=len(self.shares)) / len(samples)
        present = (shares >= PRESENT * self.shares) & (self.shares > 0)
        return {
            "modes": float(present.sum()),
            "lost": float(self.shares[~present].sum()),
            "largest": float(shares.max()),
            "good": float(good.mean()),
            "variety": float(np.exp(stats.entropy(np.bincount(kind, minlength=len(self.shares)))) / self.modes),
            "distance": self.distance(samples),
            "spread": self._spread(samples, kind, good),
        }

    @cache  # noqa: B019  # few instances, as long-lived as the process
    def _real_spreads(self) -> dict[int, float]:
        kind, _ = self.mode_of(self.reals)
        return {one: _spread(self.reals[kind == one]) for one in np.unique(kind).tolist()}

    def _spread(self, samples: Points, kind: npt.NDArray[np.int64], good: npt.NDArray[np.bool_]) -> float:
        real, least = self._real_spreads(), 8
        ratios = [_spread(samples[good & (kind == one)]) / real[one] for one in real if real[one] and (good & (kind == one)).sum() >= least]
        return float(np.median(ratios)) if ratios else 0.0


def _spread(samples: Points) -> float:
    return float(np.sqrt(samples.var(0).sum()))


class Centres(Truth):
    """Mixtures of Gaussians: the nearest centre, near being within ``reach``; the distance is sliced Wasserstein.

    Source of the distance: Rabin et al., 2011, on fixed directions.
    """

    DIRECTIONS = 16

    def __init__(self, centres: Points, reals: Points, shares: Points) -> None:
        super().__init__(reals, shares)
        apart = np.linalg.norm(centres[:, None] - centres[None], axis=-1)
        self.centres, self.reach = centres, apart[apart > 0].min() / 4.0
        angles = np.pi * np.arange(self.DIRECTIONS) / self.DIRECTIONS
        self._directions = np.stack([np.cos(angles), np.sin(angles)])
        self._quantiles = np.quantile(reals @ self._directions, (np.arange(SAMPLES) + 0.5) / SAMPLES, axis=0)
        self._constant = float(np.abs(self._quantiles - self._quantiles.mean(0)).mean())

    def mode_of(self, samples: Points) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
        apart = np.linalg.norm(samples[:, None] - self.centres[None], axis=-1)
        return apart.argmin(1), apart.min(1) < self.reach

    def distance(self, samples: Points) -> float:
        placed = np.quantile(samples @ self._directions, (np.arange(SAMPLES) + 0.5) / SAMPLES, axis=0)
        return float(np.abs(placed - self._quantiles).mean()) / self._constant


class Classified(Truth):
    """Digits: support vectors trained on all 1,797, every sample counting as some digit; the distance is Fréchet's on their decisions."""

    def __init__(self, images: Points, labels: npt.NDArray[np.int64], reals: Points, shares: Points) -> None:
        from sklearn.svm import SVC

        super().__init__(reals, shares)
        self._svm = SVC(gamma=0.001 * 64, C=10.0).fit(images, labels)  # values in [-1, 1] instead of 0…16
        decisions = self._decisions(reals)
        self._mean, self._covariance = decisions.mean(0), np.cov(decisions, rowvar=False)
        self._constant = float(np.trace(self._covariance))

    def _decisions(self, samples: Points) -> Points:
        found: Points = self._svm.decision_function(samples)
        return found

    def mode_of(self, samples: Points) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
        return self._decisions(samples).argmax(1), np.ones(len(samples), dtype=bool)

    def distance(self, samples: Points) -> float:
        decisions = self._decisions(samples)
        covariance = np.cov(decisions, rowvar=False)
        values = linalg.eigvals(covariance @ self._covariance)
        trace = np.trace(covariance) + self._constant - 2.0 * np.sqrt(np.clip(values.real, 0.0, None)).sum()
        return float(((decisions.mean(0) - self._mean) ** 2).sum() + trace) / self._constant


class Stacked(Truth):
    """Three digits as three channels, so a thousand modes, each channel judged as ``Classified`` does.

    No look has enough samples to find them all: ``modes`` are the different ones among them, and those to be expected of equal shares.
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
        return round(HEALTHY * self.modes)

    def mode_of(self, samples: Points) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
        ones, tens, hundreds = (self.digit.mode_of(channel)[0] for channel in self._channels(samples))
        return ones + 10 * tens + 100 * hundreds, np.ones(len(samples), dtype=bool)

    def distance(self, samples: Points) -> float:
        return statistics.fmean(self.digit.distance(channel) for channel in self._channels(samples))

    @staticmethod
    def _channels(samples: Points) -> list[Points]:
        return np.split(samples, 3, axis=1)


def copies(samples: Points, shown: Points, unseen: Points) -> float:
    """How much nearer samples lie to training reals than to unseen ones: share of samples nearer to one of those shown.

    At most as many of those shown count as there are unseen ones, so that by chance it is one half, and less where only few are shown.
    """
    nearest = [np.sqrt(((samples[:, None] - some[None]) ** 2).sum(-1)).min(1) for some in (shown[: len(unseen)], unseen)]
    return float((nearest[0] < nearest[1]).mean())
