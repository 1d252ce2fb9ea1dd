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

from ganwatch.core.detector import Detector, Outcome, Severity, Verdict
from ganwatch.core.readings import Readings, finite
from ganwatch.core.statistics import HealthyMedian, Window


class RangeMismatch(Detector):
    """Fire when the ranges of real and generated batches stay apart.

    Parameters
    ----------
    reach : float, ratio
        Largest absolute real value against the largest absolute generated value so far, above which the generator cannot get there, and
        against the usual largest absolute real value of the run.
    excess : float, ratio
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
    inputs = ("data_min/real", "data_max/real", "data_min/fake", "data_max/fake")
    tunable = {"reach": (2.0, 30.0), "excess": (0.1, 2.0), "window": (40, 400)}

    def __init__(self, *, reach: float = 8.0, excess: float = 0.5, window: int = 120) -> None:
        self.reach, self.excess, self.window = reach, excess, window
        self._reach = Window(window)
        self._excess = Window(window)
        self._furthest = 0.0
        self._usual = HealthyMedian(warmup=3)
        self._growth = Window(window)

    def update(self, readings: Readings) -> Outcome:
        real_low, real_high, fake_low, fake_high = readings.select(self.inputs)
        if not (finite(real_low) and finite(real_high) and finite(fake_low) and finite(fake_high)):
            return None
        if fake_low == fake_high:  # nothing but one value: a dead or non-finite generator has no range
            return None
        self._furthest = max(self._furthest, abs(fake_low), abs(fake_high))
        span = max(real_high - real_low, 1e-30)
        reach = max(abs(real_low), abs(real_high))
        self._reach.push(readings.step, reach / max(self._furthest, 1e-30))
        grown = reach > self.reach * self._usual.value if self._usual.ready else False
        self._growth.push(readings.step, float(grown))
        self._usual.learn(reach, unless=grown)
        self._excess.push(readings.step, max(real_low - fake_low, fake_high - real_high) / span)
        if not self._reach.full:
            return None
        other = self._growth.full and self._growth.low > 0.0
        short = 0.5 < self._furthest <= 1.0 and self._reach.low > self.reach
        over = 0.9 < self._furthest <= 1.0 and self._excess.quantile(0.25) > self.excess
        if not (short or over or other):
            return None
        origin = "the real batch of the same step"
        if short or other:
            signal = "data_max/real" if abs(real_high) >= abs(real_low) else "data_min/real"
            threshold = math.copysign(self.reach * (self._furthest if short else self._usual.value), readings.values[signal])
            origin = "generated values so far" if short else "the run's own real batches"
        elif real_low - fake_low >= fake_high - real_high:
            signal, threshold = "data_min/fake", real_low - self.excess * span
        else:
            signal, threshold = "data_max/fake", real_high + self.excess * span
        return Verdict(
            value=readings.values[signal],
            threshold=threshold,
            signal=signal,
            window=self.window,
            origin=origin,
            explanation=f"Real values lie in {real_low:.3g}…{real_high:.3g}, generated ones in {fake_low:.3g}…{fake_high:.3g}.",
        )

    @classmethod
    def demo(cls, seed: int) -> tuple[Iterator[Readings], int]:
        """A stream whose real batches change from -1…1 to 0…255, and the step at which they do."""
        before = {"data_min/real": -1.0, "data_max/real": 1.0, "data_min/fake": -1.0, "data_max/fake": 1.0}
        return cls.stream(seed, onset=300, before=before, after={"data_min/real": 0.0, "data_max/real": 255.0}, noise=0.001), 300
