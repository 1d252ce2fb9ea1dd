"""Recorded runs, replayed by today's detectors and compared with what is known about them."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from multiprocessing import get_context

from ganwatch.core.coverage import MAX_GAPS
from ganwatch.core.detector import Detector
from ganwatch.core.errors import UserError
from ganwatch.core.import_path import append_working_folder
from ganwatch.core.incidents import Incident
from ganwatch.core.outcome import TOO_EARLY
from ganwatch.core.replay import replay_monitor
from ganwatch.recordings.recording import Recording
from ganwatch.recordings.sources import Source

HEALTHY = "healthy"
"""Label of a run in which every alarm is a false one."""
UNDETERMINED = "undetermined"
"""Label of a run whose truth does not say whether it is healthy."""

ID_LENGTH = 8
"""Characters of a run's id that tell it from others of its name."""

DetectorFactory = Callable[[], list[Detector]]
"""Function that creates a set of detectors."""


@dataclass(frozen=True)
class Alarm:
    """An incident that fired.

    ``delay`` is its step minus the true onset, None if the onset is unknown.
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
class ReplayedRun:
    """A recorded run with the alarms that detectors raise on it.

    Parameters
    ----------
    name : str
    label : str or None
        From the facts: ``healthy``, the name of a failure, or ``undetermined``.
    codes : tuple of str
        From the facts: codes that explain the failure correctly. If there are none, every code does.
    onset, onset_low : int or None, step
        From the facts: step at which the failure begins, and the first at which it may have begun. None if unknown, or if the failure
        is there from the start.
    steps : int
        Length of the run.
    alarms : tuple of Alarm
        In the order in which they fired.
    not_applicable : dict of str to str
        Codes of detectors that could not evaluate the run, and what they lack.
    outcome : str
        Conclusion about the run: ``clean``, ``incidents`` or ``not judged``.
    unjudged : dict of str to str
        Codes of detectors that apply and could not judge to the end, and why.
    missing_inputs : dict of str to tuple of str
        Codes of detectors with inputs that were never measured nor derived from others, and these inputs.
    judged_steps : int
        Steps that some detector could judge: each reading of its inputs stands for the steps since the one before it, for three times
        the usual distance at most.
    judging : tuple of str
        Codes of the detectors that could judge some of the run.
    unused_series : tuple of str
        Series of an imported run that ganwatch does not have.
    run_name : str or None
        Name that the run has in its store, where ``name`` is its id.
    """

    name: str
    label: str | None
    codes: tuple[str, ...]
    onset: int | None
    onset_low: int | None
    steps: int
    alarms: tuple[Alarm, ...]
    not_applicable: dict[str, str]
    outcome: str
    unjudged: dict[str, str]
    missing_inputs: dict[str, tuple[str, ...]]
    judged_steps: int = 0
    judging: tuple[str, ...] = ()
    unused_series: tuple[str, ...] = ()
    run_name: str | None = None

    @property
    def detection(self) -> Alarm | None:
        """The first alarm that explains the failure and does not come before it may have begun."""
        return next((alarm for alarm in self.alarms if self._explains(alarm.code) and alarm.fired >= (self.onset_low or 0)), None)

    @property
    def has_correct_root(self) -> bool:
        """True if the first alarm without a cause explains the failure."""
        roots = [alarm for alarm in self.alarms if alarm.cause is None]
        return bool(roots) and self._explains(roots[0].code)

    def has_inputs_of(self, cls: type[Detector]) -> bool:
        """Return True if the run has readings that the detector can evaluate."""
        return cls.code not in self.not_applicable and self.missing_inputs.get(cls.code) != cls.inputs

    def _explains(self, code: str) -> bool:
        return not self.codes or code in self.codes


def replay_run(recording: Recording, detectors: Sequence[Detector], label: str | None = None) -> ReplayedRun:
    """Replay a run.

    Parameters
    ----------
    recording : Recording
    detectors : sequence of Detector
        New ones, without state.
    label : str or None
        Label of a run whose facts have none.

    Examples
    --------
    >>> from ganwatch.detectors.non_finite import NonFinite
    >>> stream, onset = NonFinite.demo(seed=0)
    >>> recording = Recording("demo", list(stream), {"label": "non-finite", "codes": ["GW303"], "onset": onset})
    >>> run = replay_run(recording, [NonFinite()])
    >>> run.detection.delay, run.has_correct_root
    (0, True)
    """
    facts, readings = recording.facts, recording.readings
    monitor = replay_monitor(readings, detectors)
    onset, low = facts.get("onset"), facts.get("onset_low")
    given = monitor.series
    missing = {detector.code: tuple(name for name in detector.inputs if name not in given) for detector in detectors}
    outcome = monitor.outcome(early_steps=0)
    never_judged = {one.code: one.reason for one in outcome.unjudged if one.last_step is None and one.reason != TOO_EARLY}
    not_applicable = monitor.not_applicable() | never_judged
    early = {one.code for one in outcome.unjudged if one.reason == TOO_EARLY}
    judging = [one for one in detectors if one.code not in {*not_applicable, *early} and missing[one.code] != one.inputs]
    inputs = {name for detector in judging for name in detector.inputs}
    incidents = sorted(monitor.incidents.history, key=lambda incident: (incident.fired or 0, incident.id))
    return ReplayedRun(
        name=recording.name,
        label=facts.get("label") or label,
        codes=tuple(facts.get("codes") or ()),
        onset=onset,
        onset_low=onset if low is None else low,
        steps=readings[-1].step - readings[0].step + 1 if readings else 0,
        alarms=tuple(_alarm(incident, onset) for incident in incidents),
        not_applicable=not_applicable,
        outcome=str(outcome.conclusion),
        unjudged={one.code: one.cause for one in outcome.unjudged},
        missing_inputs={code: names for code, names in missing.items() if names},
        judged_steps=count_covered([one.step for one in readings if not inputs.isdisjoint(one.values)]),
        judging=tuple(detector.code for detector in judging),
        unused_series=tuple(facts.get("unused") or ()),
        run_name=facts.get("name"),
    )


def count_covered(steps: Sequence[int]) -> int:
    """Return the number of steps that readings at these steps stand for.

    >>> count_covered([20, 40, 60]), count_covered([1, 2, 3, 1000]), count_covered([500]), count_covered([])
    (60, 6, 1, 0)
    """
    if len(steps) < 2:
        return len(steps)
    gaps = [later - earlier for earlier, later in pairwise(steps)]
    usual = statistics.median(gaps)
    return int(max(1, min(steps[0], usual)) + sum(min(gap, MAX_GAPS * usual) for gap in gaps))


def name_runs(runs: Sequence[ReplayedRun]) -> list[str]:
    """Return the name of each run for people; where several runs of a store have one name, with the beginning of the id."""
    counts = Counter(run.run_name for run in runs)
    return [
        run.name if run.run_name is None else f"{run.run_name} ({run.name[:ID_LENGTH]})" if counts[run.run_name] > 1 else run.run_name
        for run in runs
    ]


def replay_runs(
    sources: Iterable[Source],
    factories: Sequence[DetectorFactory],
    *,
    label: str | None = None,
    jobs: int = 1,
    on_damage: Callable[[str], None] | None = None,
) -> Iterator[tuple[ReplayedRun, ...]]:
    """Replay every run of some sources with several sets of detectors. A run is read once.

    Parameters
    ----------
    sources : iterable of Source
    factories : sequence of callables
        Each creates a set of detectors. With several jobs they are sent to other processes, so they cannot be lambdas.
    label : str or None
        Label of runs whose facts have none.
    jobs : int
        Number of processes.
    on_damage : callable or None
        Called with a line for each part of a source that cannot be read; all other runs are yielded. None raises the first as an error.

    Yields
    ------
    tuple of ReplayedRun
        One for each set of detectors, run by run in the order of the sources.

    Raises
    ------
    UserError
        A part of a source cannot be read, and ``on_damage`` is None.
    """
    for item in _replay_sources(sources, partial(_replay_source, factories=tuple(factories), label=label), jobs):
        if not isinstance(item, str):
            yield item
        elif on_damage is None:
            raise UserError(item)
        else:
            on_damage(item)


_Item = tuple[ReplayedRun, ...] | str
"""A replayed run, or a line about what cannot be read."""


def _replay_sources(sources: Iterable[Source], replay_source: Callable[[Source], Iterable[_Item]], jobs: int) -> Iterator[_Item]:
    if jobs == 1:
        for source in sources:
            yield from replay_source(source)
        return
    # a detector of the working folder is imported there again
    with ProcessPoolExecutor(jobs, get_context("spawn"), append_working_folder) as pool:
        for items in pool.map(partial(_list, replay_source), sources):
            yield from items


def _replay_source(source: Source, factories: Sequence[DetectorFactory], label: str | None) -> Iterator[_Item]:
    try:
        for recording in source():
            yield from recording.damage
            yield tuple(replay_run(recording, factory(), label) for factory in factories)
    except UserError as error:
        yield from error.lines


def _list(replay_source: Callable[[Source], Iterable[_Item]], source: Source) -> list[_Item]:
    return list(replay_source(source))


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
