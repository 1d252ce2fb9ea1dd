"""The two networks chase each other around, and nothing comes of it.

How it is detected
    By relations within the same steps, which no scaling of a loss changes. Within 20 steps the mean of the fakes moves by a
    good part of the spread of the real data; the energy distance between fakes and reals swings widely, up and down again several times,
    between the lower and the upper third of its range; its level stays large and does not fall. Where fakes had settled near the real
    data, two thirds of that swing and half of the time are enough, if their mean moves several times as far as it did then, and the
    level may fall.

    In either case the discriminator keeps pace. A generator that hops about before one that it outruns (by what is ranked right, or by
    updates that are several times as large as usual against those of the discriminator) is `mode_collapse` or `generator_domination`;
    so is one whose fakes of one step are all alike, wherever they are in the next. Losses are not looked at: those of healthy trainings
    swing too.

Why it matters
    Whatever the generator learns it loses again. The last weights are as good as chance makes them.

Likely causes
    Learning rates or a momentum that are too high for either network; a loss without a penalty that would damp the rotation of the two.

What to do
    Lower learning rates and the first beta (0.5 or 0); two time scales, the discriminator faster than the generator. Then averaged weights
    for what is used, and a gradient penalty or spectral normalisation.

Blind spots
    Swings of networks that have just begun to learn, up to step 800. Swings close to the data, or faster than every 20th step, which is
    how often is looked. Kinds of data that are visited in turn while the mean stays where it is. Distances and means are taken in pixels.

Calibration
    On the final part of the corpus it fired on 11 of the 14 runs whose failure it names, and on 0 of 216 healthy ones
    (`make corpus-table`).

References
    Mescheder et al., 2018, arXiv:1801.04406 (which trainings converge). Gidel et al., 2019, arXiv:1807.04740 (negative momentum).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise

from ganwatch.core.detector import Detector, Outcome, Severity, Verdict
from ganwatch.core.readings import Readings, finite
from ganwatch.core.statistics import HealthyMedian, Window


class Oscillation(Detector):
    """Fire when fakes wander and their distance to reals swings without falling.

    Parameters
    ----------
    shift : float, in spreads of the real data
        Median distance of the mean of the fakes from that of 20 steps before.
    swing : float, in (0, 1)
        Range of the energy distance within a window.
    turns : int
        Changes between the lower and the upper third of that range.
    far : float, in (0, 1)
        Median energy distance below which the generator is good enough to be let alone.
    pace : float, in [0, 1]
        Median share of pairs that the discriminator ranks right, from which on it keeps pace.
    alike : float, ratio
        Median pairwise distance of fakes against reals below which those of a step are all alike.
    gain : float, ratio
        Reduction of the energy distance from one half of the window to the next that counts as progress.
    outrun : float, ratio
        The generator's updates against its weights, over the discriminator's, from which on it has outrun it; in terms of what that was
        while fakes were settled, where they were.
    near : float, in (0, 1)
        Median energy distance below which fakes have settled near the real data.
    rise : float, ratio
        Median distance of means against the lowest one of settled fakes.
    window : int, steps
    patience : int, steps
        Networks that have just begun to learn swing as well.

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
    inputs = ("fake_shift", "energy_distance", "d_auc", "pairwise_ratio", "update_to_weight/g", "update_to_weight/d")
    fire_after = 40
    resolve_after = 200
    causal_priority = 3
    tunable = {"shift": (0.3, 1.5), "swing": (0.05, 0.4), "turns": (1, 6), "far": (0.03, 0.3), "gain": (0.5, 0.05)}

    def __init__(
        self,
        *,
        shift: float = 0.4,
        swing: float = 0.075,
        turns: int = 2,
        far: float = 0.045,
        pace: float = 0.4,
        alike: float = 0.15,
        gain: float = 0.25,
        outrun: float = 5.0,
        near: float = 0.03,
        rise: float = 4.0,
        window: int = 400,
        patience: int = 800,
    ) -> None:
        self.shift, self.swing, self.turns, self.alike = shift, swing, turns, alike
        self.far, self.pace, self.gain, self.window, self.patience = far, pace, gain, window, patience
        self.outrun, self.near, self.rise = outrun, near, rise
        self._shift, self._late, self._recent = Window(window), Window(window // 2), Window(window // 4)
        self._since: int | None = None
        self._energy, self._auc, self._pairwise = Window(window), Window(window // 2), Window(window // 2)
        self._before, self._now = Window(window // 2), Window(window // 2)
        self._moved = [Window(window // 2), Window(window // 2)]
        self._usual: float | None = None
        self._usual_pace = HealthyMedian(warmup=1)

    def update(self, readings: Readings) -> Outcome:
        shift, energy, *others = readings.select(self.inputs)
        for window, value in zip((self._auc, self._pairwise, *self._moved), others, strict=True):
            if finite(value):
                window.push(readings.step, value)
        if finite(shift):
            for window in (self._shift, self._late, self._recent):
                window.push(readings.step, shift)
            wanders = self._recent.median >= self.shift
            self._since = (self._since or max(1, readings.step - self.window // 8)) if wanders else None
        if finite(energy):
            self._energy.push(readings.step, energy)
            if self._now.full:
                self._before.push(readings.step, self._now.oldest)
            self._now.push(readings.step, energy)
        if not (self._late.full and self._now.full and self._auc.median >= self.pace and self._pairwise.median >= self.alike):
            return None
        of_g, of_d = (moved.median for moved in self._moved)
        pace = of_g / max(of_d, 1e-30)
        if self._now.median < self.near:
            self._usual_pace.learn(pace)
            self._usual = self._late.median if self._usual is None else min(self._usual, self._late.median)
        began, settled = self._begun(readings.step), self._lost()
        outran = pace > self.outrun * (self._usual_pace.value if self._usual_pace.ready else 1.0)
        if outran or not (began or settled):
            return None
        shifts, energies = (self._shift, self._energy) if began else (self._late, self._now)
        length = self.window if began else self.window // 2
        wide, turned = _swing(energies)
        return Verdict(
            value=shifts.median,
            threshold=self.shift if began or self._usual is None else self.rise * self._usual,
            signal="fake_shift",
            window=length,
            origin="the spread of the real data of the same steps" if began else "the run's own level while settled",
            explanation=f"The mean of the fakes moves by {shifts.median:.1f} spreads of the real data in 20 steps, and their distance to "
            f"reals, {energies.median:.2f}, swings by {wide:.2f} with {turned} turns in {length} steps.",
            onset=self._since or max(1, readings.step - length + 1),
        )

    def _begun(self, step: int) -> bool:
        """Whether networks that never settled swing."""
        if step < self.patience or not (self._shift.full and self._energy.full and self._before.full):
            return False
        falls = self._now.median < (1.0 - self.gain) * self._before.median
        wide, turned = _swing(self._energy)
        far = self._shift.median >= self.shift and self._energy.median >= self.far
        return far and not falls and wide >= self.swing and turned >= self.turns

    def _lost(self) -> bool:
        """Whether those that had settled do."""
        if self._usual is None or self._late.median < self.rise * self._usual or self._now.median < self.near:
            return False
        wide, turned = _swing(self._now)
        return wide >= self.swing / 1.5 and turned >= self.turns

    @classmethod
    def demo(cls, seed: int) -> tuple[Iterator[Readings], int]:
        """A stream whose generator begins to swing, and the step at which it does."""
        onset, before = 500, {"fake_shift": 0.2, "energy_distance": 0.02, "d_auc": 0.8, "pairwise_ratio": 1.0}
        readings = cls.stream(seed, onset=onset, before=before, after={"fake_shift": 1.5}, length=800)
        return (cls._swinging(one) if one.step >= onset else one for one in readings), onset

    @staticmethod
    def _swinging(one: Readings) -> Readings:
        swings = 0.35 + 0.25 * math.sin(2.0 * math.pi * one.step / 120.0)
        return Readings(one.step, {**one.values, "energy_distance": swings})


def _swing(energies: Window) -> tuple[float, int]:
    """How wide, and with how many turns."""
    low, high = energies.quantile(0.05), energies.quantile(0.95)
    return high - low, turns(energies.values, low, high)


def turns(values: Sequence[float], low: float, high: float) -> int:
    """How often values go from the lower to the upper third of a range, or back.

    >>> turns([0.0, 0.9, 0.5, 1.0, 0.4, 0.1, 0.8], 0.0, 1.0)
    3
    """
    third = (high - low) / 3.0
    sides = [value > high - third for value in values if not low + third <= value <= high - third]
    return sum(one != other for one, other in pairwise(sides))
