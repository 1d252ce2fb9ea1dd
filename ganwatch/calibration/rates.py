"""Rates of alarms on recorded runs: false alarms on healthy ones, recall and delay on failing ones, each with its interval."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ganwatch.calibration.replayed_runs import HEALTHY, UNDETERMINED, ReplayedRun

STEPS_PER_RATE = 10_000
"""Steps to which rates of false alarms refer."""


def poisson_interval(count: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return the exact interval of the mean of a Poisson count (Garwood, 1936).

    >>> [round(end, 2) for end in poisson_interval(0)], [round(end, 2) for end in poisson_interval(3)]
    ([0.0, 3.69], [0.62, 8.77])
    """
    from scipy.special import gammaincinv

    tail = (1.0 - confidence) / 2.0
    return (float(gammaincinv(count, tail)) if count else 0.0), float(gammaincinv(count + 1, 1.0 - tail))


@dataclass(frozen=True)
class Proportion:
    """A count out of a total, with Wilson's interval at 95 %.

    >>> proportion = Proportion(9, 10)
    >>> proportion.value, [round(end, 2) for end in proportion.interval]
    (0.9, [0.6, 0.98])
    """

    count: int
    total: int

    @property
    def value(self) -> float | None:
        """The count divided by the total; None if the total is 0."""
        return self.count / self.total if self.total else None

    @property
    def interval(self) -> tuple[float, float]:
        from ganwatch.metrics.intervals import wilson

        return wilson(self.count / self.total, self.total) if self.total else (0.0, 1.0)


@dataclass(frozen=True)
class FalseAlarms:
    """Alarms on healthy runs.

    Parameters
    ----------
    alarms : int
        Number of alarms.
    flagged : Proportion
        Runs with an alarm out of all healthy runs.
    steps : int
        Steps of all healthy runs together that some detector could judge.
    """

    alarms: int
    flagged: Proportion
    steps: int

    @property
    def rate(self) -> float | None:
        """Alarms in 10,000 steps; None if there are no steps."""
        return self.alarms / self.steps * STEPS_PER_RATE if self.steps else None

    @property
    def interval(self) -> tuple[float, float | None]:
        """Interval of the rate at 95 %. It assumes that alarms are independent of each other."""
        low, high = poisson_interval(self.alarms)
        return (low / self.steps * STEPS_PER_RATE, high / self.steps * STEPS_PER_RATE) if self.steps else (0.0, None)


@dataclass(frozen=True)
class DetectionRates:
    """Detections on the failing runs with one label.

    Parameters
    ----------
    label : str
    recall : Proportion
        Runs with a correct alarm that does not come before the failure may have begun, out of all.
    correct_root : Proportion
        Runs whose first alarm without a cause is a correct one, out of all.
    detection_steps : tuple of int, steps
        Steps at which the first correct alarm fired, sorted.
    delays : tuple of int, steps
        Steps from the true onset to this alarm, sorted. Runs with an unknown onset have none.
    """

    label: str
    recall: Proportion
    correct_root: Proportion
    detection_steps: tuple[int, ...]
    delays: tuple[int, ...]

    @property
    def median_step(self) -> float | None:
        """Median step of the first correct alarm."""
        return statistics.median(self.detection_steps) if self.detection_steps else None

    @property
    def median_delay(self) -> float | None:
        """Median delay of the first correct alarm."""
        return statistics.median(self.delays) if self.delays else None


def count_false_alarms(runs: Iterable[ReplayedRun]) -> FalseAlarms:
    """Count the alarms on the runs whose label is ``healthy``."""
    healthy = [run for run in runs if run.label == HEALTHY]
    flagged = Proportion(sum(bool(run.alarms) for run in healthy), len(healthy))
    return FalseAlarms(sum(len(run.alarms) for run in healthy), flagged, sum(run.judged_steps for run in healthy))


def detection_rates_by_label(runs: Sequence[ReplayedRun]) -> list[DetectionRates]:
    """Return the detection rates of each label that is a failure."""
    labels = sorted({str(run.label) for run in runs if is_failing(run)})
    return [detection_rates(label, [run for run in runs if run.label == label]) for label in labels]


def is_failing(run: ReplayedRun) -> bool:
    """Return True if the run is known to fail."""
    return run.label not in {None, HEALTHY, UNDETERMINED}


def detection_rates(label: str, runs: Sequence[ReplayedRun]) -> DetectionRates:
    """Return the detection rates of some failing runs, under a label."""
    detections = [detection for run in runs if (detection := run.detection) is not None]
    return DetectionRates(
        label=label,
        recall=Proportion(len(detections), len(runs)),
        correct_root=Proportion(sum(run.has_correct_root for run in runs), len(runs)),
        detection_steps=tuple(sorted(detection.fired for detection in detections)),
        delays=tuple(sorted(detection.delay for detection in detections if detection.delay is not None)),
    )
