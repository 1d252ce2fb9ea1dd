"""Generated samples are clearly further from real ones than they were.

How it is detected
    The Fréchet distance, measured on the same inputs and against the same real samples each time, against the run's best value, the median
    of three evaluations in a row. Each of the last three has to be several standard errors above it, and a multiple of it, since a single
    evaluation without averaged weights may be far from its neighbours. Own measures that say which way is better (`score`, `cost`) are
    watched for the first alone. A `budget` may be given that the distance must not exceed. Where the resolution of the data grows, the
    best value is sought anew.

Why it matters
    The best weights have been and are no longer: what is trained now is worse than a checkpoint that exists.

Likely causes
    Training goes on after its best point with learning rates that do not fall; an imbalance of the networks that has built up; a change of
    data, batch size or regularisation on the way; a collapse, which has an incident of its own then.

What to do
    Roll back to the checkpoint at the best step, which the evidence names. Check what changed in the data first; then let the learning
    rates fall, or average the weights.

Blind spots
    Evaluations are few, as they may take 1 % of the training's time, and it takes three to see anything. Features that do not see a defect
    cannot tell of it.

Calibration
    No failure of the corpus is named by it. Of the runs of the final part it fired on 0 of 216 healthy ones (`make corpus-table`). Tests
    hold the rule to trainings whose generator is changed on purpose.

References
    Heusel et al., 2017, arXiv:1706.08500 (the distance); Chong and Forsyth, 2020, arXiv:1911.07023 (its bias, the same in every
    evaluation here as sizes do not change).
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from ganwatch.core.detector import Detector, Outcome, Severity, Verdict
from ganwatch.core.readings import Readings, finite

WATCHED = {"frechet": -1.0, "cost": -1.0, "score": 1.0}
"""Families of signals that are judged, and the sign of what is better."""
CONFIRM = 3
"""Evaluations in a row that have to agree."""


class QualityRegression(Detector):
    """Fire when a measure of quality is significantly worse than the best of the run.

    Parameters
    ----------
    rise : float, ratio
        How many times the best Fréchet distance counts as worse.
    errors : float, standard errors
        By which a value has to be worse than the best.
    budget : float or None
        A Fréchet distance that must not be exceeded once it was met.

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
    inputs = ("frechet", "frechet_error", "reference")
    tunable = {"rise": (1.2, 4.0), "errors": (2.0, 10.0)}

    def __init__(self, *, rise: float = 2.0, errors: float = 4.0, budget: float | None = None) -> None:
        self.rise, self.errors, self.budget = rise, errors, budget
        self._last: dict[str, list[list[float]]] = {}
        """The last evaluations: value, standard error and step."""
        self._best: dict[str, list[float]] = {}
        """Value, standard error and step."""
        self._reference = 1.0

    def update(self, readings: Readings) -> Outcome:
        reference = readings.values.get("reference")
        if reference is not None and reference != self._reference:
            self._last, self._best, self._reference = {}, {}, reference
        judged = [self._judge(series, readings) for series in readings.values if series.partition("/")[0] in WATCHED]
        return next((verdict for verdict in judged if verdict is not None), None)

    def _judge(self, series: str, readings: Readings) -> Verdict | None:
        family, _, name = series.partition("/")
        sign = WATCHED[family]
        value, error = readings.select((series, f"measure_error/{name}" if name else f"{family}_error"))
        if not finite(value) or not finite(error):
            return None
        last = self._last[series] = [*self._last.get(series, [])[1 - CONFIRM :], [value, error, float(readings.step)]]
        if len(last) < CONFIRM:
            return None
        middle = sorted(last)[CONFIRM // 2]
        best = self._best.get(series)
        if best is None or sign * (middle[0] - best[0]) > 0.0:
            best = self._best[series] = [*middle[:2], float(readings.step)]
        now, spread, _ = max(last, key=lambda one: sign * one[0])
        apart = self.errors * math.hypot(spread, best[1])
        threshold, origin = best[0] - sign * apart, f"the run's best value, up to step {best[2]:.0f}"
        if family == "frechet":
            threshold = max(threshold, self.rise * best[0])
            if self.budget is not None and best[0] <= self.budget and self.budget + apart < threshold:
                threshold, origin = self.budget + apart, "the budget"
        if sign * (now - threshold) >= 0.0:
            return None
        return Verdict(
            value=now,
            threshold=threshold,
            signal=series,
            window=int(last[-1][2] - last[0][2]) + 1,
            origin=origin,
            explanation=f"{series} is {now:.3g} or worse in {CONFIRM} evaluations in a row and was {best[0]:.3g} up to step {best[2]:.0f}.",
        )

    @classmethod
    def demo(cls, seed: int) -> tuple[Iterator[Readings], int]:
        """A stream whose distance triples, and the step at which it does."""
        before = {"frechet": 1.0, "frechet_error": 0.05}
        return cls.stream(seed, onset=300, before=before, after={"frechet": 3.0}, noise=0.02), 300
