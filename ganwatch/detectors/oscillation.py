"""The two networks chase each other around, and nothing comes of it.

How it is detected
    By relations within the same steps, which no scaling of a loss changes. Within 20 steps the mean of the fakes moves by a
    good part of the spread of the real data; the energy distance between fakes and reals swings widely, up and down again several times,
    between the lower and the upper third of its range; its level stays large and does not fall; and the discriminator keeps pace, since a
    generator that hops about before one that it outruns is `mode_collapse` or `generator_domination`. Losses are not looked at: those of
    healthy trainings swing too.

Why it matters
    Whatever the generator learns it loses again. The last weights are as good as chance makes them.

Likely causes
    Learning rates or a momentum that are too high for either network; a loss without a penalty that would damp the rotation of the two.

What to do
    Lower learning rates and the first beta (0.5 or 0); two time scales, the discriminator faster than the generator. Then averaged weights
    for what is used, and a gradient penalty or spectral normalisation.

Blind spots
    Swings of networks that have just begun to learn, up to step 520. Swings close to the data, or faster than every 20th step, which is
    how often is looked. Kinds of data that are visited in turn while the mean stays where it is. Distances and means are taken in pixels.

Calibration
    Not measured yet: no published runs have this failure.

References
    Mescheder et al., 2018, arXiv:1801.04406 (which trainings converge). Gidel et al., 2019, arXiv:1807.04740 (negative momentum).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise

from ganwatch.contracts import Detector, Outcome, Severity, Verdict
from ganwatch.records import Readings, finite
from ganwatch.stats import Window


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
    gain : float, ratio
        Reduction of the energy distance from one half of the window to the next that counts as progress.
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
    inputs = ("fake_shift", "energy_distance", "d_auc")
    hold = 40
    clear = 200
    rank = 3
    tunable = {"shift": (0.3, 1.5), "swing": (0.05, 0.4), "turns": (1, 6), "far": (0.03, 0.3), "gain": (0.5, 0.05)}

    def __init__(
        self,
        *,
        shift: float = 0.4,
        swing: float = 0.1,
        turns: int = 2,
        far: float = 0.06,
        pace: float = 0.4,
        gain: float = 0.25,
        window: int = 400,
        patience: int = 520,
    ) -> None:
        self.shift, self.swing, self.turns = shift, swing, turns
        self.far, self.pace, self.gain, self.window, self.patience = far, pace, gain, window, patience
        self._shift, self._recent = Window(window), Window(window // 4)
        self._since: int | None = None
        self._energy, self._auc = Window(window), Window(window)
        self._before, self._now = Window(window // 2), Window(window // 2)

    def update(self, readings: Readings) -> Outcome:
        shift, energy, auc = readings.select(self.inputs)
        if finite(auc):
            self._auc.push(readings.step, auc)
        if finite(shift):
            self._shift.push(readings.step, shift)
            self._recent.push(readings.step, shift)
            wanders = self._recent.median >= self.shift
            self._since = (self._since or max(1, readings.step - self.window // 8)) if wanders else None
        if finite(energy):
            self._energy.push(readings.step, energy)
            if self._now.full:
                self._before.push(readings.step, self._now.oldest)
            self._now.push(readings.step, energy)
        if not (self._shift.full and self._energy.full and self._before.full and self._auc.median >= self.pace):
            return None
        distance, moved = self._energy.median, self._shift.median
        wide = self._energy.quantile(0.95) - self._energy.quantile(0.05)
        falls = self._now.median < (1.0 - self.gain) * self._before.median
        turned = turns(self._energy.values, self._energy.quantile(0.05), self._energy.quantile(0.95))
        if readings.step < self.patience or moved < self.shift or distance < self.far or wide < self.swing or falls or turned < self.turns:
            return None
        return Verdict(
            value=moved,
            threshold=self.shift,
            signal="fake_shift",
            window=self.window,
            origin="the spread of the real data of the same steps",
            explanation=f"The mean of the fakes moves by {moved:.1f} spreads of the real data in 20 steps, and their distance to reals, "
            f"{distance:.2f}, swings by {wide:.2f} with {turned} turns in {self.window} steps.",
            onset=max(self._since or 1, readings.step - self.window + 1),
        )

    @classmethod
    def demo(cls, seed: int) -> tuple[Iterator[Readings], int]:
        """A stream whose generator begins to swing, and the step at which it does."""
        onset, before = 500, {"fake_shift": 0.2, "energy_distance": 0.02, "d_auc": 0.8}
        readings = cls.stream(seed, onset=onset, before=before, after={"fake_shift": 1.5}, length=800)
        return (cls._swinging(one) if one.step >= onset else one for one in readings), onset

    @staticmethod
    def _swinging(one: Readings) -> Readings:
        swings = 0.35 + 0.25 * math.sin(2.0 * math.pi * one.step / 120.0)
        return Readings(one.step, {**one.values, "energy_distance": swings})


def turns(values: Sequence[float], low: float, high: float) -> int:
    """How often values go from the lower to the upper third of a range, or back.

    >>> turns([0.0, 0.9, 0.5, 1.0, 0.4, 0.1, 0.8], 0.0, 1.0)
    3
    """
    third = (high - low) / 3.0
    sides = [value > high - third for value in values if not low + third <= value <= high - third]
    return sum(one != other for one, other in pairwise(sides))
