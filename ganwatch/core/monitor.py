"""The loop's counterpart: probes in, readings through detectors, incidents and sinks out. Knows contracts only."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from functools import lru_cache, partial
from typing import Any, Protocol

from ganwatch.core.detector import Detector, NotApplicable, Outcome, Verdict
from ganwatch.core.incidents import Incident, IncidentBook, State
from ganwatch.core.probe import Probe
from ganwatch.core.readings import Readings, Run, SampleImages
from ganwatch.core.sink import Sink

log = logging.getLogger("ganwatch")

OBSERVER_EVERY = 100
"""Steps between two readings of ganwatch's own errors and drops."""


_Judge = tuple[Detector, str, frozenset[str], str]
"""A detector, its code, its inputs, and what an error of it is counted under."""


class Gatherer(Protocol):
    """Takes values that may still be on a device and gives them back as floats, complete, at a fixed lag."""

    def put(self, step: int, values: Mapping[str, Any], wall_time: float) -> list[tuple[int, dict[str, float], float]]:
        """Hand in the values of a step; steps that are complete by now."""

    def flush(self) -> list[tuple[int, dict[str, float], float]]:
        """Steps that have not been given back yet."""


class Monitor:
    """Judges one run.

    ``observe`` is for live runs, ``judge`` is all that a replay needs. An error in a probe, a detector or a sink is counted,
    logged once and goes no further.

    Parameters
    ----------
    detectors, sinks : sequences
        Parts to run, in this order of calls.
    gatherer : Gatherer or None
        Needed by ``observe`` only.
    attempt : int
        Which start of the process this is.
    """

    def __init__(
        self,
        *,
        detectors: Sequence[Detector] = (),
        sinks: Sequence[Sink] = (),
        gatherer: Gatherer | None = None,
        attempt: int = 1,
    ) -> None:
        self.detectors, self.sinks = list(detectors), list(sinks)
        self.gatherer = gatherer
        self.attempt = attempt
        self.incidents = IncidentBook()
        self.errors: Counter[str] = Counter()
        self.latest: dict[str, float] = {}
        self.listeners: list[Callable[[Incident], None]] = []
        self._judges = [(detector, detector.code, frozenset(detector.inputs), f"detector {detector.code}") for detector in self.detectors]
        self._asked = lru_cache(maxsize=256)(partial(_asked, self._judges))
        self._outcomes: dict[str, Outcome] = {}
        self._stepped = 0
        self._unsent: list[Readings] = []

    def start(self, run: Run, reported: Iterable[Incident] = ()) -> None:
        """Tell every sink which run this is, and what earlier attempts at it have reported already.

        Parameters
        ----------
        run : Run
        reported : iterable of Incident
            From the store. Those that lie ahead of a resumed run again are passed on as pending.
        """
        self.attempt = run.attempt
        self._each_sink("start", run)
        ahead = {incident.id: replace(incident, state=State.PENDING) for incident in reported}
        for incident in (ahead | {incident.id: replace(incident) for incident in self.incidents.known}).values():
            self._each_sink("restore", incident)

    def observe(self, step: Any) -> None:
        """Let the probes that are due at a captured step measure, and judge what has become complete; ``send`` follows. Never raises."""
        values: dict[str, Any] = dict(step.logged)
        for probe in step.due:
            values.update(self.guard(f"probe {probe.name}", partial(_measure, probe, step)) or {})
        if step.index % OBSERVER_EVERY == 0:
            values["observer_errors"] = float(self.errors.total() + sum(sink.failures for sink in self.sinks))
            values["observer_dropped"] = float(sum(sink.dropped for sink in self.sinks))
            values["store_failures"] = float(sum(sink.failures for sink in self.sinks if sink.name == "sql"))
        if self.gatherer is not None and values:
            self._deliver(self.guard("gatherer", partial(self.gatherer.put, step.index, values, step.wall_time)) or ())

    def flush(self) -> None:
        """Judge every step that the gatherer still holds."""
        if self.gatherer is not None:
            self._deliver(self.guard("gatherer", self.gatherer.flush) or ())
        self.send()

    def send(self) -> None:
        """Hand the readings that were judged to every sink."""
        if self._unsent:
            unsent, self._unsent = self._unsent, []
            self._each_sink("readings", unsent)

    def _deliver(self, complete: Iterable[tuple[int, dict[str, float], float]]) -> None:
        for step, values, wall_time in complete:
            self._judge(Readings(step, values, self.attempt, wall_time))

    def judge(self, readings: Readings) -> list[Incident]:
        """Run detectors over complete readings and tell the sinks; the incidents that changed."""
        changed = self._judge(readings)
        self.send()
        return changed

    def _judge(self, readings: Readings) -> list[Incident]:
        self._unsent.append(readings)
        self.latest.update(readings.values)
        self._stepped = readings.step
        changed: list[Incident] = []
        measured, active = readings.values, self.incidents.active
        for detector, code, inputs, part in self._judges if active else self._asked(tuple(measured)):
            if not inputs.isdisjoint(measured):
                self.guard(part, partial(self._ask, detector, readings))
            outcome = self._outcomes.get(code)
            if outcome is not None or code in active:
                changed += self.guard(part, partial(self.incidents.update, readings.step, detector, outcome)) or []
        if changed:
            self.send()
        for incident in changed:
            self._each_sink("incident", replace(incident))
            for listener in self.listeners:
                self.guard("listener", partial(listener, incident))
        return changed

    def _ask(self, detector: Detector, readings: Readings) -> None:
        self._outcomes[detector.code] = None
        self._outcomes[detector.code] = detector.update(readings)

    def samples(self, samples: SampleImages) -> None:
        """Hand images to every sink."""
        self._each_sink("samples", samples)

    def not_applicable(self) -> dict[str, str]:
        """Detector code to what it needs, for those that cannot judge this run; not for those that few runs have anything for."""
        missing = {}
        for detector in self.detectors:
            outcome = self._outcomes.get(detector.code)
            if isinstance(outcome, NotApplicable):
                missing[detector.code] = outcome.reason
            elif detector.code not in self._outcomes and not detector.opt_in:
                missing[detector.code] = f"needs one of {', '.join(detector.inputs)}"
        return missing

    def finish(self, state: str) -> None:
        """The run ended; flush, tell the sinks and close them."""
        self.guard("monitor", self.flush)
        self._each_sink("finish", state)
        self._each_sink("close")

    def state_dict(self) -> dict[str, Any]:
        """Plain types only; what has been measured is judged first, so nothing is lost between save and resume."""
        self.guard("monitor", self.flush)
        self._each_sink("sync")
        states = {detector.code: self.guard(f"detector {detector.code}", detector.state_dict) for detector in self.detectors}
        return {
            "step": self._stepped,
            "detectors": {code: state for code, state in states.items() if state is not None},
            "outcomes": {code: asdict(outcome) for code, outcome in self._outcomes.items() if outcome is not None},
            "incidents": self.incidents.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a saved state; a detector that was unknown then starts afresh."""
        self._stepped = state["step"]
        self.incidents.load_state_dict(state["incidents"])
        for detector in self.detectors:
            if detector.code in state["detectors"]:
                detector.load_state_dict(state["detectors"][detector.code])
            outcome = state["outcomes"].get(detector.code)
            if outcome is not None:
                self._outcomes[detector.code] = Verdict(**outcome) if "value" in outcome else NotApplicable(**outcome)

    def guard(self, part: str, action: Callable[[], Any]) -> Any:
        """Run a part of ganwatch so that its error is counted, logged once, and goes no further."""
        try:
            return action()
        except Exception:
            if not self.errors[part]:
                log.exception("%s failed; training goes on, further errors of it are counted only", part)
            self.errors[part] += 1
            return None

    def _each_sink(self, method: str, *args: Any) -> None:
        for sink in self.sinks:
            self.guard(f"sink {sink.name}", partial(_tell, sink, method, *args))


def _asked(judges: Sequence[_Judge], measured: tuple[str, ...]) -> list[_Judge]:
    """Those with an input among the series that were measured."""
    return [judge for judge in judges if not judge[2].isdisjoint(measured)]


def _tell(sink: Sink, method: str, *args: Any) -> None:
    getattr(sink, method)(*args)


def _measure(probe: Probe, step: Any) -> dict[str, Any]:
    values = dict(probe.read(step))
    for series, value in values.items():
        if getattr(value, "ndim", 0):
            raise ValueError(f"{series} must be a float or a 0-d tensor, got shape {tuple(value.shape)}")
        values[series] = value if hasattr(value, "ndim") else float(value)
    return values
