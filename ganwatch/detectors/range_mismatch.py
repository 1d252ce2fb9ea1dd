"""Real and generated samples live in different value ranges.

How it is detected
    The range of the generated batch against that of the real batch of the same step, in units of the real range. Either the real values
    reach several times further than anything that a generator has ever given which stays within -1…1 (0…255 against a tanh), or several
    times further than they did in this run, or the generator fills -1…1 exactly, as a tanh does, and goes on leaving the real range by half
    of it (0…1 against a tanh). Real values that leave the range of the run's own past by a factor of eight, up or down, are found at the
    second look, and at the first one if at least half of the samples of the batch have jumped. So are real values of 0…255 against
    generated ones that fill -1…1, and generated values that leave -1…1 by a factor of eight after they had kept to it. A generator that
    fills its range and never leaves it is bounded: it is a fault if most real samples reach beyond -1…1 by a quarter (values that were
    standardised against a tanh), or if real values are below 0 where it never is (a sigmoid or a ReLU at its end).

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
    A generator with an unbounded output overshoots for a while and learns the right range by itself; it is let alone, and so is one that is
    bounded elsewhere than at -1, 0 or 1, unless the real values change on the way. A single batch with outliers is let alone. Differences
    in mean and spread within the same range are not this fault.

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
from ganwatch.core.statistics import HealthyMedian, Stateful, Window

MIN_LOOKS = 2
"""Looks in a row at which real values are elsewhere than they were; one alone may be an outlier."""
MIN_BOUNDED_LOOKS = 3
"""Looks at which generated values must have filled -1…1 before values beyond it are a change."""
MIN_FILLED = 0.97
"""Largest absolute generated value from which a tanh is full."""
MAX_USUAL_REACH = 1.25
"""Largest absolute value of the usual real sample, against the bound of the generator, up to which that reaches nearly all values."""
MAX_LOWEST = 0.05
"""Lowest generated value ever, against the range of reals, up to which values of 0 and above end at 0."""
MIN_NEGATIVE = 0.2
"""Lowest real value below 0, against the range of reals, from which a generator without negative values misses part of it."""


class _Looks(Stateful):
    """Looks in a row at which a condition holds: their number and the step of the first one."""

    def __init__(self) -> None:
        self._first: int | None = None
        self._count = 0

    def update(self, step: int, holds: bool) -> None:
        """Take a look."""
        self._first = (self._first or step) if holds else None
        self._count = self._count + 1 if holds else 0

    @property
    def first(self) -> int | None:
        return self._first

    def spans(self, step: int, window: int) -> bool:
        """Return True if it has held for a window up to a step."""
        return self._first is not None and step - self._first >= window

    @property
    def count(self) -> int:
        return self._count


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
    inputs = ("data_min/real", "data_max/real", "data_min/fake", "data_max/fake", "data_reach/real")
    required = (inputs[:4],)
    tunable = {"reach_ratio": (2.0, 30.0), "excess_ratio": (0.1, 2.0), "window": (40, 400)}

    def __init__(self, *, reach_ratio: float = 8.0, excess_ratio: float = 0.5, window: int = 120) -> None:
        self.reach_ratio, self.excess_ratio, self.window = reach_ratio, excess_ratio, window
        self._reach_ratios, self._excess_ratios = Window(window), Window(window)
        self._largest_fake = 0.0
        self._healthy_reach, self._healthy_usual = HealthyMedian(warmup=2), HealthyMedian(warmup=2)
        self._bounded_looks = 0
        self._lowest_fake = math.inf
        self._unreached, self._negative = _Looks(), _Looks()
        self._beyond, self._exceeds, self._jumped, self._fakes_jumped = _Looks(), _Looks(), _Looks(), _Looks()

    def update(self, readings: Readings) -> DetectorResult:
        real_low, real_high, fake_low, fake_high, usual = readings.select(self.inputs)
        if not (is_finite(real_low) and is_finite(real_high) and is_finite(fake_low) and is_finite(fake_high)):
            return None
        if fake_low == fake_high:  # a single value: a dead or non-finite generator has no range
            return None
        step, real_range = readings.step, max(real_high - real_low, 1e-30)
        reach, fake_reach = max(abs(real_low), abs(real_high)), max(abs(fake_low), abs(fake_high))
        self._fakes_jumped.update(step, self._bounded_looks >= MIN_BOUNDED_LOOKS and fake_reach > self.reach_ratio)
        if not self._fakes_jumped.count:
            self._largest_fake = max(self._largest_fake, fake_reach)
            self._bounded_looks = self._bounded_looks + 1 if self._is_bounded else 0
        self._reach_ratios.add(step, reach / max(self._largest_fake, 1e-30))
        self._excess_ratios.add(step, max(real_low - fake_low, fake_high - real_high) / real_range)
        self._beyond.update(step, reach > self.reach_ratio * self._largest_fake)
        self._exceeds.update(step, self._excess_ratios.values[-1] > self.excess_ratio)
        is_plain_jump = self._update_reals(step, reach, usual)
        self._update_bounds(step, (real_low, real_range, fake_low), usual)
        is_plain = is_finite(usual) and self._is_bounded and usual > self.reach_ratio * self._largest_fake
        is_full, signal = self._reach_ratios.is_full, "data_max/real" if abs(real_high) >= abs(real_low) else "data_min/real"
        if self._fakes_jumped.count:
            signal = "data_max/fake" if abs(fake_high) >= abs(fake_low) else "data_min/fake"
            threshold, origin, onset = self.reach_ratio, "generated values so far", self._fakes_jumped.first
        elif 0.5 < self._largest_fake <= 1.0 and self._reach_ratios.low > self.reach_ratio and (is_full or is_plain):
            threshold, origin, onset = self.reach_ratio * self._largest_fake, "generated values so far", self._beyond.first
        elif self._jumped.count >= MIN_LOOKS or (self._jumped.count and is_plain_jump):
            level = self._healthy_reach.value
            threshold = level * self.reach_ratio if reach > level else level / self.reach_ratio
            origin, onset = "the run's own real batches", self._jumped.first
        elif is_full and self._is_bounded and self._excess_ratios.quantile(0.25) > self.excess_ratio:
            is_below, margin = real_low - fake_low >= fake_high - real_high, self.excess_ratio * real_range
            signal, threshold = ("data_min/fake", real_low - margin) if is_below else ("data_max/fake", real_high + margin)
            origin, onset = "the real batch of the same step", self._exceeds.first
        elif is_full and self._unreached.spans(step, self.window) and is_finite(usual):
            signal, threshold = "data_reach/real", MAX_USUAL_REACH * self._largest_fake
            origin, onset = "generated values so far", self._unreached.first
        elif is_full and self._negative.spans(step, self.window):
            signal, threshold = "data_min/real", self._lowest_fake - MIN_NEGATIVE * real_range
            origin, onset = "generated values so far", self._negative.first
        else:
            return None
        return Verdict(
            value=readings.values[signal],
            threshold=threshold if "real batch of" in origin else math.copysign(threshold, readings.values[signal]),
            signal=signal,
            window=self.window,
            origin=origin,
            explanation=f"Real values lie in {real_low:.3g}…{real_high:.3g}, generated ones in {fake_low:.3g}…{fake_high:.3g}.",
            onset=onset or step,
        )

    @property
    def _is_bounded(self) -> bool:
        """True if generated values fill -1…1 and never left it, as those of a tanh do."""
        return 0.9 < self._largest_fake <= 1.0

    def _update_bounds(self, step: int, values: tuple[float, float, float], usual: float | None) -> None:
        """Compare real values with the bounds that the generator seems to have."""
        real_low, real_range, fake_low = values
        self._lowest_fake = min(self._lowest_fake, fake_low)
        is_tanh = MIN_FILLED < self._largest_fake <= 1.0 and self._bounded_looks >= MIN_BOUNDED_LOOKS
        self._unreached.update(step, is_tanh and is_finite(usual) and usual > MAX_USUAL_REACH * self._largest_fake)
        ends_at_zero = 0.0 <= self._lowest_fake < MAX_LOWEST * real_range
        self._negative.update(step, ends_at_zero and real_low < -MIN_NEGATIVE * real_range)

    def _update_reals(self, step: int, reach: float, usual: float | None) -> bool:
        """Compare real values with those of the run so far. Return True if one look is enough: most of the batch has jumped."""
        healthy, healthy_usual = self._healthy_reach, self._healthy_usual
        factor = reach / max(healthy.value, 1e-30) if healthy.is_ready else 1.0
        has_jumped = factor > self.reach_ratio or 0.0 < factor < 1.0 / self.reach_ratio
        self._jumped.update(step, has_jumped)
        healthy.update(reach, exclude=has_jumped)
        is_plain = is_finite(usual) and healthy_usual.is_ready and usual > self.reach_ratio * healthy_usual.value
        healthy_usual.update(usual, exclude=has_jumped)
        return is_plain

    @property
    def is_ready(self) -> bool:
        return self._reach_ratios.is_full

    @classmethod
    def demo(cls, seed: int) -> tuple[Iterator[Readings], int]:
        """Simulate real batches that change from -1…1 to 0…255. Return the readings and the onset."""
        before = {"data_min/real": -1.0, "data_max/real": 1.0, "data_min/fake": -1.0, "data_max/fake": 1.0}
        return cls.simulate(seed, onset=300, before=before, after={"data_min/real": 0.0, "data_max/real": 255.0}, noise=0.001), 300
