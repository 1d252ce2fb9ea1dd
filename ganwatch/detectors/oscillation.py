"""The two networks chase each other around, and nothing comes of it.

How it is detected
    By relations within the same steps, which no scaling of a loss changes. Within 20 steps the mean of the fakes moves by a
    good part of the spread of the real data; the energy distance between fakes and reals swings widely, up and down again several times,
    between the lower and the upper third of its range; its level stays large and does not fall. Where fakes had settled near the real
    data, two thirds of that swing and half of the time are enough, if their mean moves several times as far as it did then, and the
    level may fall. There the variety of the fakes can swing in place of their distance: it is several times as large at one sampled step
    as it is at another, up and down again.

    In either case the discriminator keeps pace. A generator that hops about before one that it outruns (by what is ranked right, or by
    updates that are several times as large as usual against those of the discriminator) is `mode_collapse` or `generator_domination`;
    so is one whose fakes of one step are all alike, wherever they are in the next. Losses do not count: those of healthy trainings
    swing too.

Why it matters
    Whatever the generator learns it loses again. The quality of the last weights is chance.

Likely causes
    Learning rates or a momentum that are too high for either network; a loss without a penalty that would damp the rotation of the two.

What to do
    Lower learning rates and the first beta (0.5 or 0); two time scales, the discriminator faster than the generator. Then averaged weights
    for sampling, and a gradient penalty or spectral normalisation.

Blind spots
    Swings of networks that have just begun to learn, up to step 800. Swings close to the data, or faster than the sampled steps, every
    20th. Modes that are visited in turn while the mean stays where it is. Distances and means are taken in pixels.

Calibration
    On the final part of the corpus it fired on 13 of the 14 runs whose failure it names, and on 0 of 216 healthy ones
    (`make corpus-table`).

References
    Mescheder et al., 2018, arXiv:1801.04406 (which trainings converge). Gidel et al., 2019, arXiv:1807.04740 (negative momentum).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise

from ganwatch.core.detector import Detector, DetectorResult, FailureKind, Severity, Verdict
from ganwatch.core.readings import Readings, is_finite
from ganwatch.core.statistics import HealthyMedian, Window


class Oscillation(Detector):
    """Fire when fakes wander and their distance to reals swings without falling.

    Parameters
    ----------
    min_shift : float, in spreads of the real data
        Median distance of the mean of the fakes from that of 20 steps before.
    min_swing : float, in (0, 1)
        Range of the energy distance within a window.
    min_turns : int
        Changes between the lower and the upper third of that range.
    min_distance : float, in (0, 1)
        Median energy distance below which the generator is good enough not to fire.
    min_auc : float, in [0, 1]
        Median share of pairs that the discriminator ranks right from which it keeps pace.
    min_diversity : float, ratio
        Median pairwise distance of fakes against reals below which all fakes of a step are alike.
    min_improvement : float, ratio
        Reduction of the energy distance from one half of the window to the next that counts as improvement.
    max_pace_ratio : float, ratio
        Pace from which the generator has outrun the discriminator. Pace is the generator's update-to-weight norm over the
        discriminator's, against its usual value while fakes were settled.
    settled_distance : float, in (0, 1)
        Median energy distance below which fakes have settled near the real data.
    shift_ratio : float, ratio
        Median distance of means against its lowest value while fakes were settled.
    min_variety_ratio : float, ratio
        High Vendi score against a low one within half a window, of fakes that had settled, from which variety swings.
    window : int, steps
        Length of the evidence.
    min_steps : int, steps
        Steps for which swings of networks that never settled are normal.

    Examples
    --------
    >>> readings, onset = Oscillation.demo(seed=0)
    >>> detector = Oscillation()
    >>> fired = next(r.step for r in readings if detector.update(r))
    >>> onset <= fired <= onset + 400
    True
    """

    code = "GW304"
    title = "oscillation"
    severity = Severity.TICKET
    kind = FailureKind.NUMERICS
    inputs = ("fake_shift", "energy_distance", "d_auc", "pairwise_ratio", "vendi_ratio", "update_to_weight/g", "update_to_weight/d")
    required = (("fake_shift", "energy_distance"),)
    fire_after = 40
    resolve_after = 200
    causal_priority = 3
    onset_delay = 120
    tunable = {
        "min_shift": (0.3, 1.5),
        "min_swing": (0.05, 0.4),
        "min_turns": (1, 6),
        "min_distance": (0.03, 0.3),
        "min_improvement": (0.5, 0.05),
    }

    def __init__(
        self,
        *,
        min_shift: float = 0.4,
        min_swing: float = 0.075,
        min_turns: int = 2,
        min_distance: float = 0.045,
        min_auc: float = 0.4,
        min_diversity: float = 0.15,
        min_improvement: float = 0.25,
        max_pace_ratio: float = 5.0,
        settled_distance: float = 0.03,
        shift_ratio: float = 4.0,
        min_variety_ratio: float = 2.5,
        window: int = 400,
        min_steps: int = 800,
    ) -> None:
        self.min_shift, self.min_swing, self.min_turns, self.min_distance = min_shift, min_swing, min_turns, min_distance
        self.min_auc, self.min_diversity, self.min_improvement = min_auc, min_diversity, min_improvement
        self.max_pace_ratio, self.settled_distance, self.shift_ratio = max_pace_ratio, settled_distance, shift_ratio
        self.min_variety_ratio, self.window, self.min_steps = min_variety_ratio, window, min_steps
        half, quarter = window // 2, window // 4
        self._shift, self._half_shift, self._quarter_shift = Window(window), Window(half), Window(quarter)
        self._distance, self._half_distance, self._distance_before = Window(window), Window(half), Window(half)
        self._auc, self._pairwise, self._vendi = Window(half), Window(half), Window(half)
        self._updates = [Window(half), Window(half)]
        self._wandering_since: int | None = None
        self._settled_shift: float | None = None
        self._settled_pace = HealthyMedian(warmup=1)

    def update(self, readings: Readings) -> DetectorResult:
        shift, distance, *others = readings.select(self.inputs)
        for window, value in zip((self._auc, self._pairwise, self._vendi, *self._updates), others, strict=True):
            if is_finite(value):
                window.add(readings.step, value)
        if is_finite(shift):
            self._update_shift(readings.step, shift)
        if is_finite(distance):
            self._distance.add(readings.step, distance)
            if self._half_distance.is_full:
                self._distance_before.add(readings.step, self._half_distance.oldest)
            self._half_distance.add(readings.step, distance)
        is_full = self._half_shift.is_full and self._half_distance.is_full
        if not (is_full and self._auc.median >= self.min_auc and self._pairwise.median >= self.min_diversity):
            return None
        g_update, d_update = (window.median for window in self._updates)
        pace = g_update / max(d_update, 1e-30)
        if self._half_distance.median < self.settled_distance:
            self._settled_pace.update(pace)
            shift_now = self._half_shift.median
            self._settled_shift = shift_now if self._settled_shift is None else min(self._settled_shift, shift_now)
        never_settled, left_settled = self._swings_since_start(readings.step), self._swings_after_settling()
        outran = pace > self.max_pace_ratio * (self._settled_pace.value if self._settled_pace.is_ready else 1.0)
        if outran or not (never_settled or left_settled):
            return None
        shifts, distances = (self._shift, self._distance) if never_settled else (self._half_shift, self._half_distance)
        length = self.window if never_settled else self.window // 2
        swing, turns = _measure_swing(distances)
        return Verdict(
            value=shifts.median,
            threshold=self.min_shift if never_settled or self._settled_shift is None else self._least_moves * self._settled_shift,
            signal="fake_shift",
            window=length,
            origin="the spread of the real data of the same steps" if never_settled else "the run's own level while settled",
            explanation=f"The mean of the fakes moves by {shifts.median:.1f} spreads of the real data in 20 steps, and their distance to "
            f"reals, {distances.median:.2f}, swings by {swing:.2f} with {turns} turns in {length} steps.",
            onset=self._wandering_since or max(1, readings.step - length + 1),
        )

    def _update_shift(self, step: int, shift: float) -> None:
        for window in (self._shift, self._half_shift, self._quarter_shift):
            window.add(step, shift)
        wanders = self._quarter_shift.median >= self.min_shift
        self._wandering_since = (self._wandering_since or max(1, step - self.window // 8)) if wanders else None

    def _swings_since_start(self, step: int) -> bool:
        """Return True if networks that never settled swing."""
        if step < self.min_steps or not (self._shift.is_full and self._distance.is_full and self._distance_before.is_full):
            return False
        improves = self._half_distance.median < (1.0 - self.min_improvement) * self._distance_before.median
        swing, turns = _measure_swing(self._distance)
        far = self._shift.median >= self.min_shift and self._distance.median >= self.min_distance
        return far and not improves and swing >= self.min_swing and turns >= self.min_turns

    def _swings_after_settling(self) -> bool:
        """Return True if networks that had settled swing."""
        if self._settled_shift is None or self._half_distance.median < self.settled_distance:
            return False
        if self._least_moves < self.shift_ratio:
            return self._half_shift.median >= self._least_moves * self._settled_shift and self._variety_swings()
        swing, turns = _measure_swing(self._half_distance)
        return swing >= self.min_swing / 1.5 and turns >= self.min_turns

    @property
    def _least_moves(self) -> float:
        """Distance of means that is needed against the settled one: half of the ratio where the fakes move less and variety must swing."""
        is_far = self._settled_shift is not None and self._half_shift.median >= self.shift_ratio * self._settled_shift
        return self.shift_ratio if is_far else self.shift_ratio / 2.0

    def _variety_swings(self) -> bool:
        """Return True if the variety of the fakes goes up and down by a factor."""
        low, high = self._vendi.quantile(0.1), self._vendi.quantile(0.9)
        return high > self.min_variety_ratio * low and count_turns(self._vendi.values, low, high) > self.min_turns

    @property
    def is_ready(self) -> bool:
        return self._half_shift.is_full and self._half_distance.is_full

    @classmethod
    def demo(cls, seed: int) -> tuple[Iterator[Readings], int]:
        """Simulate a generator that begins to swing. Return the readings and the onset."""
        onset, before = 500, {"fake_shift": 0.2, "energy_distance": 0.02, "d_auc": 0.8, "pairwise_ratio": 1.0}
        readings = cls.simulate(seed, onset=onset, before=before, after={"fake_shift": 1.5}, length=800)
        return (cls._swing(one) if one.step >= onset else one for one in readings), onset

    @staticmethod
    def _swing(readings: Readings) -> Readings:
        distance = 0.35 + 0.25 * math.sin(2.0 * math.pi * readings.step / 120.0)
        return Readings(readings.step, {**readings.values, "energy_distance": distance})


def _measure_swing(distances: Window) -> tuple[float, int]:
    """Return the width of the swings and the number of their turns."""
    low, high = distances.quantile(0.05), distances.quantile(0.95)
    return high - low, count_turns(distances.values, low, high)


def count_turns(values: Sequence[float], low: float, high: float) -> int:
    """Count how often values go from the lower to the upper third of a range, or back.

    >>> count_turns([0.0, 0.9, 0.5, 1.0, 0.4, 0.1, 0.8], 0.0, 1.0)
    3
    """
    third = (high - low) / 3.0
    sides = [value > high - third for value in values if not low + third <= value <= high - third]
    return sum(one != other for one, other in pairwise(sides))
