"""Rules about the diversity of fakes and their distance to reals, from which detectors are built."""

from __future__ import annotations

import math
import statistics
from typing import NamedTuple

from ganwatch.core.readings import Readings
from ganwatch.core.statistics import Stateful, Streak, Window

NEAR_DISTANCE = 0.1
"""Energy distance below which fakes are near the real data. Only their diversity counts as the run's own best."""
FAR_DISTANCE = 0.15
"""Energy distance above which one sampled step is enough, if the fakes had settled before."""
CONFIRMATIONS = 2
"""Consecutive sampled steps that confirm a drop before the medians of a window show it."""
SETTLED_STEPS = 60
"""Steps for which fakes count as settled after a window in which all of them were near the real data."""


MIN_PATH = 0.25
"""Way of the generator's weights, in norms of them, before which it has not had its chance: it learns slowly or is warmed up."""
ONE_SAMPLE = 0.02
"""Pairwise distance against that of reals below which fakes are one sample, whatever its growth."""
LOST_VENDI, LOST_PAIRWISE = 0.5, 0.1
"""Shares of the highest Vendi score and pairwise distance of all sampled steps so far below which variety is lost. One sample has a
Vendi score too, so that one falls less."""
IDENTICAL = 1e-4
"""Pairwise distance against that of reals below which all fakes are the same; those of an untrained generator differ."""
MAX_EARLY_PAIRWISE = 0.3
"""Pairwise distance against that of reals above which fakes that are few are not narrow yet, and may still spread."""
EARLY_CONFIRMATIONS = 3
"""Consecutive sampled steps whose windows confirm that the variety of the first steps is lost."""
CLEARLY = 1.01
"""Ratio of two levels from which the better one is an improvement."""
MIN_RECOVERY = 1.25
"""Growth of a measure of diversity, second half of a window against the first, from which it recovers."""
MAX_APPROACH = 0.9
"""Energy distance, second half of a window against the first, below which the fakes come nearer."""
USUAL_STEPS, MIN_USUAL = 400, 5
"""Steps, and fewest looks, that show the usual distance among reals."""
MIN_REALS_CHANGE, CHANGE_SCATTERS = 1.25, 5.0
"""Distance among reals against the usual one from which they have changed, and the scatters that it must leave at least."""


class DiversityLevels(NamedTuple):
    """Diversity and distance of the fakes, at one sampled step or as medians over a window."""

    pairwise: float
    vendi: float
    distance: float


class LowDiversity(Stateful):
    """Diversity that is low against real data and no longer improves; an untrained generator has low diversity as well."""

    def __init__(
        self, *, min_vendi_ratio: float, min_pairwise_ratio: float, min_improvement: float, min_growth: float, patience: int
    ) -> None:
        self.min_vendi_ratio, self.min_pairwise_ratio = min_vendi_ratio, min_pairwise_ratio
        self.min_improvement, self.min_growth, self.patience = min_improvement, min_growth, patience
        self._distances, self._vendis, self._pairwise = Window(patience), Window(patience), Window(patience)
        self._first_step: int | None = None
        self._step = 0
        self._path = 0.0
        """Way of the generator's weights so far, in norms of them; infinite while no update was measured."""
        self._path_step: int | None = None
        self._best: list[float] = []
        """Highest pairwise distance and Vendi score, and lowest energy distance, at sampled steps that were clearly better."""
        self._improved_step = 0

    @property
    def improved_step(self) -> int:
        """Latest step at which some measure was clearly better than ever before; 0 for none."""
        return self._improved_step

    @property
    def is_ready(self) -> bool:
        """True once low diversity may count, after ``patience`` steps."""
        return self._step > self.patience

    def add_update(self, step: int, update_to_weight: float) -> None:
        """Add the updates since the latest call to the way of the weights."""
        self._path += update_to_weight * (step - (self._path_step or 0))
        self._path_step = step

    def add_look(self, step: int, levels: DiversityLevels) -> None:
        """Note whether a sampled step is clearly better than all before it."""
        if not self._best:
            self._best = list(levels)
            return
        pairwise, vendi, distance = self._best
        if levels.vendi > CLEARLY * vendi or levels.pairwise > CLEARLY * pairwise or CLEARLY * levels.distance < distance:
            self._best = [max(levels.pairwise, pairwise), max(levels.vendi, vendi), min(levels.distance, distance)]
            self._improved_step = step

    def update(self, readings: Readings, levels: DiversityLevels) -> None:
        """Add the medians of a step to the history that improvement is measured against."""
        self._step = readings.step
        self._first_step = self._first_step or readings.step
        measured = readings.select(("energy_distance", "vendi_ratio", "pairwise_ratio"))
        histories = (self._distances, levels.distance), (self._vendis, levels.vendi), (self._pairwise, levels.pairwise)
        for value, (history, level) in zip(measured, histories, strict=True):
            if value is not None:
                history.add(readings.step, level)

    def is_low(self, levels: DiversityLevels) -> bool:
        """Return True if both measures of diversity are below their shares of the reals' value."""
        return levels.vendi < self.min_vendi_ratio and levels.pairwise < self.min_pairwise_ratio

    def has_stalled(self, step: int, levels: DiversityLevels, *, is_firing: bool) -> bool:
        """Return True after ``patience`` steps if no measure improves and the generator has had its chance.

        While the medians go back less than ``patience`` steps, less improvement is enough. While the detector fires, none counts.
        """
        had_chance = self._path_step is None or self._path > MIN_PATH or levels.pairwise < IDENTICAL
        if step <= self.patience or not had_chance:
            return False
        share = min(1.0, (step - (self._first_step or step)) / self.patience)
        growth = self.min_growth**share
        closer = levels.distance < (1.0 - self.min_improvement) ** share * _early(self._distances)
        more_diverse = levels.vendi > growth * _early(self._vendis)
        wider = levels.pairwise > max(growth * _early(self._pairwise), ONE_SAMPLE)
        return is_firing or not (closer or more_diverse or wider)


class RealsChange(Stateful):
    """A change of the reals, such as a resolution that grows: their own mean distance leaves its usual range.

    What the fakes had at their best was in comparison with other reals then.

    Examples
    --------
    >>> change = RealsChange()
    >>> [step for step, distance in enumerate([4.0, 4.1, 3.9, 4.0, 4.1, 4.0, 6.0, 6.1], 1) if change.update(step, distance)]
    [7]
    """

    def __init__(self) -> None:
        self._usual = Window(USUAL_STEPS)

    def update(self, step: int, distance: float) -> bool:
        """Take the mean distance of the reals at a sampled step; return True if the reals have changed."""
        usual = self._usual
        has_changed = False
        if len(usual) >= MIN_USUAL and usual.median > 0.0:
            scatter = (usual.quantile(0.85) - usual.quantile(0.15)) / (2.0 * usual.median)
            most = max(MIN_REALS_CHANGE, 1.0 + CHANGE_SCATTERS * scatter)
            has_changed = not usual.median / most <= distance <= usual.median * most
        if has_changed:
            usual.clear()
        usual.add(step, distance)
        return has_changed


class EarlyCollapse(Stateful):
    """Variety that the run itself had in its first steps and has lost, before any fakes were near the real data.

    An untrained generator has little variety as well, and keeps it or gains some; so low variety alone does not count here.

    Parameters
    ----------
    max_vendi_ratio : float, ratio
        Vendi score of fakes against reals below which variety is lost, as a median over the window.
    window : int, steps
    """

    def __init__(self, *, max_vendi_ratio: float, window: int) -> None:
        self.max_vendi_ratio, self.window = max_vendi_ratio, window
        self._vendis, self._pairwise, self._distances = Window(window), Window(window), Window(window)
        self._highest_vendi = self._highest_pairwise = 0.0
        self._streak = Streak(EARLY_CONFIRMATIONS)
        self._since: int | None = None
        self._is_confirmed = False

    @property
    def since(self) -> int | None:
        """First step of a collapse that is confirmed; None without one."""
        return self._since if self._is_confirmed else None

    @property
    def levels(self) -> DiversityLevels:
        """Medians of the window."""
        return DiversityLevels(self._pairwise.median, self._vendis.median, self._distances.median)

    def update(self, step: int, levels: DiversityLevels) -> None:
        """Take one sampled step."""
        for window, value in ((self._pairwise, levels.pairwise), (self._vendis, levels.vendi), (self._distances, levels.distance)):
            window.add(step, value)
        self._highest_vendi, self._highest_pairwise = max(self._highest_vendi, levels.vendi), max(self._highest_pairwise, levels.pairwise)
        if not self._vendis.is_full:
            return
        now = self.levels
        is_same = now.pairwise < IDENTICAL
        is_lost = is_same or now.vendi < LOST_VENDI * self._highest_vendi or now.pairwise < LOST_PAIRWISE * self._highest_pairwise
        is_narrow = now.vendi < self.max_vendi_ratio and now.pairwise < MAX_EARLY_PAIRWISE
        is_low = (is_lost or self._is_confirmed) and is_narrow and now.distance > NEAR_DISTANCE
        recovers = max(_trend(self._vendis), _trend(self._pairwise)) > MIN_RECOVERY or _trend(self._distances) < MAX_APPROACH
        is_confirmed = self._streak.update(is_low and (self._is_confirmed or is_same or not recovers))
        self._since = (self._since or max(1, step - self.window // 2)) if is_low else None
        self._is_confirmed = is_confirmed


def _early(window: Window) -> float:
    """Return the median of the first half of a window; NaN while empty. What goes up and down again does not improve on it."""
    return statistics.median(window.values[: (len(window) + 1) // 2]) if len(window) else math.nan


def _trend(window: Window) -> float:
    """Return the median of the second half of a window against that of the first; 1 where that is 0."""
    values = window.values
    first, second = (statistics.median(half) for half in (values[: len(values) // 2], values[len(values) // 2 :]))
    return second / first if first > 0.0 else 1.0


class DiversityDrop(Stateful):
    """Diversity that has fallen below a share of the run's own best, over a window or at a few sampled steps."""

    def __init__(self, *, drop_ratio: float) -> None:
        self.drop_ratio = drop_ratio
        self._best_pairwise = self._best_vendi = 0.0
        self._settled_step: int | None = None
        self._streak = Streak(CONFIRMATIONS)
        self._is_confirmed = False
        self._drop: list[float] = []
        """Pairwise distance and Vendi score at the latest sampled step, if that shows a drop, and the first step of the drop."""

    @property
    def confirmed_drop(self) -> list[float] | None:
        """Pairwise distance, Vendi score and first step of a drop that sampled steps confirm; None without one."""
        return self._drop if self._is_confirmed else None

    def update_best(self, levels: DiversityLevels) -> None:
        """Add healthy medians to the run's own best. Noise is diverse too, so fakes far from the real data do not count."""
        if levels.distance < NEAR_DISTANCE:
            self._best_pairwise = max(self._best_pairwise, min(levels.pairwise, 1.0))
            self._best_vendi = max(self._best_vendi, min(levels.vendi, 1.0))

    def update(self, step: int, levels: DiversityLevels, *, is_settled: bool) -> None:
        """Take one sampled step. ``is_settled`` is True if the fakes were near the real data for a window before it."""
        if is_settled:
            self._settled_step = step
        is_drop, is_jump_away = self.is_drop(levels), self._is_jump_away(step, levels)
        first_step = self._drop[2] if self._drop else step
        self._drop = [levels.pairwise, levels.vendi, float(first_step)] if is_drop or is_jump_away else []
        self._is_confirmed = self._streak.update(is_drop) or is_jump_away

    def is_drop(self, levels: DiversityLevels) -> bool:
        """Return True if both measures have fallen and the fakes are no longer near the real data."""
        fallen = levels.vendi < self.drop_ratio * self._best_vendi and levels.pairwise < self.drop_ratio * self._best_pairwise
        return fallen and levels.distance > NEAR_DISTANCE

    @property
    def threshold(self) -> float:
        """Vendi score below which the diversity has dropped."""
        return self.drop_ratio * self._best_vendi

    def _is_jump_away(self, step: int, levels: DiversityLevels) -> bool:
        """Return True if the Vendi score has fallen and the fakes went from near the real data to far within ``SETTLED_STEPS``.

        Once confirmed, it stays True until the fakes are near again or the Vendi score has recovered.
        """
        if self._is_confirmed:
            return levels.vendi < self.drop_ratio * self._best_vendi and levels.distance > NEAR_DISTANCE
        settled = self._settled_step is not None and step - self._settled_step <= SETTLED_STEPS
        return settled and levels.vendi < self.drop_ratio * self._best_vendi and levels.distance > FAR_DISTANCE
