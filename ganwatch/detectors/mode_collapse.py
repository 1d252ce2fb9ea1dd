"""The generator gives few distinct outputs.

How it is detected
    Two measures compare fakes with reals of the same sample size within one batch: the mean pairwise distance, and the Vendi score
    (effective number of distinct samples). Two rules read them, as medians over a window.

    Low diversity: both measures are below a fixed share of the reals' value, and neither the Vendi score nor the energy distance to the
    real data improves any more. An untrained generator has low diversity as well, so the rule waits while it improves.

    A drop of diversity: both measures have fallen below a share of the run's own best. Only fakes near the real data set that best,
    because noise is diverse too. The drop is confirmed by two sampled steps in a row, and by one if the fakes were near the real data
    until then and are far from it now. A drop of the Vendi score alone is enough if the energy distance has grown to a multiple of its
    lowest level: a few of very many modes are spread as widely as all of them. The verdict lasts until the fakes are back.

Why it matters
    Losses and gradients look ordinary. Whatever is trained, sampled or published from here on has a handful of images.

Likely causes
    The generator learns faster than the discriminator can follow, batch statistics leak, or the discriminator sees no variety
    within a batch.

What to do
    Check that batches are shuffled and augmented alike on both sides. Then lower the generator's learning rate or update the
    discriminator more often; a loss with a gradient penalty; minibatch discrimination or packing.

Blind spots
    A generator that hops between modes shows one at a time and is found; one that loses a few modes out of many keeps its
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
from typing import NamedTuple

from ganwatch.core.detector import Detector, DetectorResult, FailureKind, Severity, Verdict
from ganwatch.core.readings import Readings, is_finite
from ganwatch.core.statistics import Stateful, Streak, Window

NEAR_DISTANCE = 0.1
"""Energy distance below which fakes are near the real data. Only their diversity counts as the run's own best."""
FAR_DISTANCE = 0.15
"""Energy distance above which one sampled step is enough, if the fakes had settled before."""
MIN_DISTANCE = 0.005
"""Floor, in energy distance, of the lowest level that a growth is measured against."""
CONFIRMATIONS = 2
"""Consecutive sampled steps that confirm a drop before the medians of a window show it."""
SETTLED_STEPS = 60
"""Steps for which fakes count as settled after a window in which all of them were near the real data."""


class _Levels(NamedTuple):
    """Diversity and distance of the fakes, at one sampled step or as medians over a window."""

    pairwise: float
    vendi: float
    distance: float


class _LowDiversity(Stateful):
    """Diversity that is low against real data and no longer improves; an untrained generator has low diversity as well."""

    def __init__(
        self, *, min_vendi_ratio: float, min_pairwise_ratio: float, min_improvement: float, min_growth: float, patience: int
    ) -> None:
        self.min_vendi_ratio, self.min_pairwise_ratio = min_vendi_ratio, min_pairwise_ratio
        self.min_improvement, self.min_growth, self.patience = min_improvement, min_growth, patience
        self._distances = Window(patience)
        self._vendis = Window(patience)
        self._step = 0

    @property
    def is_ready(self) -> bool:
        """True once low diversity may count, after ``patience`` steps."""
        return self._step > self.patience

    def update(self, readings: Readings, levels: _Levels) -> None:
        """Add the medians of a step to the history that improvement is measured against."""
        self._step = readings.step
        if readings.get("energy_distance") is not None:
            self._distances.add(readings.step, levels.distance)
        if readings.get("vendi_ratio") is not None:
            self._vendis.add(readings.step, levels.vendi)

    def is_low(self, levels: _Levels) -> bool:
        """Return True if both measures of diversity are below their shares of the reals' value."""
        return levels.vendi < self.min_vendi_ratio and levels.pairwise < self.min_pairwise_ratio

    def has_stalled(self, step: int, levels: _Levels, *, is_firing: bool) -> bool:
        """Return True after ``patience`` steps if neither measure improves; while the detector fires, improvement does not count."""
        closer = levels.distance < (1.0 - self.min_improvement) * self._distances.high
        more_diverse = levels.vendi > self.min_growth * self._vendis.low
        return step > self.patience and (is_firing or not (closer or more_diverse))


class _DiversityDrop(Stateful):
    """Diversity that has fallen below a share of the run's own best, over a window or at a few sampled steps."""

    def __init__(self, *, drop_ratio: float, vendi_drop_ratio: float, distance_ratio: float) -> None:
        self.drop_ratio, self.vendi_drop_ratio, self.distance_ratio = drop_ratio, vendi_drop_ratio, distance_ratio
        self._best_pairwise = self._best_vendi = 0.0
        self._lowest_distance = math.inf
        self._settled_step: int | None = None
        self._streak = Streak(CONFIRMATIONS)
        self._is_confirmed = False
        self._drop: list[float] = []
        """Pairwise distance and Vendi score at the latest sampled step, if that shows a drop, and the first step of the drop."""

    @property
    def confirmed_drop(self) -> list[float] | None:
        """Pairwise distance, Vendi score and first step of a drop that sampled steps confirm; None without one."""
        return self._drop if self._is_confirmed else None

    def update_best(self, levels: _Levels) -> None:
        """Add healthy medians to the run's own best. Noise is diverse too, so fakes far from the real data do not count."""
        if levels.distance < NEAR_DISTANCE:
            self._best_pairwise = max(self._best_pairwise, min(levels.pairwise, 1.0))
            self._best_vendi = max(self._best_vendi, min(levels.vendi, 1.0))
            self._lowest_distance = min(self._lowest_distance, levels.distance)

    def update(self, step: int, levels: _Levels, *, is_settled: bool) -> None:
        """Take one sampled step. ``is_settled`` is True if the fakes were near the real data for a window before it."""
        if is_settled:
            self._settled_step = step
        is_drop, is_jump_away = self.is_drop(levels), self._is_jump_away(step, levels)
        first_step = self._drop[2] if self._drop else step
        self._drop = [levels.pairwise, levels.vendi, float(first_step)] if is_drop or is_jump_away else []
        self._is_confirmed = self._streak.update(is_drop) or is_jump_away

    def is_drop(self, levels: _Levels) -> bool:
        """Return True if both measures have fallen and the fakes are no longer near the real data."""
        fallen = levels.vendi < self.drop_ratio * self._best_vendi and levels.pairwise < self.drop_ratio * self._best_pairwise
        return fallen and levels.distance > NEAR_DISTANCE

    def is_vendi_drop(self, levels: _Levels) -> bool:
        """Return True if the Vendi score has fallen and the energy distance has grown, as when few of very many modes remain."""
        moved = levels.distance > self.distance_ratio * max(self._lowest_distance, MIN_DISTANCE)
        return levels.vendi < self.vendi_drop_ratio * self._best_vendi and moved

    def threshold(self, *, is_vendi_drop: bool) -> float:
        """Return the Vendi score below which the diversity has dropped."""
        return (self.vendi_drop_ratio if is_vendi_drop else self.drop_ratio) * self._best_vendi

    def _is_jump_away(self, step: int, levels: _Levels) -> bool:
        """Return True if the Vendi score has fallen and the fakes went from near the real data to far within ``SETTLED_STEPS``.

        Once confirmed, it stays True until the fakes are near again or the Vendi score has recovered.
        """
        if self._is_confirmed:
            return levels.vendi < self.drop_ratio * self._best_vendi and levels.distance > NEAR_DISTANCE
        settled = self._settled_step is not None and step - self._settled_step <= SETTLED_STEPS
        return settled and levels.vendi < self.drop_ratio * self._best_vendi and levels.distance > FAR_DISTANCE


class ModeCollapse(Detector):
    """Fire when fakes stay far less diverse than reals and get no closer to them.

    Two rules find it: diversity that is low against real data, and diversity that has fallen below a share of the run's own best.

    Parameters
    ----------
    min_vendi_ratio : float, ratio
        Vendi score of fakes against reals below which diversity is low.
    min_pairwise_ratio : float, ratio
        Pairwise distance of fakes against reals below which diversity is low. Both measures must be below.
    drop_ratio : float, ratio
        Share of the run's own best level, of both measures, below which diversity has dropped. Smaller is stricter.
    min_improvement : float, ratio
        Reduction of the energy distance against its highest level of the last ``patience`` steps that counts as improvement.
    min_growth : float, ratio
        Vendi score against its lowest level of the last ``patience`` steps above which it improves.
    patience : int, steps
        Steps from the start in which low diversity is normal, and over which improvement is measured.
    window : int, steps
        Steps over which medians are taken.
    vendi_drop_ratio : float, ratio
        Share of the run's own best Vendi score below which diversity has dropped whatever the pairwise distance, if the energy distance
        has grown.
    distance_ratio : float, ratio
        Energy distance against its lowest level above which it has grown.

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
    kind = FailureKind.DIVERSITY
    inputs = ("pairwise_ratio", "vendi_ratio", "energy_distance")
    required = inputs
    tunable = {
        "min_vendi_ratio": (0.6, 0.1),
        "min_pairwise_ratio": (0.9, 0.3),
        "drop_ratio": (0.85, 0.3),
        "min_improvement": (0.5, 0.1),
        "min_growth": (3.0, 1.15),
        "patience": (150, 1000),
        "window": (60, 320),
        "vendi_drop_ratio": (0.85, 0.3),
        "distance_ratio": (4.0, 30.0),
    }

    def __init__(
        self,
        *,
        min_vendi_ratio: float = 0.35,
        min_pairwise_ratio: float = 0.6,
        drop_ratio: float = 0.6,
        min_improvement: float = 0.25,
        min_growth: float = 1.5,
        patience: int = 400,
        window: int = 140,
        vendi_drop_ratio: float = 0.7,
        distance_ratio: float = 8.0,
    ) -> None:
        self.min_vendi_ratio, self.min_pairwise_ratio, self.drop_ratio = min_vendi_ratio, min_pairwise_ratio, drop_ratio
        self.min_improvement, self.min_growth, self.patience, self.window = min_improvement, min_growth, patience, window
        self.vendi_drop_ratio, self.distance_ratio = vendi_drop_ratio, distance_ratio
        self._pairwise, self._vendi, self._distance = Window(window), Window(window), Window(window)
        self._low_diversity = _LowDiversity(
            min_vendi_ratio=min_vendi_ratio,
            min_pairwise_ratio=min_pairwise_ratio,
            min_improvement=min_improvement,
            min_growth=min_growth,
            patience=patience,
        )
        self._diversity_drop = _DiversityDrop(drop_ratio=drop_ratio, vendi_drop_ratio=vendi_drop_ratio, distance_ratio=distance_ratio)
        self._low_since: int | None = None
        self._onset: int | None = None

    def update(self, readings: Readings) -> DetectorResult:
        pairwise, vendi, distance = readings.select(self.inputs)
        low_diversity, drop = self._low_diversity, self._diversity_drop
        if is_finite(pairwise) and is_finite(vendi) and is_finite(distance):
            is_settled = self._distance.is_full and self._distance.high < NEAR_DISTANCE
            drop.update(readings.step, _Levels(pairwise, vendi, distance), is_settled=is_settled)
        for window, value in ((self._pairwise, pairwise), (self._vendi, vendi), (self._distance, distance)):
            if value is not None:
                window.add(readings.step, value)
        if not (self._pairwise.is_full and self._vendi.is_full and self._distance.is_full):
            return None
        levels = _Levels(self._pairwise.median, self._vendi.median, self._distance.median)
        low_diversity.update(readings, levels)
        is_low = low_diversity.is_low(levels)
        is_stuck_low = is_low and low_diversity.has_stalled(readings.step, levels, is_firing=self._onset is not None)
        is_vendi_drop = drop.is_vendi_drop(levels)
        is_drop = drop.is_drop(levels) or is_vendi_drop
        self._low_since = (self._low_since or max(1, readings.step - self.window // 2)) if is_low or is_drop else None
        if not (is_stuck_low or is_drop) and drop.confirmed_drop is None:
            self._onset = None
            drop.update_best(levels)
            return None
        pairwise, vendi = levels.pairwise, levels.vendi
        if not (is_stuck_low or is_drop) and drop.confirmed_drop is not None:
            pairwise, vendi, self._low_since = drop.confirmed_drop[0], drop.confirmed_drop[1], int(drop.confirmed_drop[2])
        self._onset = self._onset or self._low_since
        return Verdict(
            value=vendi,
            threshold=self.min_vendi_ratio if is_stuck_low else drop.threshold(is_vendi_drop=is_vendi_drop),
            signal="vendi_ratio",
            window=self.window,
            origin="real data at the same sample size" if is_stuck_low else "the run's own best level",
            explanation=f"Fakes show {vendi:.0%} of the effective variety and {pairwise:.0%} of the spread of real samples, "
            "and get no closer.",
            onset=self._onset,
        )

    @property
    def is_ready(self) -> bool:
        return self._low_diversity.is_ready

    @classmethod
    def demo(cls, seed: int) -> tuple[Iterator[Readings], int]:
        """Simulate a generator that collapses. Return the readings and the onset."""
        before = {"pairwise_ratio": 0.95, "vendi_ratio": 0.95, "energy_distance": 0.01}
        after = {"pairwise_ratio": 0.2, "vendi_ratio": 0.05, "energy_distance": 0.4}
        return cls.simulate(seed, onset=500, before=before, after=after), 500
