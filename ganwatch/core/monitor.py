"""Monitor of one run: probes measure, detectors evaluate, incidents follow, sinks receive. It knows only their base classes."""

from __future__ import annotations

import logging
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache, partial
from operator import methodcaller
from typing import TYPE_CHECKING, Any, Protocol

from ganwatch.core.checkpoints import SavedCheckpoint
from ganwatch.core.clean_text import clean_text
from ganwatch.core.coverage import Coverage
from ganwatch.core.derived_series import DERIVED, derive_missing
from ganwatch.core.detector import Detector, DetectorResult, NotApplicable, Verdict
from ganwatch.core.diagnosis import CausalRank
from ganwatch.core.errors import UserError, show_names
from ganwatch.core.guard import Guard
from ganwatch.core.incident_book import IncidentBook
from ganwatch.core.incidents import Incident, State
from ganwatch.core.names import name_failure
from ganwatch.core.onsets import Looks
from ganwatch.core.outcome import EARLY_STEPS, MIN_IDLE_STEPS, Conclusion, Outcome, find_unjudged
from ganwatch.core.plain_records import read_record
from ganwatch.core.probe import Probe
from ganwatch.core.readings import Readings, Run, SampleImages
from ganwatch.core.sink import Sink

if TYPE_CHECKING:  # the core itself knows no tensors
    from torch import Tensor

    from ganwatch.capture.step import StepView

log = logging.getLogger("ganwatch")

OBSERVER_EVERY = 100
"""Steps between two readings of ganwatch's own errors and drops."""


_Entry = tuple[Detector, str, frozenset[str], str]
"""A detector, its code, its inputs, and the name under which its errors are counted."""


@dataclass(frozen=True, slots=True)
class _SavedState:
    step: int
    detectors: Mapping[str, Mapping[str, Any]]
    results: Mapping[str, Mapping[str, Any]]
    incidents: Mapping[str, Any]
    coverage: Mapping[str, tuple[int, int, int]]
    last_updates: Mapping[str, int]
    looks: Mapping[str, tuple[tuple[int, float], ...]] = field(default_factory=dict)


class Gatherer(Protocol):
    """Takes values that may still be on a device and returns them as floats, complete, at a fixed lag."""

    def put(self, step: int, values: Mapping[str, Any], wall_time: float) -> list[tuple[int, dict[str, float], float]]:
        """Take the values of a step. Return the steps that have become complete."""

    def flush(self) -> list[tuple[int, dict[str, float], float]]:
        """Return the steps that have not been returned yet."""


class Monitor:
    """Runs the probes, detectors and sinks of one run.

    A live run calls ``process_step``, a replay ``add_readings``. An error in a probe, a detector or a sink is counted, logged once
    and goes no further.

    Parameters
    ----------
    detectors, sinks : sequences
        Parts to run, in the order in which they are called.
    gatherer : Gatherer or None
        Needed by ``process_step`` only.
    attempt : int
        Number of the start of the process, from 1.
    guard : Guard, optional
        Keeps errors of the parts from the caller.
    """

    def __init__(
        self,
        *,
        detectors: Sequence[Detector] = (),
        sinks: Sequence[Sink] = (),
        gatherer: Gatherer | None = None,
        attempt: int = 1,
        guard: Guard | None = None,
    ) -> None:
        self.detectors, self.sinks = list(detectors), list(sinks)
        self.gatherer = gatherer
        self.attempt = attempt
        self.incidents = IncidentBook()
        self.guard = Guard() if guard is None else guard
        self.problems: dict[str, str] = {}
        """Reasons for which probes do not measure, and problems of the set-up, by name."""
        self.latest: dict[str, float] = {}
        self.listeners: list[Callable[[Incident], None]] = []
        self._entries = [(detector, detector.code, frozenset(detector.inputs), _name_part(detector)) for detector in self.detectors]
        self._entries_for = lru_cache(maxsize=256)(partial(_select_entries, self._entries))
        for detector in self.detectors:
            self.incidents.graph.add(detector)
        self._results: dict[str, DetectorResult] = {}
        self._coverage = Coverage()
        self._looks = Looks({name for _, _, inputs, _ in self._entries for name in inputs if not name.startswith("updates_")})
        self._last_updates = {"g": 0, "d": 0}
        self._sent_outcome = Outcome()
        self._step = 0
        self._derived: set[str] = set()
        """Series that were derived since the start of the process."""
        self._unsent: list[Readings] = []
        self._clean_names: set[str] = set()

    def start(self, run: Run, reported: Iterable[Incident] = ()) -> None:
        """Start the run at every sink, and restore there the incidents that earlier attempts have reported.

        Parameters
        ----------
        run : Run
        reported : iterable of Incident
            From the store. An incident that the resumed run has not reached again is restored as pending.
        """
        self.attempt = run.attempt
        self._call_sinks("start", run)
        ahead = {incident.id: replace(incident, state=State.PENDING) for incident in reported}
        for incident in (ahead | {incident.id: replace(incident) for incident in self.incidents.history}).values():
            self._call_sinks("restore", incident)

    def process_step(self, step: StepView) -> None:
        """Run the probes that are due at a captured step and evaluate the steps that have become complete.

        ``send_readings`` follows. An error never reaches the caller.
        """
        values: dict[str, Any] = dict(step.logged)
        for probe in step.due:
            values.update(self.guard(f"probe {probe.name}", partial(_read_probe, probe, step)) or {})
            if probe.problem:
                self._note_problem(probe.name, probe.problem)
        if step.index % OBSERVER_EVERY == 0:
            values["observer_errors"] = float(self.guard.errors.total() + sum(sink.failures for sink in self.sinks))
            values["observer_dropped"] = float(sum(sink.dropped for sink in self.sinks))
            values["store_failures"] = float(sum(sink.failures for sink in self.sinks if sink.name == "sql"))
            self._send_outcome()
        if self.gatherer is not None and values:
            self._evaluate_steps(self.guard("gatherer", partial(self.gatherer.put, step.index, values, step.wall_time)) or ())

    def _note_problem(self, name: str, problem: str) -> None:
        if self.problems.get(name) != problem:
            log.warning("%s", problem)
            self.problems[name] = problem

    def flush(self) -> None:
        """Evaluate every step that the gatherer still holds, and send its readings."""
        if self.gatherer is not None:
            self._evaluate_steps(self.guard("gatherer", self.gatherer.flush) or ())
        self.send_readings()

    def send_readings(self) -> None:
        """Send the evaluated readings to every sink."""
        if self._unsent:
            unsent, self._unsent = self._unsent, []
            self._call_sinks("readings", unsent)

    def add_readings(self, readings: Readings) -> list[Incident]:
        """Evaluate the complete readings of a step and send them to the sinks. Return the incidents that changed."""
        changed = self._evaluate(readings)
        self.send_readings()
        return changed

    def _evaluate_steps(self, complete: Iterable[tuple[int, dict[str, float], float]]) -> None:
        for step, values, wall_time in complete:
            self._evaluate(Readings(step, values, self.attempt, wall_time))

    def _evaluate(self, readings: Readings) -> list[Incident]:
        if not self._clean_names.issuperset(readings.values):
            readings = replace(readings, values={clean_text(series): value for series, value in readings.values.items()})
            self._clean_names.update(readings.values)
        self._unsent.append(readings)
        self.latest.update(readings.values)
        self._step = readings.step
        if derived := derive_missing(readings.values, self.latest):
            readings = replace(readings, values={**readings.values, **derived})
            self._derived.update(derived)
        changed: list[Incident] = []
        measured, active, names = readings.values, self.incidents.active, tuple(readings.values)
        self._coverage.add(names, readings.step)
        self._looks.add(readings.step, measured)
        for role in self._last_updates:
            if measured.get(f"updates_performed/{role}"):
                self._last_updates[role] = readings.step
        for entry in self._entries if active else self._entries_for(names):
            changed += self._judge(entry, readings, active)
        if changed:
            self.send_readings()
        for incident in changed:
            if incident.has_just_fired:
                incident.extras = incident.extras | self._rule_out(incident)
            self._call_sinks("incident", replace(incident))
            for listener in self.listeners:
                self.guard("listener", partial(listener, incident))
        return changed

    def _judge(self, entry: _Entry, readings: Readings, active: Mapping[str, Incident]) -> list[Incident]:
        """Let a detector judge the readings of a step. Return the incidents that changed."""
        detector, code, inputs, part = entry
        if not inputs.isdisjoint(readings.values):
            self.guard(part, partial(self._update_detector, detector, readings))
        result = self._results.get(code)
        if result is None and code not in active:
            return []
        if isinstance(result, Verdict) and code not in active:
            if self._looks.is_old(result, readings.step):
                return []
            result = self.guard(part, partial(self._looks.refine, result, readings.step)) or result
        return self.guard(part, partial(self.incidents.update, readings.step, detector, result)) or []

    def _update_detector(self, detector: Detector, readings: Readings) -> None:
        self._results[detector.code] = None
        result = detector.update(readings)
        notes = [str(series) for series in DERIVED if series.name in self._derived and series.name in detector.inputs]
        if notes and isinstance(result, Verdict):
            result = replace(result, explanation=" ".join([result.explanation, *notes]))
        self._results[detector.code] = result

    def _rule_out(self, incident: Incident) -> dict[str, Any]:
        """Return which possible causes of an incident are absent, and which could not be judged."""
        rank = self.incidents.graph.ranks[incident.code]
        possible = {one.code: one for one in self.detectors if CausalRank.of(one).key < rank.key and one.code not in self.incidents.active}
        unjudged = {one.code for one in find_unjudged(possible.values(), self._results, self._coverage.spans(), self._step, early_steps=0)}
        unjudged |= {code for code in possible if isinstance(self._results.get(code), NotApplicable)}
        codes = {"ruled_out": possible.keys() - unjudged, "not_judged": unjudged}
        return {how: [name_failure(possible[code].title, code) for code in sorted(those)] for how, those in codes.items()}

    def samples(self, samples: SampleImages) -> None:
        """Send images to every sink."""
        self._call_sinks("samples", samples)

    def drift(self, verdict: Mapping[str, Any]) -> None:
        """Send the verdict of a drift check to every sink."""
        self._call_sinks("drift", verdict)

    def checkpoint(self, checkpoint: SavedCheckpoint) -> None:
        """Send a checkpoint and the verdict on it to every sink."""
        self._call_sinks("checkpoint", checkpoint)

    @property
    def series(self) -> Container[str]:
        """The series that detectors were given, measured or derived."""
        return self._coverage.spans().keys()

    def not_applicable(self) -> dict[str, str]:
        """Return by code what a detector needs that does not apply to this run."""
        return {code: result.reason for code, result in self._results.items() if isinstance(result, NotApplicable)}

    def outcome(self, *, early_steps: int = EARLY_STEPS) -> Outcome:
        """Return what is known about the run so far; see ``find_unjudged`` for the argument."""
        history = self.incidents.history
        incidents, titles = tuple(incident.code for incident in history), {incident.code: incident.title for incident in history}
        unjudged = tuple(find_unjudged(self.detectors, self._results, self._coverage.spans(), self._step, early_steps=early_steps))
        is_unclear = bool(unjudged or self.problems) or not self._step or not self.detectors
        conclusion = Conclusion.INCIDENTS if incidents else Conclusion.NOT_JUDGED if is_unclear else Conclusion.CLEAN
        counts_updates = any(series.startswith("updates_performed/") for series in self.latest)
        idle = {role: self._step - last for role, last in self._last_updates.items() if self._step - last >= MIN_IDLE_STEPS}
        problems = tuple(self.problems.values())
        idle = idle if counts_updates else {}
        return Outcome(self._step, conclusion, incidents, unjudged, dict(self.guard.errors), idle, problems, titles)

    def _send_outcome(self) -> None:
        """Send the outcome to every sink if it has changed."""
        outcome = self.guard("outcome", self.outcome)
        if outcome is not None and replace(outcome, step=0, idle={}) != replace(self._sent_outcome, step=0, idle={}):
            self._sent_outcome = outcome
            self._call_sinks("outcome", outcome)

    def finish(self, state: str) -> None:
        """Flush, then report the end of the run to every sink and close it.

        The sinks write the end: ``SqlSink.finish`` stores the state and the time. ``session.run_end.end_run`` logs the last line.
        """
        self.guard("monitor", self.flush)
        outcome = self.guard("outcome", self.outcome)
        if outcome is not None:
            self._call_sinks("outcome", outcome)
        self._call_sinks("finish", state)
        self._call_sinks("close")

    def state_dict(self) -> dict[str, Any]:
        """Return the state as plain types. Flush first, so that no measured step is lost between save and resume."""
        self.guard("monitor", self.flush)
        self._call_sinks("sync")
        states = {detector.code: self.guard(_name_part(detector), detector.state_dict) for detector in self.detectors}
        return {
            "step": self._step,
            "detectors": {code: state for code, state in states.items() if state is not None},
            "results": {code: asdict(result) for code, result in self._results.items() if result is not None},
            "incidents": self.incidents.state_dict(),
            "coverage": self._coverage.state_dict(),
            "last_updates": dict(self._last_updates),
            "looks": self._looks.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a saved state. A detector without a saved state starts from its beginning.

        Raises
        ------
        UserError
            It is no such state; nothing changes.
        """
        saved = read_record(_SavedState, state)
        results: dict[str, DetectorResult] = {}
        for code, result in saved.results.items():
            results[code] = read_record(Verdict, result) if "value" in result else read_record(NotApplicable, result)
        coverage = Coverage()
        coverage.load_state_dict(saved.coverage)
        if set(saved.last_updates) != set(self._last_updates):
            raise UserError(f"last_updates must be of {', '.join(self._last_updates)}, got {show_names(saved.last_updates)}")
        restored = [one for one in self.detectors if one.code in saved.detectors]
        for detector in map(deepcopy, restored):  # refused before anything changes
            detector.load_state_dict(dict(saved.detectors[detector.code]))
        self.incidents.load_state_dict(saved.incidents)
        for detector in restored:
            detector.load_state_dict(dict(saved.detectors[detector.code]))
        self._step, self._coverage, self._last_updates = saved.step, coverage, dict(saved.last_updates)
        self._looks.load_state_dict(saved.looks)
        self._results |= {detector.code: results[detector.code] for detector in self.detectors if detector.code in results}

    def _call_sinks(self, method: str, *args: Any) -> None:
        for sink in self.sinks:
            self.guard(f"sink {sink.name}", partial(methodcaller(method, *args), sink))


def _select_entries(entries: Sequence[_Entry], measured: tuple[str, ...]) -> list[_Entry]:
    """Return the entries with an input among the measured series."""
    return [entry for entry in entries if not entry[2].isdisjoint(measured)]


def _name_part(detector: Detector) -> str:
    return f"detector {name_failure(detector.title, detector.code)}"


def _read_probe(probe: Probe, step: StepView) -> dict[str, float | Tensor]:
    return {series: _check_value(series, value) for series, value in probe.read(step).items()}


def _check_value(series: str, value: Any) -> float | Tensor:
    if getattr(value, "ndim", 0):
        raise ValueError(f"{series} must be a float or a 0-d tensor, got shape {tuple(value.shape)}")
    return value if hasattr(value, "ndim") else float(value)
