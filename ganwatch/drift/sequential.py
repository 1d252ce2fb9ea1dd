"""Repeated checks of fresh samples against one baseline, with a bound on false alarms that holds given the baseline.

Such checks are dependent: all of them share the chance errors of one baseline, so a level per check says little about a year. What
counts is the probability of a false alarm *given* the baseline, and that this baseline is not an unlucky one. With ``b`` the error of
the baseline's mean in the kernel's space and ``g`` that of today's fresh mean, a check without drift has the statistic ``|g - b|²``,
where ``g`` is new every time and ``b`` is the same for ever. Both are drawn by resampling the baseline (Efron 1979, Ann. Statist. 7:1):
for each of many baselines ``b`` the tail over ``g`` gives the threshold under which a year without drift has an alarm with probability
``alpha``, and the threshold taken is one that suffices for more than the share ``confidence`` of the baselines: of the others nine in ten
are left to the chance that the tail, which comes from the same baseline, is estimated too low.

The tail is needed far out, at one check in thousands. Beyond its 99 % quantile it is taken as exponential, which for a sum of squares
is on the safe side: its logarithm is concave (Pickands 1975, Ann. Statist. 3:119, has the method).

Simulated for 300 baselines of 1,000 skewed samples, with a year of checks of 60 samples each: 294 keep a probability of 0.05 in the year,
and 4 of the years have a false alarm. ``tests/drift/test_sequential.py`` has more worlds.

The kernel is the Gaussian one through random Fourier features (Rahimi and Recht 2007, NIPS 20), whose bandwidth comes from the baseline.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ganwatch.core.errors import UserError
from ganwatch.drift.kernel import as_features, same_width, usual_bandwidth

DAILY = 365
"""Checks in a year of daily checks."""
_FREQUENCIES = 128
"""Random Fourier features are twice as many."""
_ITEMS = 50
"""Items behind a simulated mean; that of a larger sample is drawn from as many and scaled, which leaves its tail a little too heavy."""
_DRAWS = 40_000
"""Simulated checks."""
_BASELINES = 400
"""Simulated baselines."""
_TAIL = 0.01
"""Share of the simulated checks that the tail is fitted to."""
_LEFT = 0.1
"""Share of the baselines beyond ``confidence`` that may be lost to their own error; the rest is for the estimate of the tail."""
_COST = 1.25
"""A baseline is large enough where its own error raises the threshold by no more than this factor over an endless one."""
FEWEST = 20
"""Samples below which nothing can be said of a distribution's tail."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """What a year of checks against this baseline is worth.

    Parameters
    ----------
    threshold : float
        Squared distance in the kernel's space from which on a check is an alarm.
    alpha : float
        Probability of any false alarm in ``checks`` checks, for the share ``confidence`` of the baselines at least.
    checks : int
    confidence : float
    baseline, size : int
        Samples of the baseline and of each check.
    needed : int
        Samples that the baseline should have for fresh samples of this ``size``.
    run_lengths : dict of str to float
        Checks until a false alarm, simulated: quantiles ``5 %``, ``25 %``, ``50 %`` over chance and baselines.
    """

    threshold: float
    alpha: float
    checks: int
    confidence: float
    baseline: int
    size: int
    needed: int
    run_lengths: dict[str, float]

    @property
    def enough(self) -> bool:
        """Whether the baseline is as large as it should be."""
        return self.baseline >= self.needed

    def as_dict(self) -> dict[str, Any]:
        """Plain types."""
        return asdict(self) | {"enough": self.enough}

    def __str__(self) -> str:
        lengths = ", ".join(f"{name} within {length:,.0f}" for name, length in self.run_lengths.items())
        said = (
            f"{self.checks} checks of {self.size} samples have a false alarm with probability {self.alpha:g} at most,"
            f" for {self.confidence:.0%} of baselines of {self.baseline} samples; first false alarms (simulated): {lengths} checks"
        )
        if self.enough:
            return said
        return f"{said}. The baseline should have {self.needed} samples or more: with {self.baseline} its own error hides small drift"


@dataclass(frozen=True, slots=True)
class Check:
    """One check of fresh samples."""

    statistic: float
    alarm: bool
    calibration: Calibration

    def as_dict(self) -> dict[str, Any]:
        """Plain types."""
        return {"statistic": self.statistic, "alarm": self.alarm, "calibration": self.calibration.as_dict()}


class RepeatedChecks:
    """Check fresh samples against one baseline again and again.

    Parameters
    ----------
    baseline : (N, D) array or tensor
        Feature vectors of real samples, drawn independently of each other.
    checks : int
        Checks in the time that ``alpha`` is for: 365 for a year of daily ones.
    alpha : float, in (0, 1)
        Largest probability of any false alarm in that time.
    confidence : float, in (0, 1)
        Share of the baselines for which that has to hold.
    seed : int
        Decides the kernel's frequencies and the simulation.

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
        rules = {"checks": checks >= 1, "alpha": 0 < alpha < 1, "confidence": 0 < confidence < 1, "baseline": len(features) >= FEWEST}
        wanted = {"checks": ">= 1", "alpha": "in (0, 1)", "confidence": "in (0, 1)", "baseline": f"at least {FEWEST} samples"}
        got = {"checks": checks, "alpha": alpha, "confidence": confidence, "baseline": len(features)}
        for name, kept in rules.items():
            if not kept:
                raise UserError(f"{name} must be {wanted[name]}, got {got[name]}")
        self.checks, self.alpha, self.confidence, self._seed = checks, alpha, confidence, seed
        rng = np.random.default_rng(seed)
        self._centre = features.mean(0)
        scale = usual_bandwidth(features, rng)
        self._frequencies = torch.from_numpy(rng.normal(size=(features.shape[1], _FREQUENCIES)) / scale).float()
        embedded = self._embed(features)
        self._mean = embedded.mean(0)
        self._errors = embedded - self._mean
        self._calibrations: dict[int, Calibration] = {}

    def check(self, fresh: Any) -> Check:
        """Compare fresh samples ``(M, D)`` with the baseline.

        Raises
        ------
        UserError
            They are fewer than 20, not finite, or of another dimension.
        """
        features = as_features(fresh, "fresh")
        if len(features) < FEWEST:
            raise UserError(f"fresh must hold at least {FEWEST} samples, got {len(features)}")
        same_width(baseline=self._frequencies.T, fresh=features)
        statistic = float((self._embed(features).mean(0) - self._mean).square().sum())
        calibration = self.calibrate(len(features))
        return Check(statistic, statistic > calibration.threshold, calibration)

    def calibrate(self, size: int) -> Calibration:
        """Simulate checks of ``size`` samples; once for each size."""
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
        tails = _tails(fresh, errors)
        threshold = _enough_for(tails, per_check, self.confidence)
        some, few = fresh[: _DRAWS // 4], errors[: _BASELINES // 4]
        endless = _enough_for(_tails(some, few[:1] * 0), per_check, self.confidence)
        needed = size
        while _enough_for(_tails(some, few * math.sqrt(count / needed)), per_check, self.confidence) > _COST * endless:
            needed += max(1, needed // 3)
        return Calibration(
            threshold, self.alpha, self.checks, self.confidence, count, size, needed, _run_lengths(tails, threshold)
        )

    def _means(self, draws: int, size: int, rng: np.random.Generator) -> Tensor:
        """Errors of the mean of ``size`` samples, ``draws`` of them."""
        items = min(size, _ITEMS)
        chosen = torch.from_numpy(rng.integers(len(self._errors), size=(draws, items)))
        means: Tensor = torch.nn.functional.embedding_bag(chosen, self._errors, mode="mean")
        return means * math.sqrt(items / size)


def _tails(fresh: Tensor, errors: Tensor) -> tuple[Tensor, Tensor]:
    """For each baseline the 99 % quantile of the statistic and its mean excess, ``(B,)`` each."""
    distances = torch.addmm(errors.square().sum(1), fresh, errors.T, alpha=-2).add_(fresh.square().sum(1, keepdim=True))
    top = distances.T.contiguous().topk(math.ceil(_TAIL * len(fresh)) + 1).values.double()
    start = top[:, -1]
    return start, top[:, :-1].mean(1) - start


def _enough_for(tails: tuple[Tensor, Tensor], per_check: float, confidence: float) -> float:
    """The threshold that keeps the level of a check for that share of the baselines."""
    start, excess = tails
    thresholds = start + excess * math.log(_TAIL / per_check) if per_check < _TAIL else start
    share = 1 - _LEFT * (1 - confidence)
    return float(thresholds.sort().values[math.ceil(share * len(thresholds)) - 1])


def _run_lengths(tails: tuple[Tensor, Tensor], threshold: float) -> dict[str, float]:
    start, excess = tails
    per_check = (_TAIL * torch.exp(-(threshold - start) / excess)).clamp_(max=_TAIL)
    lengths = torch.logspace(0, 9, 2000, dtype=torch.float64)
    alarmed = -torch.expm1(lengths[:, None] * torch.log1p(-per_check)).mean(1)
    return {f"{quantile:.0%}": float(lengths[min(int((alarmed < quantile).sum()), len(lengths) - 1)]) for quantile in (0.05, 0.25, 0.5)}
