"""What alarms on recorded runs come to: false alarms on healthy ones, recall and delay on failing ones, each with its interval."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ganwatch.calibration.judged import HEALTHY, UNDETERMINED, Judged

PER = 10_000
"""Steps to which rates of false alarms refer."""


def poisson(count: int, confidence: float = 0.95) -> tuple[float, float]:
    """Exact interval of the mean of a Poisson count (Garwood, 1936).

    >>> [round(end, 2) for end in poisson(0)], [round(end, 2) for end in poisson(3)]
    ([0.0, 3.69], [0.62, 8.77])
    """
    from scipy.special import gammaincinv

    tail = (1.0 - confidence) / 2.0
    return (float(gammaincinv(count, tail)) if count else 0.0), float(gammaincinv(count + 1, 1.0 - tail))


@dataclass(frozen=True)
class Share:
    """So many of so many, with Wilson's interval at 95 %.

    >>> share = Share(9, 10)
    >>> share.value, [round(end, 2) for end in share.interval]
    (0.9, [0.6, 0.98])
    """

    count: int
    of: int

    @property
    def value(self) -> float | None:
        """None of none."""
        return self.count / self.of if self.of else None

    @property
    def interval(self) -> tuple[float, float]:
        from ganwatch.metrics.intervals import wilson

        return wilson(self.count / self.of, self.of) if self.of else (0.0, 1.0)


@dataclass(frozen=True)
class FalseAlarms:
    """Alarms on healthy runs.

    Parameters
    ----------
    alarms : int
    flagged : Share
        Of the runs, those with an alarm.
    steps : int
        Watched.
    """

    alarms: int
    flagged: Share
    steps: int

    @property
    def rate(self) -> float | None:
        """In 10,000 steps; None where there are none."""
        return self.alarms / self.steps * PER if self.steps else None

    @property
    def interval(self) -> tuple[float, float | None]:
        """Of the rate at 95 %, as exact as alarms are independent of each other."""
        low, high = poisson(self.alarms)
        return (low / self.steps * PER, high / self.steps * PER) if self.steps else (0.0, None)


@dataclass(frozen=True)
class Found:
    """What was found of the runs with one label.

    Parameters
    ----------
    label : str
    recall : Share
        Of the runs, those with a right alarm that does not come before the failure may have begun.
    right_first : Share
        Of the runs, those whose first alarm that no other explains is a right one.
    fired : tuple of int, steps
        At which the first right alarm fired, sorted.
    delays : tuple of int, steps
        From the true onset to that, sorted; only of runs whose onset is known.
    """

    label: str
    recall: Share
    right_first: Share
    fired: tuple[int, ...]
    delays: tuple[int, ...]

    @property
    def step(self) -> float | None:
        """The median step of the first right alarm."""
        return statistics.median(self.fired) if self.fired else None

    @property
    def delay(self) -> float | None:
        """The median delay."""
        return statistics.median(self.delays) if self.delays else None


def false_alarms(judged: Iterable[Judged]) -> FalseAlarms:
    """Over the runs whose label is ``healthy``."""
    healthy = [one for one in judged if one.label == HEALTHY]
    flagged = Share(sum(bool(one.alarms) for one in healthy), len(healthy))
    return FalseAlarms(sum(len(one.alarms) for one in healthy), flagged, sum(one.steps for one in healthy))


def found(judged: Sequence[Judged]) -> list[Found]:
    """By label, for every label that is a failure."""
    labels = sorted({str(one.label) for one in judged if failing(one)})
    return [found_of(label, [one for one in judged if one.label == label]) for label in labels]


def failing(judged: Judged) -> bool:
    """Whether the run is known to fail."""
    return judged.label not in {None, HEALTHY, UNDETERMINED}


def found_of(label: str, judged: Sequence[Judged]) -> Found:
    """Of runs that should have been found."""
    hits = [hit for one in judged if (hit := one.hit) is not None]
    return Found(
        label=label,
        recall=Share(len(hits), len(judged)),
        right_first=Share(sum(one.right_first for one in judged), len(judged)),
        fired=tuple(sorted(hit.fired for hit in hits)),
        delays=tuple(sorted(hit.delay for hit in hits if hit.delay is not None)),
    )
