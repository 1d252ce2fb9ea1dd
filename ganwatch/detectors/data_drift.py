"""Real data are no longer what the training data were: the world has moved, or what the loader delivers has.

How it is detected
    Fresh real data are compared with the baseline in feature space by a permutation test, again and again against the same baseline. The
    threshold is calibrated given the baseline, so that with the default a year of daily checks raises any false alarm in at most 5 % of
    years, for at least 95 % of baselines. `FreshDataDrift` checks during a training, `ganwatch drift --every` independently of one.

    The loop's own real batches are compared with the first ones as well, every 80 steps. A mode of the first reals is missing where a
    quarter of its share or less has come lately and that is no chance. Modes with a twentieth of the first reals must be missing three
    times in a row, or with a tenth of them twice. Or their Fréchet distance to the first ones, around 0 until then, has risen at once,
    within three evaluations, and rests there; the first reals themselves count as an evaluation. Neither counts after a slow rise of this
    distance, as by augmentation that grows: then it is large at two evaluations before modes are missing.

Why it matters
    The generator is as good as it was, and what it makes is out of date. Every measure against the old data stays fine. Where the loop's
    own data have lost modes, the generator forgets them.

Likely causes
    Another camera, scanner, sensor or season; a changed mix of modes; a changed export, compression or normalisation upstream. Within a
    training: a filter or a sampler that sets in, a shard or a source that has run out, data that come sorted.

What to do
    See which columns changed (`ganwatch drift` names them and writes a report). Repair the pipeline where it changed by accident; else
    retrain on fresh data. Within a training, look at what the loader delivers now, and shuffle.

Blind spots
    Changes that the features do not represent. A small baseline needs a large threshold; the check says how many samples it would take.
    Within a training a change that sets in slowly does not count, and one that is too small for the principal components of the pixels.

Calibration
    Printed with each check: quantiles of the number of checks until a false alarm, simulated for the baseline at hand. The rule for the
    loop's own batches is judged on the trainings of `tests/wiring` (`python tests/wiring/main.py`).

References
    Gretton et al., 2012, JMLR 13:723 (the test); Rabanser et al., 2019, arXiv:1810.11953 (failing loudly).
"""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median

from ganwatch.core.detector import Detector, DetectorResult, FailureKind, Severity, Verdict
from ganwatch.core.readings import Readings, is_finite
from ganwatch.core.statistics import Stateful, Streak

LOST_SHARE = "online_share_missing/real"
INTERVAL = 80
"""Steps between two evaluations of the loop's own batches."""
DISTANCE, DISTANCE_ERROR = "online_frechet/real", "online_frechet_error/real"
MIN_RISE, RISE_SIGMAS = 0.01, 6.0
"""Distance of the loop's latest reals to the first ones, in variances of these and in standard errors, from which they have changed."""
MAX_BEFORE, MAX_MOVE = 0.3, 0.25
"""Distance three evaluations before against that of now up to which it was around 0, and change since the last evaluation against the
whole rise up to which it rests."""
MAX_SLOW_RISE = 0.03
"""Distance before a loss of modes from which the reals had moved already, so that their modes may be elsewhere."""
MANY = 2.0
"""Lost share against the smallest that counts from which ``CONFIRMATIONS`` evaluations in a row are enough."""
CONFIRMATIONS, FEW_CONFIRMATIONS = 2, 3
"""Evaluations of the loop's own batches in a row that must agree, where many samples are lost and where few are."""


class _Rise(Stateful):
    """A distance that was around 0, has risen at once and rests there: the latest four evaluations show it.

    The first reals themselves are at a distance of 0, so a change before the first evaluation shows as well.
    """

    def __init__(self) -> None:
        self._steps = [0]
        self._distances = [0.0]
        self._errors: list[float] = []
        self._since: int | None = None

    @property
    def bound(self) -> float:
        """Distance from which the reals have moved."""
        return max(MIN_RISE, RISE_SIGMAS * median(self._errors))  # while old and new reals are mixed, the error is large

    def update(self, step: int, distance: float, error: float) -> int | None:
        """Take an evaluation; return the first step after the last one that was around 0, from the time on when the rise is seen."""
        self._steps, self._distances = [*self._steps[-3:], step], [*self._distances[-3:], distance]
        self._errors = [*self._errors[-3:], error]
        if distance <= self.bound:
            self._since = None
        elif self._since is None and self._came_at_once():
            onsets = [at + 1 for at, value in zip(self._steps, self._distances, strict=True) if value < MAX_BEFORE * distance]
            self._since = onsets[-1]
        return self._since

    def _came_at_once(self) -> bool:
        if len(self._distances) < 4:
            return False
        first, _, previous, last = self._distances
        return first < MAX_BEFORE * last and abs(last - previous) < MAX_MOVE * (last - first)


class DataDrift(Detector):
    """Fire when a check of fresh data against the baseline raises its alarm, or the loop's own real data have lost modes.

    Parameters
    ----------
    min_lost_share : float, ratio
        Share of the first reals whose modes must be missing in the loop's latest real batches.

    Examples
    --------
    >>> readings, onset = DataDrift.demo(seed=0)
    >>> detector = DataDrift()
    >>> fired = next(r.step for r in readings if detector.update(r))
    >>> onset <= fired <= onset + 200
    True
    """

    code = "GW402"
    title = "data drift"
    severity = Severity.TICKET
    kind = FailureKind.QUALITY
    is_optional = True
    explained_by = (FailureKind.WIRING, FailureKind.DATA)
    explains = ("GW101", "GW102", "GW103", "GW104", "GW201", "GW202", "GW203", "GW301", "GW304", "GW401", "GW403")
    onset_delay = 160
    inputs = ("drift_score", "drift_effect", LOST_SHARE, "online_modes_missing/real", "online_modes", DISTANCE, DISTANCE_ERROR)
    required = (("drift_score", "drift_effect"), (LOST_SHARE,), (DISTANCE, DISTANCE_ERROR))
    tunable = {"min_lost_share": (0.03, 0.2)}

    def __init__(self, *, min_lost_share: float = 0.05) -> None:
        self.min_lost_share = min_lost_share
        self._streak, self._few_streak = Streak(CONFIRMATIONS), Streak(FEW_CONFIRMATIONS)
        self._onset = 0
        """First step after the last evaluation without lost modes; 0 before the first evaluation."""
        self._moves = [0.0, 0.0]
        """Distances to the first reals at the latest two evaluations without lost modes."""
        self._rise = _Rise()

    def update(self, readings: Readings) -> DetectorResult:
        lost, moved = self._evaluate_batches(readings), self._evaluate_distance(readings)
        return self._evaluate_check(readings) or lost or moved

    def _evaluate_check(self, readings: Readings) -> Verdict | None:
        score, effect = readings.select(self.inputs[:2])
        if not is_finite(score) or not is_finite(effect) or score <= 1.0:
            return None
        return Verdict(
            value=score,
            threshold=1.0,
            signal="drift_score",
            window=1,
            origin="simulated checks against the same baseline",
            explanation=f"Fresh real data are {effect:.3g} away from the baseline, {score:.3g} times the threshold of repeated checks.",
        )

    def _evaluate_batches(self, readings: Readings) -> Verdict | None:
        share, missing, modes, distance = readings.select(self.inputs[2:6])
        if not is_finite(share):
            return None
        is_lost = share >= self.min_lost_share and not self._has_moved
        if share < self.min_lost_share:
            self._onset = readings.step + 1
            self._moves = [self._moves[1], distance if is_finite(distance) else 0.0]
        elif not self._onset:
            self._onset = max(1, readings.step - INTERVAL + 1)
        many, few = self._streak.update(is_lost and share >= MANY * self.min_lost_share), self._few_streak.update(is_lost)
        if not (many or few):
            return None
        what = f"{missing:.0f} of {modes:.0f} modes" if is_finite(missing) and is_finite(modes) else "modes"
        return Verdict(
            value=share,
            threshold=self.min_lost_share,
            signal=LOST_SHARE,
            window=readings.step - self._onset + 1,
            origin="the first real samples of the same training",
            explanation=f"The loop's real batches have lost {what} of the first ones, which had {share:.0%} of the samples.",
            advice="Look at what the loader delivers now: a filter, a sampler, a source that has run out, or data that are not shuffled.",
            onset=self._onset,
        )

    @property
    def _has_moved(self) -> bool:
        """True if the batches had left the first ones before they lost modes, which may be elsewhere then.

        In the evaluation next to the loss, old and new reals are mixed.
        """
        return min(self._moves) > MAX_SLOW_RISE

    def _evaluate_distance(self, readings: Readings) -> Verdict | None:
        distance, error = readings.select((DISTANCE, DISTANCE_ERROR))
        if not is_finite(distance) or not is_finite(error):
            return None
        since = self._rise.update(readings.step, distance, error)
        if since is None:
            return None
        return Verdict(
            value=distance,
            threshold=self._rise.bound,
            signal=DISTANCE,
            window=readings.step - since + 1,
            origin="the first real samples of the same training",
            explanation=f"The loop's real batches have moved away from the first ones at once, by {distance:.2g} of their variance.",
            advice="Look at what the loader delivers now: another source, scaling, order of channels or axes, or augmentation that was "
            "switched on.",
            onset=since,
        )

    @classmethod
    def demo(cls, seed: int) -> tuple[Iterator[Readings], int]:
        """Simulate fresh data that drift. Return the readings and the onset."""
        before = {"drift_score": 0.3, "drift_effect": 0.01}
        return cls.simulate(seed, onset=300, before=before, after={"drift_score": 6.0, "drift_effect": 0.2}, noise=0.05), 300
