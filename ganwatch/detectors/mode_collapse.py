"""The generator gives few distinct outputs.

How it is detected
    Two measures compare fakes with reals of the same sample size within one batch: the mean pairwise distance, and the Vendi score
    (effective number of distinct samples). Four rules read them, as medians over a window.

    Lost variety: both measures are far below those of the reals, the run itself had a multiple of its variety in its first steps, and
    neither they nor the energy distance to the real data improve within the window. It needs six sampled steps. An untrained generator
    has low diversity as well, but keeps it or gains some. Fakes that are all the same need no better past.

    Low diversity: both measures are below a fixed share of the reals' value, and neither they nor the energy distance improve any more.
    The rule waits until the generator has had its chance: `patience` steps, and updates that add up to a quarter of its weights.

    A drop of diversity: both measures have fallen below a share of the run's own best. Only fakes near the real data set that best,
    because noise is diverse too. The drop is confirmed by two sampled steps in a row, and by one if the fakes were near the real data
    until then and are far from it now. The verdict lasts until the fakes are back.

    A loss of some kinds: against the state in which the fakes were nearest to the real data, the energy distance has grown to a multiple
    and the Vendi score has fallen, both by several times their usual scatter. A few of many kinds are spread as widely as all of them, so
    the pairwise distance does not count here.

    Where the reals themselves change, as their resolution grows, the run's own best starts from the beginning: the mean distance among
    them leaves its usual range by a quarter.

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
    diversity and is not. One that never had variety waits for `patience`, as some healthy ones begin so. Kinds that are lost before the
    fakes came near the real data move the distance little. The distance is taken in pixels, so photographs that differ in background alone
    look diverse.

Calibration
    On the final part of the corpus it fired on 22 of the 22 runs whose failure it names, and on 1 of 216 healthy ones
    (`make corpus-table`).

References
    Friedman and Dieng, The Vendi score, 2023, arXiv:2210.02410. Srivastava et al., VEEGAN, 2017, arXiv:1705.07761.
"""

from __future__ import annotations

from collections.abc import Iterator

from ganwatch.core.detector import Detector, DetectorResult, FailureKind, Severity, Verdict
from ganwatch.core.diversity_rules import NEAR_DISTANCE, DiversityDrop, DiversityLevels, EarlyCollapse, LowDiversity, RealsChange
from ganwatch.core.own_best import OwnBest
from ganwatch.core.readings import Readings, is_finite
from ganwatch.core.statistics import Window

UPDATE_STEPS = 100
"""Steps over which the usual update of the generator is taken."""
MAX_USUAL_UPDATE = 0.015
"""Usual update against weights above which the learning rate is the first thing to change; at most 0.0093 in healthy recorded runs
(`python tests/benchmarks/healthy_levels.py`)."""


class ModeCollapse(Detector):
    """Fire when fakes stay far less diverse than reals and get no closer to them.

    Four rules find it: variety of the first steps that is lost, diversity that is low against real data, diversity that has fallen below
    a share of the run's own best, and a loss of some kinds against the state that was nearest to the real data.

    Parameters
    ----------
    min_vendi_ratio : float, ratio
        Vendi score of fakes against reals below which diversity is low.
    min_pairwise_ratio : float, ratio
        Pairwise distance of fakes against reals below which diversity is low. Both measures must be below.
    drop_ratio : float, ratio
        Share of the run's own best level, of both measures, below which diversity has dropped. Smaller is stricter.
    min_improvement : float, ratio
        Reduction of the energy distance against its level early in the last ``patience`` steps that counts as improvement. Here and
        below less is enough while the medians go back less far.
    min_growth : float, ratio
        A measure of diversity against its level early in the last ``patience`` steps above which it improves.
    patience : int, steps
        Steps from the start in which low diversity is normal, and over which improvement is measured.
    window : int, steps
        Steps over which medians are taken.
    vendi_drop_ratio : float, ratio
        Vendi score against that of the state nearest to the real data below which kinds are lost, if the energy distance has grown.
    vendi_sigmas : float, scatters
        Fall of the Vendi score from that state, at the least.
    distance_ratio : float, ratio
        Energy distance against that of the state above which it has grown.
    distance_sigmas : float, scatters
        Growth of the energy distance, at the least.
    max_early_vendi_ratio : float, ratio
        Vendi score of fakes against reals below which the variety of the first steps is lost.
    early_window : int, steps
        Steps over which medians are taken for the loss of variety and of kinds.

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
    inputs = ("pairwise_ratio", "vendi_ratio", "energy_distance", "update_to_weight/g", "real_distance")
    required = (("pairwise_ratio", "vendi_ratio", "energy_distance"),)
    tunable = {
        "min_vendi_ratio": (0.6, 0.1),
        "min_pairwise_ratio": (0.9, 0.3),
        "drop_ratio": (0.85, 0.3),
        "min_improvement": (0.5, 0.1),
        "min_growth": (3.0, 1.15),
        "patience": (150, 1000),
        "window": (60, 320),
        "vendi_drop_ratio": (0.95, 0.3),
        "vendi_sigmas": (2.0, 8.0),
        "distance_ratio": (3.0, 30.0),
        "distance_sigmas": (3.0, 12.0),
        "max_early_vendi_ratio": (0.35, 0.02),
        "early_window": (60, 160),
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
        vendi_drop_ratio: float = 0.8,
        vendi_sigmas: float = 3.0,
        distance_ratio: float = 8.0,
        distance_sigmas: float = 4.0,
        max_early_vendi_ratio: float = 0.25,
        early_window: int = 80,
    ) -> None:
        self.min_vendi_ratio, self.min_pairwise_ratio, self.drop_ratio = min_vendi_ratio, min_pairwise_ratio, drop_ratio
        self.min_improvement, self.min_growth, self.patience, self.window = min_improvement, min_growth, patience, window
        self.vendi_drop_ratio, self.vendi_sigmas = vendi_drop_ratio, vendi_sigmas
        self.distance_ratio, self.distance_sigmas = distance_ratio, distance_sigmas
        self._pairwise, self._vendi, self._distance = Window(window), Window(window), Window(window)
        self._low_diversity = LowDiversity(
            min_vendi_ratio=min_vendi_ratio,
            min_pairwise_ratio=min_pairwise_ratio,
            min_improvement=min_improvement,
            min_growth=min_growth,
            patience=patience,
        )
        self._diversity_drop = DiversityDrop(drop_ratio=drop_ratio)
        self._reals = RealsChange()
        self._best = OwnBest(distance_ratio=distance_ratio, distance_sigmas=distance_sigmas, window=window, recent=early_window)
        self.max_early_vendi_ratio, self.early_window = max_early_vendi_ratio, early_window
        self._early = EarlyCollapse(max_vendi_ratio=max_early_vendi_ratio, window=early_window)
        self._updates = Window(UPDATE_STEPS)
        self._low_since: int | None = None
        self._onset: int | None = None

    def update(self, readings: Readings) -> DetectorResult:
        pairwise, vendi, distance, update, of_reals = readings.select(self.inputs)
        self._compare_reals(readings.step, of_reals)
        low_diversity, drop, early = self._low_diversity, self._diversity_drop, self._early
        if is_finite(update):
            low_diversity.add_update(readings.step, update)
            self._updates.add(readings.step, update)
        if is_finite(pairwise) and is_finite(vendi) and is_finite(distance):
            is_settled = self._distance.is_full and self._distance.high < NEAR_DISTANCE
            drop.update(readings.step, DiversityLevels(pairwise, vendi, distance), is_settled=is_settled)
            early.update(readings.step, DiversityLevels(pairwise, vendi, distance))
            low_diversity.add_look(readings.step, DiversityLevels(pairwise, vendi, distance))
            self._best.update(readings.step, distance, vendi)
        for window, value in ((self._pairwise, pairwise), (self._vendi, vendi), (self._distance, distance)):
            if value is not None:
                window.add(readings.step, value)
        if not (self._pairwise.is_full and self._vendi.is_full and self._distance.is_full):
            return self._early_verdict()
        levels = DiversityLevels(self._pairwise.median, self._vendi.median, self._distance.median)
        low_diversity.update(readings, levels)
        is_low = low_diversity.is_low(levels)
        is_stuck_low = is_low and low_diversity.has_stalled(readings.step, levels, is_firing=self._onset is not None)
        is_drop = drop.is_drop(levels)
        self._low_since = (self._low_since or max(1, readings.step - self.window // 2)) if is_low or is_drop else None
        if not (is_stuck_low or is_drop) and drop.confirmed_drop is None:
            drop_or_none = self._partial_verdict() or self._early_verdict()
            if drop_or_none is None:
                drop.update_best(levels)
            return drop_or_none
        pairwise, vendi = levels.pairwise, levels.vendi
        if not (is_stuck_low or is_drop) and drop.confirmed_drop is not None:
            pairwise, vendi, self._low_since = drop.confirmed_drop[0], drop.confirmed_drop[1], int(drop.confirmed_drop[2])
        if is_stuck_low and self._low_since is not None:
            self._low_since = max(self._low_since, low_diversity.improved_step + 1)
        self._onset = self._onset or self._low_since
        threshold = self.min_vendi_ratio if is_stuck_low else drop.threshold
        origin = "real data at the same sample size" if is_stuck_low else "the run's own best level"
        return self._verdict(pairwise, vendi, threshold, origin, self.window)

    def _compare_reals(self, step: int, distance: float | None) -> None:
        """Forget what was compared with other reals, if these have changed."""
        if not is_finite(distance) or not self._reals.update(step, distance):
            return
        self._diversity_drop = DiversityDrop(drop_ratio=self.drop_ratio)
        self._early = EarlyCollapse(max_vendi_ratio=self.max_early_vendi_ratio, window=self.early_window)
        self._best.forget()
        for window in (self._pairwise, self._vendi, self._distance):
            window.clear()

    def _early_verdict(self) -> Verdict | None:
        if self._early.since is None:
            self._onset = None
            return None
        self._onset = self._onset or self._early.since
        levels = self._early.levels
        origin = "real data at the same sample size"
        return self._verdict(levels.pairwise, levels.vendi, self.max_early_vendi_ratio, origin, self.early_window)

    def _partial_verdict(self) -> Verdict | None:
        if not self._best.has_grown or self._best.vendi >= (bound := self._best.min_vendi(self.vendi_drop_ratio, self.vendi_sigmas)):
            return None
        self._onset = self._onset or self._best.since
        return self._verdict(self._pairwise.median, self._best.vendi, bound, "the run's own best level", self.early_window)

    def _verdict(self, pairwise: float, vendi: float, threshold: float, origin: str, window: int) -> Verdict:
        return Verdict(
            value=vendi,
            threshold=threshold,
            signal="vendi_ratio",
            window=window,
            origin=origin,
            explanation=f"Fakes show {vendi:.0%} of the effective variety and {pairwise:.0%} of the spread of real samples, "
            "and get no closer.",
            onset=self._onset,
            advice=self._advise(),
        )

    def _advise(self) -> str:
        """Return what to do first if the updates show it."""
        usual = self._updates.median
        return f"lower the generator's learning rate: one update changes {usual:.1%} of its weights" if usual > MAX_USUAL_UPDATE else ""

    @property
    def is_ready(self) -> bool:
        return self._low_diversity.is_ready

    @classmethod
    def demo(cls, seed: int) -> tuple[Iterator[Readings], int]:
        """Simulate a generator that collapses. Return the readings and the onset."""
        before = {"pairwise_ratio": 0.95, "vendi_ratio": 0.95, "energy_distance": 0.01}
        after = {"pairwise_ratio": 0.2, "vendi_ratio": 0.05, "energy_distance": 0.4}
        return cls.simulate(seed, onset=500, before=before, after=after), 500
