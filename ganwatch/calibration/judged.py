"""Recorded runs, judged by the detectors of today against what is known about them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from typing import Any

from ganwatch.core.detector import Detector
from ganwatch.core.incidents import Incident
from ganwatch.core.replay import replay_monitor
from ganwatch.recordings.recording import Recording
from ganwatch.recordings.sources import Source

HEALTHY = "healthy"
"""The label of a run in which any alarm is a false one."""
UNDETERMINED = "undetermined"
"""The label of a run of which the truth does not say whether it is healthy."""

Variant = Callable[[], list[Detector]]


@dataclass(frozen=True)
class Alarm:
    """An incident that fired.

    ``delay`` is its step minus the true onset, None where that is unknown.
    """

    id: str
    code: str
    title: str
    onset: int
    fired: int
    resolved: int | None
    cause: str | None
    delay: int | None


@dataclass(frozen=True)
class Judged:
    """A run with the alarms that detectors raise on it.

    Parameters
    ----------
    name : str
    label : str or None
        From the facts: ``healthy``, a failure's name, ``undetermined``.
    codes : tuple of str
        From the facts: codes that explain the failure rightly; any does where none is known.
    onset, onset_low : int or None, step
        From the facts: where the failure begins, and the first step at which it may have begun. None: unknown, or from the start.
    steps : int
        Watched.
    alarms : tuple of Alarm
        In the order in which they fired.
    unable : dict of str to str
        Codes of detectors that could not judge, and what they need.
    missing : dict of str to tuple of str
        Codes of detectors some of whose inputs were never measured, and these.
    unused : tuple of str
        Series of an imported run that have no name of ganwatch.
    """

    name: str
    label: str | None
    codes: tuple[str, ...]
    onset: int | None
    onset_low: int | None
    steps: int
    alarms: tuple[Alarm, ...]
    unable: dict[str, str]
    missing: dict[str, tuple[str, ...]]
    unused: tuple[str, ...] = ()

    @property
    def hit(self) -> Alarm | None:
        """The first alarm that explains the failure and does not come before it may have begun."""
        return next((alarm for alarm in self.alarms if self._explains(alarm.code) and alarm.fired >= (self.onset_low or 0)), None)

    @property
    def right_first(self) -> bool:
        """Whether the first alarm that no other explains is a right one."""
        roots = [alarm for alarm in self.alarms if alarm.cause is None]
        return bool(roots) and self._explains(roots[0].code)

    def heard(self, cls: type[Detector]) -> bool:
        """Whether the detector was given anything to judge by."""
        return cls.code not in self.unable and self.missing.get(cls.code) != cls.inputs

    def _explains(self, code: str) -> bool:
        return not self.codes or code in self.codes


def judge(recording: Recording, detectors: Sequence[Detector], label: str | None = None) -> Judged:
    """Replay a run.

    Parameters
    ----------
    recording : Recording
    detectors : sequence of Detector
        Fresh ones.
    label : str or None
        Of a run whose facts have none.

    Examples
    --------
    >>> from ganwatch.detectors.non_finite import NonFinite
    >>> stream, onset = NonFinite.demo(seed=0)
    >>> judged = judge(Recording("demo", list(stream), {"label": "non-finite", "codes": ["GW303"], "onset": onset}), [NonFinite()])
    >>> judged.hit.delay, judged.right_first
    (0, True)
    """
    facts, readings = recording.facts, recording.readings
    monitor = replay_monitor(readings, detectors)
    onset, low = facts.get("onset"), facts.get("onset_low")
    missing = {one.code: tuple(name for name in one.inputs if name not in monitor.latest) for one in detectors}
    fired = sorted(monitor.incidents.history, key=lambda incident: (incident.fired or 0, incident.id))
    return Judged(
        name=recording.name,
        label=facts.get("label") or label,
        codes=tuple(facts.get("codes") or ()),
        onset=onset,
        onset_low=onset if low is None else low,
        steps=readings[-1].step - readings[0].step + 1 if readings else 0,
        alarms=tuple(_alarm(incident, onset) for incident in fired),
        unable=monitor.not_applicable(),
        missing={code: names for code, names in missing.items() if names},
        unused=tuple(facts.get("unused") or ()),
    )


def judge_all(
    sources: Iterable[Source], variants: Sequence[Variant], *, label: str | None = None, jobs: int = 1
) -> Iterator[tuple[Judged, ...]]:
    """Judge every run of some sources by every variant of the detectors; a run is read once.

    Parameters
    ----------
    sources : iterable of Source
    variants : sequence of callables
        Each makes a set of detectors. With several jobs they go to other processes, so lambdas do not do.
    label : str or None
        Of runs whose facts have none.
    jobs : int
        Processes.

    Yields
    ------
    tuple of Judged
        One for each variant, run by run in the order of the sources.
    """
    work: Callable[[Source], Iterable[tuple[Judged, ...]]] = partial(_judge_source, variants=tuple(variants), label=label)
    if jobs == 1:
        for source in sources:
            yield from work(source)
        return
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        for judged in pool.map(partial(_listed, work), sources):
            yield from judged


def _judge_source(source: Source, variants: Sequence[Variant], label: str | None) -> Iterator[tuple[Judged, ...]]:
    for recording in source():
        yield tuple(judge(recording, variant(), label) for variant in variants)


def _listed(work: Callable[[Source], Iterable[Any]], source: Source) -> list[Any]:
    return list(work(source))


def _alarm(incident: Incident, onset: int | None) -> Alarm:
    fired = incident.fired or incident.opened
    return Alarm(
        incident.id,
        incident.code,
        incident.title,
        incident.onset,
        fired,
        incident.resolved,
        incident.cause,
        None if onset is None else fired - onset,
    )
