"""Generated samples are clearly further from real ones than they were.

How it is detected
    The Fréchet distance against the run's best value, the median of three evaluations in a row: that of the loop's own batches to the first
    real ones, every 80 steps (`online_frechet/fake`), less that of the latest reals, and that of each evaluation on the same inputs and
    real samples (`frechet`). Each of the last three has to be several standard errors above the best, and a multiple of it, since a single
    evaluation without averaged weights may be far from its neighbours. The online one does not count while the energy distance of the same
    fakes is still that of the run's best state. Where a distance comes without its error, the usual change from one value to the next
    stands for it. Own measures with a direction (`score`, `cost`) are watched for the standard errors alone. A `budget` may be given that
    `frechet` must not exceed. Where the resolution of the data grows, the best value starts from the beginning.

    The energy distance of the loop's own fakes is read more often. It counts where nearly all of its last values are a multiple of that of
    the run's best state and lie many times its usual scatter above it, and the fakes do not wander: those that do oscillate or have
    collapsed, which has an incident of its own.

Why it matters
    The best weights are lost: the current weights are worse than a checkpoint that exists.

Likely causes
    Training goes on after its best point with learning rates that do not fall; an imbalance of the networks that has built up; a change of
    data, batch size or regularisation on the way; a collapse, which has an incident of its own then.

What to do
    Roll back to the checkpoint at the best step, which the evidence names. Check what changed in the data first; then let the learning
    rates fall, or average the weights.

Blind spots
    A defect that the features do not represent is not found; those of the online distance are projected pixels. The energy distance shows
    gross changes alone, and none of fakes that never came near the real data.

Calibration
    No failure of the corpus is named by it. Of the runs of the final part it fired on 0 of 216 healthy ones (`make corpus-table`). Tests
    hold the rule to trainings whose generator is changed on purpose.

References
    Heusel et al., 2017, arXiv:1706.08500 (the distance); Chong and Forsyth, 2020, arXiv:1911.07023 (its bias, the same in every
    evaluation here as sizes do not change).
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator

from ganwatch.core.detector import Detector, DetectorResult, FailureKind, Severity, Verdict
from ganwatch.core.diversity_rules import RealsChange
from ganwatch.core.own_best import OwnBest
from ganwatch.core.readings import Readings, is_finite
from ganwatch.core.statistics import Window

ONLINE, ONLINE_REAL = "online_frechet/fake", "online_frechet/real"
MIN_ONLINE_DISTANCE = 0.02
"""Floor, in variances of the reals, of the best online distance, which lies around 0 for equal distributions."""
MIN_CHANGES, MAX_CHANGES = 5, 40
"""Latest changes from one value to the next that stand for a missing error."""
DISTANCES = ("frechet", "online_frechet")
BETTER_SIGNS = dict.fromkeys((*DISTANCES, "cost"), -1.0) | {"score": 1.0}
"""Families of signals that are evaluated, with the sign of an improvement."""
CONFIRMATIONS = 3
"""Consecutive evaluations that must agree."""
WINDOW, RECENT = 140, 160
"""Steps of the best state of the energy distance, and of the state that is compared with it."""
LOW = 0.15
"""Order statistic of the recent energy distances that must be too large: a distance that swings comes back in between."""
MAX_SHIFT = 0.4
"""Shift of the fakes, in spreads of the reals, above which they wander; that is an oscillation or a collapse."""


class QualityRegression(Detector):
    """Fire when a measure of quality is significantly worse than the best of the run.

    Parameters
    ----------
    distance_ratio : float, ratio
        Fréchet distance against the best one from which it counts as worse.
    min_sigmas : float, standard errors
        Difference to the best value from which a value counts as worse.
    budget : float or None
        Fréchet distance that must not be exceeded once it was met.
    energy_ratio : float, ratio
        Energy distance against that of the best state from which it counts as worse.
    energy_sigmas : float, scatters
        Difference to the best state from which it counts as worse.

    Examples
    --------
    >>> readings, onset = QualityRegression.demo(seed=0)
    >>> detector = QualityRegression()
    >>> fired = next(r.step for r in readings if detector.update(r))
    >>> onset <= fired <= onset + 200
    True
    """

    code = "GW401"
    title = "quality regression"
    severity = Severity.TICKET
    kind = FailureKind.QUALITY
    inputs = (
        ONLINE, "online_frechet_error/fake", ONLINE_REAL, "online_reference",
        "frechet", "frechet_error", "reference", "energy_distance", "fake_shift", "real_distance",
    )  # fmt: skip
    required = ((ONLINE,), ("frechet",), ("energy_distance", "fake_shift"))
    tunable = {"distance_ratio": (1.2, 4.0), "min_sigmas": (2.0, 10.0), "energy_ratio": (5.0, 40.0), "energy_sigmas": (4.0, 20.0)}

    def __init__(
        self,
        *,
        distance_ratio: float = 2.0,
        min_sigmas: float = 4.0,
        budget: float | None = None,
        energy_ratio: float = 10.0,
        energy_sigmas: float = 8.0,
    ) -> None:
        self.distance_ratio, self.min_sigmas, self.budget = distance_ratio, min_sigmas, budget
        self.energy_ratio, self.energy_sigmas = energy_ratio, energy_sigmas
        self._energy = OwnBest(distance_ratio=energy_ratio, distance_sigmas=energy_sigmas, window=WINDOW, recent=RECENT, quantile=LOW)
        self._shifts, self._reals = Window(RECENT), RealsChange()
        self._recent: dict[str, list[list[float]]] = {}
        """The latest evaluations by series: value, standard error and step."""
        self._best: dict[str, list[float]] = {}
        """The best evaluation by series: value, standard error and step."""
        self._last: dict[str, float] = {}
        """The latest value of series without errors."""
        self._changes: dict[str, list[float]] = {}
        """The latest changes from one of their values to the next."""
        self._references = {"reference": 1.0, "online_reference": 1.0}

    def update(self, readings: Readings) -> DetectorResult:
        for name, known in self._references.items():
            reference = readings.values.get(name)
            if is_finite(reference) and reference != known:
                self._references[name] = reference
                self._recent, self._best, self._last, self._changes = {}, {}, {}, {}
                self._energy.forget()
        evaluated = [series for series in readings.values if series.partition("/")[0] in BETTER_SIGNS and series != ONLINE_REAL]
        energy = self._evaluate_energy(readings)
        verdicts = [self._evaluate(series, readings) for series in evaluated]
        return next((verdict for verdict in verdicts if verdict is not None), energy)

    def _evaluate_energy(self, readings: Readings) -> Verdict | None:
        (value, shift, of_reals), best = readings.select(("energy_distance", "fake_shift", "real_distance")), self._energy
        if is_finite(of_reals) and self._reals.update(readings.step, of_reals):
            best.forget()
        if is_finite(value):
            best.update(readings.step, value)
        if is_finite(shift):
            self._shifts.add(readings.step, shift)
        if not best.has_grown or self._shifts.median > MAX_SHIFT:
            return None
        return Verdict(
            value=best.distance,
            threshold=best.max_distance,
            signal="energy_distance",
            window=RECENT,
            origin=f"the run's best state, up to step {best.best_step}",
            explanation=f"The energy distance of fakes to real data is {best.distance:.2g} or more over {RECENT} steps and was "
            f"{best.best_distance:.2g} up to step {best.best_step}.",
            onset=best.since,
        )

    def _find_error(self, series: str, value: float, readings: Readings) -> float | None:
        """Return the standard error of a value, or the usual change from one value to the next; None while neither is known."""
        family, _, name = series.partition("/")
        is_own = family not in DISTANCES
        error = readings.values.get(f"measure_error/{name}" if is_own else series.replace(family, f"{family}_error"))
        if error is not None:
            return error
        last, self._last[series] = self._last.get(series), value
        if last is None:
            return None
        changes = self._changes[series] = [*self._changes.get(series, [])[1 - MAX_CHANGES :], abs(value - last)]
        return statistics.median(changes) if len(changes) >= MIN_CHANGES else None

    def _evaluate(self, series: str, readings: Readings) -> Verdict | None:
        family = series.partition("/")[0]
        sign, value = BETTER_SIGNS[family], readings.values[series]
        if not is_finite(value):
            return None
        if series == ONLINE:  # reals that change by design, as by growing augmentation, take the fakes with them
            value = max(value - max(0.0, readings.values.get(ONLINE_REAL) or 0.0), MIN_ONLINE_DISTANCE)
        error = self._find_error(series, value, readings)
        if not is_finite(error):
            return None
        recent = self._recent[series] = [*self._recent.get(series, [])[1 - CONFIRMATIONS :], [value, error, float(readings.step)]]
        if len(recent) < CONFIRMATIONS:
            return None
        middle = sorted(recent)[CONFIRMATIONS // 2]
        best = self._best.get(series)
        if best is None or sign * (middle[0] - best[0]) > 0.0:
            best = self._best[series] = [*middle[:2], float(readings.step)]
        now, now_error, _ = max(recent, key=lambda one: sign * one[0])
        margin = self.min_sigmas * math.hypot(now_error, best[1])
        threshold, origin = best[0] - sign * margin, f"the run's best value, up to step {best[2]:.0f}"
        if family in DISTANCES:
            threshold = max(threshold, self.distance_ratio * best[0])
        if series == "frechet" and self.budget is not None and best[0] <= self.budget and self.budget + margin < threshold:
            threshold, origin = self.budget + margin, "the budget"
        if sign * (now - threshold) >= 0.0 or (series == ONLINE and self._energy.is_unchanged):
            return None
        return Verdict(
            value=now,
            threshold=threshold,
            signal=series,
            window=int(recent[-1][2] - recent[0][2]) + 1,
            origin=origin,
            explanation=f"{series} is {now:.3g} or worse in {CONFIRMATIONS} evaluations in a row and was {best[0]:.3g} up to step "
            f"{best[2]:.0f}.",
        )

    @property
    def is_ready(self) -> bool:
        return bool(self._best)

    @classmethod
    def demo(cls, seed: int) -> tuple[Iterator[Readings], int]:
        """Simulate a Fréchet distance that triples. Return the readings and the onset."""
        before = {"frechet": 1.0, "frechet_error": 0.05}
        return cls.simulate(seed, onset=300, before=before, after={"frechet": 3.0}, noise=0.02), 300
