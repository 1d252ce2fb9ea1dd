"""Repeated checks of fresh samples against one baseline, with a bound on false alarms that holds given the baseline.

Such checks are dependent: all of them share the random error of one baseline, so a level per check says little about a year. Two things
matter: the probability of a false alarm *given* the baseline, and the chance that this baseline is an unlucky one. Let ``b`` be the error
of the baseline's mean in the kernel's space and ``g`` the error of today's fresh mean. A check without drift has the statistic
``|g - b|²``, where ``g`` is new every time and ``b`` never changes. Resampling the baseline simulates both (Efron 1979, Ann. Statist.
7:1). For each of many baselines ``b`` the tail over ``g`` gives the threshold at which a year without drift has an alarm with probability
``alpha``. The threshold used is high enough for more than the share ``confidence`` of the baselines. Nine in ten of the other baselines
allow for an error of the tail, which is estimated from the same baseline and may be too low.

The tail is needed far out, at one check in thousands. Beyond its 99 % quantile an exponential is fitted. For a sum of squares that errs
on the safe side, as the logarithm of its tail is concave (method: Pickands 1975, Ann. Statist. 3:119).

Simulated for 300 baselines of 1,000 skewed samples, with a year of checks of 60 samples each: 294 keep a probability of 0.05 in the year,
and 4 of the years have a false alarm. ``tests/drift/test_sequential.py`` has more worlds.

The kernel is Gaussian, by random Fourier features (Rahimi and Recht 2007, NIPS 20), with a bandwidth from the baseline.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ganwatch.core.errors import UserError
from ganwatch.drift.kernel import as_features, check_widths, default_bandwidth

DAILY = 365
"""Checks in a year of daily checks."""
_FREQUENCIES = 128
"""Frequencies of the random Fourier features; there are two features per frequency."""
_MAX_ITEMS = 50
"""Largest number of samples drawn for a simulated mean. The mean of a larger sample is scaled, which leaves its tail a little too heavy."""
_DRAWS = 40_000
"""Number of simulated checks."""
_BASELINES = 400
"""Number of simulated baselines."""
_TAIL_SHARE = 0.01
"""Share of the simulated checks to which the tail is fitted."""
_UNCOVERED_SHARE = 0.1
"""Share of ``1 - confidence`` for baselines whose own error is too large; the rest allows for the error of the fitted tail."""
_MAX_THRESHOLD_RATIO = 1.25
"""A baseline is large enough if its error raises the threshold at most by this factor, compared with an infinite baseline."""
MIN_TAIL_SAMPLES = 20
"""Smallest number of samples from which the tail of a distribution is estimated."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """Threshold and false-alarm rate of repeated checks against one baseline.

    Parameters
    ----------
    threshold : float
        Squared distance in the kernel's space above which a check is an alarm.
    alpha : float
        Probability of any false alarm in ``checks`` checks, for at least the share ``confidence`` of the baselines.
    checks : int
    confidence : float
    baseline, size : int
        Number of samples of the baseline and of each check.
    min_baseline : int
        Number of samples that the baseline should have for checks of this ``size``.
    run_lengths : dict of str to float
        Simulated number of checks until a false alarm: quantiles ``5 %``, ``25 %``, ``50 %`` over checks and baselines.
    """

    threshold: float
    alpha: float
    checks: int
    confidence: float
    baseline: int
    size: int
    min_baseline: int
    run_lengths: dict[str, float]

    @property
    def is_large_enough(self) -> bool:
        """True if the baseline has at least ``min_baseline`` samples."""
        return self.baseline >= self.min_baseline

    def as_dict(self) -> dict[str, Any]:
        """Plain types."""
        return asdict(self) | {"is_large_enough": self.is_large_enough}

    def __str__(self) -> str:
        lengths = ", ".join(f"{name} within {length:,.0f}" for name, length in self.run_lengths.items())
        text = (
            f"{self.checks} checks of {self.size} samples have a false alarm with probability {self.alpha:g} at most,"
            f" for {self.confidence:.0%} of baselines of {self.baseline} samples; first false alarms (simulated): {lengths} checks"
        )
        if self.is_large_enough:
            return text
        return f"{text}. The baseline should have {self.min_baseline} samples or more: with {self.baseline} its own error hides small drift"


@dataclass(frozen=True, slots=True)
class SequentialCheck:
    """The result of one check of fresh samples."""

    statistic: float
    alarm: bool
    calibration: Calibration

    def as_dict(self) -> dict[str, Any]:
        """Plain types."""
        return {"statistic": self.statistic, "alarm": self.alarm, "calibration": self.calibration.as_dict()}


class RepeatedChecks:
    """Checks fresh samples against one baseline repeatedly, with a bound on false alarms over all checks.

    Parameters
    ----------
    baseline : (N, D) array or tensor
        Feature vectors of real samples, drawn independently of each other.
    checks : int
        Number of checks that ``alpha`` is for: 365 for a year of daily checks.
    alpha : float, in (0, 1)
        Largest probability of any false alarm in these checks.
    confidence : float, in (0, 1)
        Share of the baselines for which ``alpha`` must hold.
    seed : int
        Seed of the kernel's frequencies and of the simulation.

    Raises
    ------
    UserError
        An argument breaks a rule.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> checks = RepeatedChecks(rng.normal(size=(2000, 3)))
    >>> checks.check(rng.normal(size=(200, 3))).alarm, checks.check(rng.normal(0.5, size=(200, 3))).alarm
    (False, True)
    """

    def __init__(self, baseline: Any, *, checks: int = DAILY, alpha: float = 0.05, confidence: float = 0.95, seed: int = 0) -> None:
        features = as_features(baseline, "baseline")
        rules = {
            "checks": checks >= 1,
            "alpha": 0 < alpha < 1,
            "confidence": 0 < confidence < 1,
            "baseline": len(features) >= MIN_TAIL_SAMPLES,
        }
        allowed = {"checks": ">= 1", "alpha": "in (0, 1)", "confidence": "in (0, 1)", "baseline": f"at least {MIN_TAIL_SAMPLES} samples"}
        got = {"checks": checks, "alpha": alpha, "confidence": confidence, "baseline": len(features)}
        for name, holds in rules.items():
            if not holds:
                raise UserError(f"{name} must be {allowed[name]}, got {got[name]}")
        self.checks, self.alpha, self.confidence, self._seed = checks, alpha, confidence, seed
        rng = np.random.default_rng(seed)
        self._centre = features.mean(0)
        scale = default_bandwidth(features, rng)
        self._frequencies = torch.from_numpy(rng.normal(size=(features.shape[1], _FREQUENCIES)) / scale).float()
        embedded = self._embed(features)
        self._mean = embedded.mean(0)
        self._errors = embedded - self._mean
        self._calibrations: dict[int, Calibration] = {}

    def check(self, fresh: Any) -> SequentialCheck:
        """Compare fresh samples ``(M, D)`` with the baseline.

        Raises
        ------
        UserError
            There are fewer than 20 samples, a value is not finite, or the dimension differs from the baseline's.
        """
        features = as_features(fresh, "fresh")
        if len(features) < MIN_TAIL_SAMPLES:
            raise UserError(f"fresh must hold at least {MIN_TAIL_SAMPLES} samples, got {len(features)}")
        check_widths(baseline=self._frequencies.T, fresh=features)
        statistic = float((self._embed(features).mean(0) - self._mean).square().sum())
        calibration = self.calibrate(len(features))
        return SequentialCheck(statistic, statistic > calibration.threshold, calibration)

    def calibrate(self, size: int) -> Calibration:
        """Simulate checks of ``size`` samples; the result is cached per size."""
        if size not in self._calibrations:
            self._calibrations[size] = self._simulate(size)
        return self._calibrations[size]

    def _embed(self, features: Tensor) -> Tensor:
        phases = (features - self._centre) @ self._frequencies
        return torch.cat((phases.cos(), phases.sin()), 1) / math.sqrt(_FREQUENCIES)

    def _simulate(self, size: int) -> Calibration:
        rng = np.random.default_rng([self._seed, size])
        count = len(self._errors)
        fresh = self._means(_DRAWS, size, rng)
        errors = self._means(_BASELINES, count, rng)
        per_check = -math.expm1(math.log1p(-self.alpha) / self.checks)
        tails = _fit_tails(fresh, errors)
        threshold = _pick_threshold(tails, per_check, self.confidence)
        checks, baselines = fresh[: _DRAWS // 4], errors[: _BASELINES // 4]
        infinite = _pick_threshold(_fit_tails(checks, baselines[:1] * 0), per_check, self.confidence)
        min_baseline = size
        while True:
            scaled = baselines * math.sqrt(count / min_baseline)
            if _pick_threshold(_fit_tails(checks, scaled), per_check, self.confidence) <= _MAX_THRESHOLD_RATIO * infinite:
                break
            min_baseline += max(1, min_baseline // 3)
        lengths = _run_lengths(tails, threshold)
        return Calibration(threshold, self.alpha, self.checks, self.confidence, count, size, min_baseline, lengths)

    def _means(self, draws: int, size: int, rng: np.random.Generator) -> Tensor:
        """Draw ``draws`` errors of the mean of ``size`` samples."""
        items = min(size, _MAX_ITEMS)
        chosen = torch.from_numpy(rng.integers(len(self._errors), size=(draws, items)))
        means: Tensor = torch.nn.functional.embedding_bag(chosen, self._errors, mode="mean")
        return means * math.sqrt(items / size)


def _fit_tails(fresh: Tensor, errors: Tensor) -> tuple[Tensor, Tensor]:
    """Return for each baseline the 99 % quantile of the statistic and its mean excess, ``(B,)`` each."""
    distances = torch.addmm(errors.square().sum(1), fresh, errors.T, alpha=-2).add_(fresh.square().sum(1, keepdim=True))
    top = distances.T.contiguous().topk(math.ceil(_TAIL_SHARE * len(fresh)) + 1).values.double()
    start = top[:, -1]
    return start, top[:, :-1].mean(1) - start


def _pick_threshold(tails: tuple[Tensor, Tensor], per_check: float, confidence: float) -> float:
    """Return the threshold that keeps the level per check for the share ``confidence`` of the baselines."""
    start, excess = tails
    thresholds = start + excess * math.log(_TAIL_SHARE / per_check) if per_check < _TAIL_SHARE else start
    share = 1 - _UNCOVERED_SHARE * (1 - confidence)
    return float(thresholds.sort().values[math.ceil(share * len(thresholds)) - 1])


def _run_lengths(tails: tuple[Tensor, Tensor], threshold: float) -> dict[str, float]:
    """Return quantiles of the number of checks until a false alarm."""
    start, excess = tails
    per_check = (_TAIL_SHARE * torch.exp(-(threshold - start) / excess)).clamp_(max=_TAIL_SHARE)
    lengths = torch.logspace(0, 9, 2000, dtype=torch.float64)
    alarmed = -torch.expm1(lengths[:, None] * torch.log1p(-per_check)).mean(1)
    return {f"{quantile:.0%}": float(lengths[min(int((alarmed < quantile).sum()), len(lengths) - 1)]) for quantile in (0.05, 0.25, 0.5)}
