"""The generator gives few distinct outputs.

How it is detected
    Fakes against reals, both at the same sample size and within one batch: the mean pairwise distance and the Vendi score
    (effective number of distinct samples). A verdict needs both, either below a fixed share of the reals' value after a warm-up, or
    fallen to a share of the run's own best while its fakes were near the real data (noise is diverse too, and does not count); and a
    variety and a distance to the real data that no longer improve, because an untrained generator is poor as well. A sudden loss down to
    that share of the own best needs fewer sampled steps, and only one if it has led far away from where the fakes had settled. The Vendi
    score alone is enough where the energy distance has become a multiple of its lowest: of very many modes, few are spread as widely as
    all. The verdict lasts until the fakes are back.

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

from ganwatch.core.detector import Detector, DetectorResult, Severity, Verdict
from ganwatch.core.readings import Readings, is_finite
from ganwatch.core.statistics import Stateful, Streak, Window

NEAR_DISTANCE = 0.1
"""Energy distance below which fakes are near the real data. Only their diversity counts as the run's own best."""
FAR_DISTANCE = 0.15
"""Energy distance above which one sampled step is enough, if the fakes had settled before."""
MIN_DISTANCE = 0.005
"""Energy distance below which levels are alike."""
CONFIRMATIONS = 2
"""Consecutive sampled steps of lost diversity that are enough before a window shows it."""
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

    def update(self, readings: Readings, levels: _Levels) -> None:
        """Add the medians of a step to the history that improvement is measured against."""
        if readings.get("energy_distance") is not None:
            self._distances.add(readings.step, levels.distance)
        if readings.get("vendi_ratio") is not None:
            self._vendis.add(readings.step, levels.vendi)

    def is_low(self, levels: _Levels) -> bool:
        """Return True if both measures of diversity are below their shares of the reals' value."""
        return levels.vendi < self.min_vendi_ratio and levels.pairwise < self.min_pairwise_ratio

    def has_stalled(self, step: int, levels: _Levels, *, is_firing: bool) -> bool:
        """Return True after ``patience`` steps if nothing improves, or if the failure is present already."""
        closer = levels.distance < (1.0 - self.min_improvement) * self._distances.high
        more_diverse = levels.vendi > self.min_growth * self._vendis.low
        return step > self.patience and (is_firing or not (closer or more_diverse))


class _DiversityLoss(Stateful):
    """Diversity that has fallen below a share of the run's own best, over a window or at a few sampled steps."""

    def __init__(self, *, loss_ratio: float, thin_ratio: float, distance_ratio: float) -> None:
        self.loss_ratio, self.thin_ratio, self.distance_ratio = loss_ratio, thin_ratio, distance_ratio
        self._best_pairwise = self._best_vendi = 0.0
        self._lowest_distance = math.inf
        self._settled_step: int | None = None
        self._streak = Streak(CONFIRMATIONS)
        self._is_sudden = False
        self._sudden: list[float] = []
        """Pairwise distance and Vendi score of the latest sampled step of a sudden loss, and the step of its first."""

    @property
    def sudden(self) -> list[float] | None:
        """Pairwise distance, Vendi score and first step of a sudden loss; None if there is none."""
        return self._sudden if self._is_sudden else None

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
        lost = self.is_lost(levels)
        left = self._has_left(step, levels)
        first_step = self._sudden[2] if self._sudden else step
        self._sudden = [levels.pairwise, levels.vendi, float(first_step)] if lost or left else []
        self._is_sudden = self._streak.update(lost) or left

    def is_lost(self, levels: _Levels) -> bool:
        """Return True if both measures have fallen and the fakes are no longer near the real data."""
        fallen = levels.vendi < self.loss_ratio * self._best_vendi and levels.pairwise < self.loss_ratio * self._best_pairwise
        return fallen and levels.distance > NEAR_DISTANCE

    def is_thin(self, levels: _Levels) -> bool:
        """Return True if the Vendi score has fallen and the fakes have moved away, as when few of very many modes are left."""
        moved = levels.distance > self.distance_ratio * max(self._lowest_distance, MIN_DISTANCE)
        return levels.vendi < self.thin_ratio * self._best_vendi and moved

    def threshold(self, *, is_thin: bool) -> float:
        """Return the Vendi score below which diversity counts as lost."""
        return (self.thin_ratio if is_thin else self.loss_ratio) * self._best_vendi

    def _has_left(self, step: int, levels: _Levels) -> bool:
        """Return True if settled fakes have just left for far away with fewer modes, until they are back."""
        if self._is_sudden:
            return levels.vendi < self.loss_ratio * self._best_vendi and levels.distance > NEAR_DISTANCE
        settled = self._settled_step is not None and step - self._settled_step <= SETTLED_STEPS
        return settled and levels.vendi < self.loss_ratio * self._best_vendi and levels.distance > FAR_DISTANCE


class ModeCollapse(Detector):
    """Fire when fakes stay far less diverse than reals and get no closer to them.

    Two rules find it: diversity that is low against real data, and diversity that has fallen below a share of the run's own best.

    Parameters
    ----------
    min_vendi_ratio : float, ratio
        Vendi score of fakes against reals below which diversity is low.
    min_pairwise_ratio : float, ratio
        Pairwise distance of fakes against reals that must be undercut as well.
    loss_ratio : float, ratio
        Share of the run's own best level, of both measures, below which diversity is lost. Smaller is stricter.
    min_improvement : float, ratio
        Reduction of the energy distance from its peak of the last ``patience`` steps that counts as improvement.
    min_growth : float, ratio
        Vendi score against its low of the last ``patience`` steps from which it counts as improving.
    patience : int, steps
        Steps for which low diversity is normal.
    window : int, steps
        Length of the evidence.
    thin_ratio : float, ratio
        Share of the own best Vendi score below which diversity is lost whatever the pairwise distance, if the fakes have moved away.
        A few hundred of a thousand modes are spread as widely as all.
    distance_ratio : float, ratio
        Energy distance against its lowest level from which fakes have moved away.

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
        "min_vendi_ratio": (0.6, 0.1),
        "min_pairwise_ratio": (0.9, 0.3),
        "loss_ratio": (0.85, 0.3),
        "min_improvement": (0.5, 0.1),
        "min_growth": (3.0, 1.15),
        "patience": (150, 1000),
        "window": (60, 320),
        "thin_ratio": (0.85, 0.3),
        "distance_ratio": (4.0, 30.0),
    }

    def __init__(
        self,
        *,
        min_vendi_ratio: float = 0.35,
        min_pairwise_ratio: float = 0.6,
        loss_ratio: float = 0.6,
        min_improvement: float = 0.25,
        min_growth: float = 1.5,
        patience: int = 400,
        window: int = 140,
        thin_ratio: float = 0.7,
        distance_ratio: float = 8.0,
    ) -> None:
        self.min_vendi_ratio, self.min_pairwise_ratio, self.loss_ratio = min_vendi_ratio, min_pairwise_ratio, loss_ratio
        self.min_improvement, self.min_growth, self.patience, self.window = min_improvement, min_growth, patience, window
        self.thin_ratio, self.distance_ratio = thin_ratio, distance_ratio
        self._pairwise, self._vendi, self._distance = Window(window), Window(window), Window(window)
        self._low_diversity = _LowDiversity(
            min_vendi_ratio=min_vendi_ratio,
            min_pairwise_ratio=min_pairwise_ratio,
            min_improvement=min_improvement,
            min_growth=min_growth,
            patience=patience,
        )
        self._diversity_loss = _DiversityLoss(loss_ratio=loss_ratio, thin_ratio=thin_ratio, distance_ratio=distance_ratio)
        self._low_since: int | None = None
        self._onset: int | None = None

    def update(self, readings: Readings) -> DetectorResult:
        pairwise, vendi, distance = readings.select(self.inputs)
        low_diversity, loss = self._low_diversity, self._diversity_loss
        if is_finite(pairwise) and is_finite(vendi) and is_finite(distance):
            is_settled = self._distance.is_full and self._distance.high < NEAR_DISTANCE
            loss.update(readings.step, _Levels(pairwise, vendi, distance), is_settled=is_settled)
        for window, value in ((self._pairwise, pairwise), (self._vendi, vendi), (self._distance, distance)):
            if value is not None:
                window.add(readings.step, value)
        if not (self._pairwise.is_full and self._vendi.is_full and self._distance.is_full):
            return None
        levels = _Levels(self._pairwise.median, self._vendi.median, self._distance.median)
        low_diversity.update(readings, levels)
        is_low = low_diversity.is_low(levels)
        is_poor = is_low and low_diversity.has_stalled(readings.step, levels, is_firing=self._onset is not None)
        is_thin = loss.is_thin(levels)
        is_lost = loss.is_lost(levels) or is_thin
        self._low_since = (self._low_since or max(1, readings.step - self.window // 2)) if is_low or is_lost else None
        if not (is_poor or is_lost) and loss.sudden is None:
            self._onset = None
            loss.update_best(levels)
            return None
        pairwise, vendi = levels.pairwise, levels.vendi
        if not (is_poor or is_lost) and loss.sudden is not None:
            pairwise, vendi, self._low_since = loss.sudden[0], loss.sudden[1], int(loss.sudden[2])
        self._onset = self._onset or self._low_since
        return Verdict(
            value=vendi,
            threshold=self.min_vendi_ratio if is_poor else loss.threshold(is_thin=is_thin),
            signal="vendi_ratio",
            window=self.window,
            origin="real data at the same sample size" if is_poor else "the run's own best level",
            explanation=f"Fakes show {vendi:.0%} of the effective variety and {pairwise:.0%} of the spread of real samples, "
            "and get no closer.",
            onset=self._onset,
        )

    @classmethod
    def demo(cls, seed: int) -> tuple[Iterator[Readings], int]:
        """Simulate a generator that collapses. Return the readings and the onset."""
        before = {"pairwise_ratio": 0.95, "vendi_ratio": 0.95, "energy_distance": 0.01}
        after = {"pairwise_ratio": 0.2, "vendi_ratio": 0.05, "energy_distance": 0.4}
        return cls.simulate(seed, onset=500, before=before, after=after), 500
