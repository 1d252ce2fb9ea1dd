"""The generator gives few distinct outputs.

How it is detected
    Fakes against reals, both at the same sample size and within one batch: the mean pairwise distance and the Vendi score
    (effective number of distinct samples). A verdict needs both, either below a fixed share of the reals' value after a warm-up, or
    fallen to a share of the run's own best while its fakes were near the real data (noise is diverse too, and does not count); and a
    variety and a distance to the real data that no longer improve, because an untrained generator is poor as well. A plunge to that
    share of the own best needs fewer looks, and only one if it has led far away from where the fakes had settled. The Vendi score alone
    is enough where the energy distance has become a multiple of its lowest: of very many kinds, few are spread as widely as all. Once
    found, it stands until the fakes are back.

Why it matters
    Losses and gradients look ordinary. Whatever is trained, sampled or published from here on shows a handful of images.

Likely causes
    The generator learns faster than the discriminator can follow, batch statistics leak, or the discriminator sees no variety
    within a batch.

What to do
    Check that batches are shuffled and augmented alike on both sides. Then lower the generator's learning rate or update the
    discriminator more often; a loss with a gradient penalty; minibatch discrimination or packing.

Blind spots
    A generator that hops between modes shows one at a time and is found; one that loses a few kinds of data out of many keeps its
    diversity and is not. The distance is taken in pixels, so photographs that differ in background alone look diverse.

Calibration
    On the final part of the corpus it fired on 22 of the 22 runs whose failure it names, and on 0 of 216 healthy ones
    (`make corpus-table`).

References
    Friedman and Dieng, The Vendi score, 2023, arXiv:2210.02410. Srivastava et al., VEEGAN, 2017, arXiv:1705.07761.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from ganwatch.core.detector import Detector, Outcome, Severity, Verdict
from ganwatch.core.readings import Readings, finite
from ganwatch.core.statistics import Streak, Window


class ModeCollapse(Detector):
    """Fire when fakes stay far less diverse than reals and get no closer to them.

    Parameters
    ----------
    floor : float, ratio
        Vendi score of fakes against reals below which diversity counts as lost.
    near : float, ratio
        Pairwise distance of fakes against reals that must be undercut as well.
    fall : float, ratio
        Share of the run's own best level, of both, that counts as lost too. Smaller is stricter.
    close : float, in (0, 1)
        Energy distance below which the generator's diversity is worth remembering.
    gain : float, ratio
        Reduction of the energy distance from its peak of the last ``patience`` steps that counts as improvement.
    growth : float, ratio
        Rise of the Vendi score from its low of the last ``patience`` steps that counts as improvement.
    patience : int, steps
        Low diversity is normal before, and while it improves.
    window : int, steps
        Evidence that a verdict rests on.
    plunge : int, looks
        In a row that are enough where all of them are below the share of the own best.
    thin : float, ratio
        Share of the own best Vendi score below which variety is lost whatever the spread, as of a thousand kinds of which a few hundred are
        left, once the fakes have moved away.
    moved : float, ratio
        Times its lowest level, and not less than ``nearest``, that the energy distance is then.
    nearest : float, in (0, 1)
        Energy distance below which levels are alike.
    far : float, in (0, 1)
        Energy distance that is enough at one look, with the Vendi score below that share.
    landing : int, steps
        Longest time since the end of a window in which all looks were close.

    Examples
    --------
    >>> readings, onset = ModeCollapse.demo(seed=0)
    >>> detector = ModeCollapse()
    >>> fired = next(r.step for r in readings if detector.update(r))
    >>> onset <= fired <= onset + 200
    True
    """

    code = "GW101"
    title = "mode collapse"
    severity = Severity.PAGE
    inputs = ("pairwise_ratio", "vendi_ratio", "energy_distance")
    tunable = {
        "floor": (0.6, 0.1),
        "near": (0.9, 0.3),
        "fall": (0.85, 0.3),
        "gain": (0.5, 0.1),
        "growth": (3.0, 1.15),
        "patience": (150, 1000),
        "window": (60, 320),
        "thin": (0.85, 0.3),
        "moved": (4.0, 30.0),
    }

    def __init__(
        self,
        *,
        floor: float = 0.35,
        near: float = 0.6,
        fall: float = 0.6,
        close: float = 0.1,
        gain: float = 0.25,
        growth: float = 1.5,
        patience: int = 400,
        window: int = 140,
        plunge: int = 2,
        far: float = 0.15,
        landing: int = 60,
        thin: float = 0.7,
        moved: float = 8.0,
        nearest: float = 0.005,
    ) -> None:
        self.floor, self.near, self.fall, self.close, self.far = floor, near, fall, close, far
        self.gain, self.growth, self.patience, self.window, self.landing = gain, growth, patience, window, landing
        self.thin, self.moved, self.nearest = thin, moved, nearest
        self._pairwise = Window(window)
        self._vendi = Window(window)
        self._energy = Window(window)
        self._best = [0.0, 0.0]
        self._lowest = math.inf
        self._peaks = Window(patience)
        self._lows = Window(patience)
        self._since: int | None = None
        self._low_since: int | None = None
        self._settled: int | None = None
        self._plunge, self._falls = Streak(plunge), False
        self._plunged: list[float] = []
        """Spread and kinds of the last look of a plunge, and the step of its first."""

    def update(self, readings: Readings) -> Outcome:
        pairwise, vendi, energy = readings.select(self.inputs)
        if finite(pairwise) and finite(vendi) and finite(energy):
            self._look(readings.step, pairwise, vendi, energy)
        for window, value in ((self._pairwise, pairwise), (self._vendi, vendi), (self._energy, energy)):
            if value is not None:
                window.push(readings.step, value)
        if not (self._pairwise.full and self._vendi.full and self._energy.full):
            return None
        spread, kinds, distance = self._pairwise.median, self._vendi.median, self._energy.median
        if energy is not None:
            self._peaks.push(readings.step, distance)
        if vendi is not None:
            self._lows.push(readings.step, kinds)
        improving = distance < (1.0 - self.gain) * self._peaks.high or kinds > self.growth * self._lows.low
        stalled = readings.step > self.patience and (self._since is not None or not improving)
        low = kinds < self.floor and spread < self.near
        poor = low and stalled
        thinned = kinds < self.thin * self._best[1] and distance > self.moved * max(self._lowest, self.nearest)
        lost = self._lost(spread, kinds, distance) or thinned
        fallen = lost or self._falls
        self._low_since = (self._low_since or max(1, readings.step - self.window // 2)) if low or lost else None
        if self._falls and not (poor or lost):
            spread, kinds, self._low_since = self._plunged[0], self._plunged[1], int(self._plunged[2])
        if not (poor or fallen):
            self._since = None
            if distance < self.close:
                self._best = [max(self._best[0], min(spread, 1.0)), max(self._best[1], min(kinds, 1.0))]
                self._lowest = min(self._lowest, distance)
            return None
        self._since = self._since or self._low_since
        threshold = self.floor if poor else (self.thin if thinned else self.fall) * self._best[1]
        return Verdict(
            value=kinds,
            threshold=threshold,
            signal="vendi_ratio",
            window=self.window,
            origin="real data at the same sample size" if poor else "the run's own best level",
            explanation=f"Fakes show {kinds:.0%} of the effective variety and {spread:.0%} of the spread of real samples, "
            "and get no closer.",
            onset=self._since,
        )

    def _look(self, step: int, spread: float, kinds: float, distance: float) -> None:
        """Whether the fakes have fallen, by single looks."""
        if self._energy.full and self._energy.high < self.close:
            self._settled = step
        lost = self._lost(spread, kinds, distance)
        leapt = self._leapt(step, kinds, distance)
        since = self._plunged[2] if self._plunged else step
        self._plunged = [spread, kinds, float(since)] if lost or leapt else []
        self._falls = self._plunge.extend(lost) or leapt

    def _lost(self, spread: float, kinds: float, distance: float) -> bool:
        """Whether the fakes have lost what they had."""
        return kinds < self.fall * self._best[1] and spread < self.fall * self._best[0] and distance > self.close

    def _leapt(self, step: int, kinds: float, distance: float) -> bool:
        """Whether they are few and far from the real data, where they had settled until lately; it stands until they are back."""
        if self._falls:
            return kinds < self.fall * self._best[1] and distance > self.close
        lately = self._settled is not None and step - self._settled <= self.landing
        return lately and kinds < self.fall * self._best[1] and distance > self.far

    @classmethod
    def demo(cls, seed: int) -> tuple[Iterator[Readings], int]:
        """A stream that is healthy up to its onset, and the onset."""
        before = {"pairwise_ratio": 0.95, "vendi_ratio": 0.95, "energy_distance": 0.01}
        after = {"pairwise_ratio": 0.2, "vendi_ratio": 0.05, "energy_distance": 0.4}
        return cls.stream(seed, onset=500, before=before, after=after), 500
