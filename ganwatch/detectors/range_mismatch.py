"""Real and generated samples live in different value ranges.

How it is detected
    The range of the generated batch against that of the real batch of the same step, in units of the real range. Either the real
    values reach several times further than anything that a generator has ever given which stays within -1…1 (0…255 against a tanh), or
    several times further than they did in this run, or the generator fills -1…1 exactly, as a tanh does, and goes on leaving the real
    range by half of it (0…1 against a tanh).

Why it matters
    The discriminator needs no more than the brightness to win, and the generator spends its capacity on an offset. Everything that
    follows, domination and collapse included, is a consequence.

Likely causes
    Data in 0…1 or 0…255 for a generator that ends in a tanh, or in -1…1 for one that ends in a sigmoid; a normalisation that is
    applied to real samples only.

What to do
    Scale the real data to the generator's output range, or give the generator an output layer for the data's range. Apply whatever
    is applied to real samples to generated ones too.

Blind spots
    A generator with an unbounded output overshoots for a while and learns the right range by itself; it is let alone, and so is one that
    is bounded elsewhere than at -1…1, unless the real values change on the way. Differences in mean and spread within the same range
    are not this fault.

Calibration
    On the final part of the corpus it fired on 18 of the 18 runs whose failure it names, and on 0 of 216 healthy ones
    (`make corpus-table`).

References
    Chintala et al., How to train a GAN (ganhacks), 2016: normalise the inputs.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from ganwatch.core.detector import Detector, DetectorResult, FailureKind, Severity, Verdict
from ganwatch.core.readings import Readings, is_finite
from ganwatch.core.statistics import HealthyMedian, Window


class RangeMismatch(Detector):
    """Fire when the ranges of real and generated batches stay apart.

    Parameters
    ----------
    reach_ratio : float, ratio
        Largest absolute real value against the largest absolute generated value so far, above which the generator cannot reach it. The
        same limit holds against the usual largest absolute real value of the run.
    excess_ratio : float, ratio
        Part of the real range by which generated values leave it, for a generator whose outputs never left -1…1.
    window : int, steps
        Length of the evidence.

    Examples
    --------
    >>> readings, onset = RangeMismatch.demo(seed=0)
    >>> detector = RangeMismatch()
    >>> fired = next(r.step for r in readings if detector.update(r))
    >>> onset <= fired <= onset + 200
    True
    """

    code = "GW501"
    title = "range mismatch"
    severity = Severity.TICKET
    kind = FailureKind.DATA
    inputs = ("data_min/real", "data_max/real", "data_min/fake", "data_max/fake")
    required = inputs
    tunable = {"reach_ratio": (2.0, 30.0), "excess_ratio": (0.1, 2.0), "window": (40, 400)}

    def __init__(self, *, reach_ratio: float = 8.0, excess_ratio: float = 0.5, window: int = 120) -> None:
        self.reach_ratio, self.excess_ratio, self.window = reach_ratio, excess_ratio, window
        self._reach_ratios = Window(window)
        self._excess_ratios = Window(window)
        self._has_grown = Window(window)
        self._largest_fake = 0.0
        self._healthy_reach = HealthyMedian(warmup=3)

    def update(self, readings: Readings) -> DetectorResult:
        real_low, real_high, fake_low, fake_high = readings.select(self.inputs)
        if not (is_finite(real_low) and is_finite(real_high) and is_finite(fake_low) and is_finite(fake_high)):
            return None
        if fake_low == fake_high:  # a single value: a dead or non-finite generator has no range
            return None
        self._largest_fake = max(self._largest_fake, abs(fake_low), abs(fake_high))
        real_range = max(real_high - real_low, 1e-30)
        reach = max(abs(real_low), abs(real_high))
        self._reach_ratios.add(readings.step, reach / max(self._largest_fake, 1e-30))
        grown = reach > self.reach_ratio * self._healthy_reach.value if self._healthy_reach.is_ready else False
        self._has_grown.add(readings.step, float(grown))
        self._healthy_reach.update(reach, exclude=grown)
        self._excess_ratios.add(readings.step, max(real_low - fake_low, fake_high - real_high) / real_range)
        if not self._reach_ratios.is_full:
            return None
        reals_grew = self._has_grown.is_full and self._has_grown.low > 0.0
        out_of_reach = 0.5 < self._largest_fake <= 1.0 and self._reach_ratios.low > self.reach_ratio
        exceeds = 0.9 < self._largest_fake <= 1.0 and self._excess_ratios.quantile(0.25) > self.excess_ratio
        if not (out_of_reach or exceeds or reals_grew):
            return None
        origin = "the real batch of the same step"
        if out_of_reach or reals_grew:
            signal = "data_max/real" if abs(real_high) >= abs(real_low) else "data_min/real"
            level = self._largest_fake if out_of_reach else self._healthy_reach.value
            threshold = math.copysign(self.reach_ratio * level, readings.values[signal])
            origin = "generated values so far" if out_of_reach else "the run's own real batches"
        elif real_low - fake_low >= fake_high - real_high:
            signal, threshold = "data_min/fake", real_low - self.excess_ratio * real_range
        else:
            signal, threshold = "data_max/fake", real_high + self.excess_ratio * real_range
        return Verdict(
            value=readings.values[signal],
            threshold=threshold,
            signal=signal,
            window=self.window,
            origin=origin,
            explanation=f"Real values lie in {real_low:.3g}…{real_high:.3g}, generated ones in {fake_low:.3g}…{fake_high:.3g}.",
        )

    @property
    def is_ready(self) -> bool:
        return self._reach_ratios.is_full

    @classmethod
    def demo(cls, seed: int) -> tuple[Iterator[Readings], int]:
        """Simulate real batches that change from -1…1 to 0…255. Return the readings and the onset."""
        before = {"data_min/real": -1.0, "data_max/real": 1.0, "data_min/fake": -1.0, "data_max/fake": 1.0}
        return cls.simulate(seed, onset=300, before=before, after={"data_min/real": 0.0, "data_max/real": 255.0}, noise=0.001), 300
