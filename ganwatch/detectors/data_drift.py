"""Fresh real data are no longer what the training data were: the world has moved.

How it is detected
    Fresh real data are compared with the baseline in feature space by a permutation test, again and again against the same baseline. The
    threshold is calibrated given the baseline, so that with the default a year of daily checks raises any false alarm in at most 5 % of
    years, for at least 95 % of baselines. `FreshDataDrift` checks during a training, `ganwatch drift --every` independently of one.

Why it matters
    The generator is as good as it was, and what it makes is out of date. Every measure against the old data stays fine.

Likely causes
    Another camera, scanner, sensor or season; a changed mix of modes; a changed export, compression or normalisation upstream.

What to do
    See which columns changed (`ganwatch drift` names them and writes a report). Repair the pipeline where it changed by accident; else
    retrain on fresh data.

Blind spots
    Changes that the features do not represent. A small baseline needs a large threshold; the check says how many samples it would take.

Calibration
    Printed with each check: quantiles of the number of checks until a false alarm, simulated for the baseline at hand.

References
    Gretton et al., 2012, JMLR 13:723 (the test); Rabanser et al., 2019, arXiv:1810.11953 (failing loudly).
"""

from __future__ import annotations

from collections.abc import Iterator

from ganwatch.core.detector import Detector, DetectorResult, FailureKind, Severity, Verdict
from ganwatch.core.readings import Readings, is_finite


class DataDrift(Detector):
    """Fire when a check of fresh data against the baseline raises its alarm.

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
    inputs = ("drift_score", "drift_effect")

    def update(self, readings: Readings) -> DetectorResult:
        score, effect = readings.select(self.inputs)
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

    @classmethod
    def demo(cls, seed: int) -> tuple[Iterator[Readings], int]:
        """Simulate fresh data that drift. Return the readings and the onset."""
        before = {"drift_score": 0.3, "drift_effect": 0.01}
        return cls.simulate(seed, onset=300, before=before, after={"drift_score": 6.0, "drift_effect": 0.2}, noise=0.05), 300
