"""Incidents from verdicts: when one fires, when it is resolved, and which incident explains it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from itertools import islice
from typing import Any

from ganwatch.core.detector import Detector, DetectorResult, Severity, Verdict
from ganwatch.core.errors import UserError, show_names
from ganwatch.core.plain_records import read_record

CAUSAL_WINDOW = 300
"""Steps within which onsets count as simultaneous, so that the causal order decides."""
MAX_RELATED = 100
"""Most incidents among which causes are looked for, so that the work of a step does not grow with the run."""
ONSET_TOLERANCE = 60
"""Steps by which the onset of a cause may follow the alarm of its symptom, because onsets are estimated from a window."""


class State(StrEnum):
    """State of an incident."""

    PENDING = "pending"
    FIRING = "firing"
    RESOLVED = "resolved"


@dataclass(slots=True)
class Incident:
    """Verdicts of one detector over time.

    ``id`` consists of the code and the ordinal within the run, so that a resumed run gives the same incident the same id.
    ``cause`` is the id of the incident that explains this one, or None.
    """

    id: str
    code: str
    title: str
    severity: Severity
    state: State
    onset: int
    opened: int
    resolved: int | None = None
    cause: str | None = None
    evidence: Verdict | None = None
    likely_causes: str = ""
    remedies: str = ""
    runbook: str = ""
    fired: int | None = None
    seen: int = 0
    """Latest step with a verdict."""
    extras: dict[str, Any] = field(default_factory=dict)

    @property
    def has_just_fired(self) -> bool:
        """True if the latest verdict is the one that made it fire."""
        return self.state is State.FIRING and self.fired == self.seen


@dataclass(frozen=True, slots=True)
class _SavedBook:
    incidents: tuple[Incident, ...]
    causal_ranks: Mapping[str, tuple[int, int]]


class IncidentBook:
    """All incidents of one run.

    Examples
    --------
    >>> from ganwatch.detectors.non_finite import NonFinite
    >>> book = IncidentBook()
    >>> verdict = Verdict(float("nan"), 0.0, "loss/g", 1, "definition", "The loss is NaN.", onset=7)
    >>> [incident] = book.update(7, NonFinite, verdict)
    >>> incident.id, incident.state, incident.onset
    ('GW303-1', <State.FIRING: 'firing'>, 7)
    """

    def __init__(self, causal_window: int = CAUSAL_WINDOW) -> None:
        self.causal_window = causal_window
        self._incidents: dict[str, Incident] = {}
        self._active: dict[str, Incident] = {}
        self._counts: dict[str, int] = {}
        self._resolved: dict[str, int] = {}  # latest step at which one was resolved, by code
        self._causal_ranks: dict[str, tuple[int, int]] = {}
        """Place of each detector in the causal order, and among those of its kind, by code."""

    @property
    def history(self) -> list[Incident]:
        """Incidents that are firing or have fired, in the order in which they were opened."""
        return [incident for incident in self._incidents.values() if incident.state is not State.PENDING]

    @property
    def active(self) -> Mapping[str, Incident]:
        """Incidents that are pending or firing, by code."""
        return self._active

    @property
    def firing(self) -> list[Incident]:
        """Incidents that are firing."""
        return [incident for incident in self._active.values() if incident.state is State.FIRING]

    def update(self, step: int, detector: type[Detector] | Detector, result: DetectorResult) -> list[Incident]:
        """Take a detector's result at a step. Return the incidents that changed."""
        incident = self._active.get(detector.code)
        if isinstance(result, Verdict):
            if incident is None:
                incident = self._open(step, detector, result)
            incident.seen, incident.evidence = step, result
            if incident.state is State.PENDING and step - incident.opened >= detector.fire_after:
                incident.state, incident.fired = State.FIRING, step
                return [incident, *self._assign_causes(fired=incident)]
            return []
        if incident is None:
            return []
        if incident.state is State.PENDING:
            del self._active[detector.code], self._incidents[incident.id]
            self._counts[detector.code] -= 1
            return []
        if step - incident.seen >= detector.resolve_after:
            incident.state, incident.resolved = State.RESOLVED, step
            self._resolved[detector.code] = max(step, self._resolved.get(detector.code, step))
            del self._active[detector.code]
            return [incident]
        return []

    def _open(self, step: int, detector: type[Detector] | Detector, verdict: Verdict) -> Incident:
        ordinal = self._counts[detector.code] = self._counts.get(detector.code, 0) + 1
        onset = verdict.onset if verdict.onset is not None else max(1, step - verdict.window + 1)
        sections = detector.runbook_sections()
        incident = Incident(
            id=f"{detector.code}-{ordinal}",
            code=detector.code,
            title=detector.title,
            severity=detector.severity,
            state=State.PENDING,
            onset=max(onset, self._resolved.get(detector.code, onset - 1) + 1),
            opened=step,
            likely_causes=sections.get("Likely causes", ""),
            remedies=sections.get("What to do", ""),
            runbook=detector.runbook(),
        )
        self._causal_ranks[detector.code] = detector.kind.order, detector.causal_priority
        self._incidents[incident.id] = self._active[detector.code] = incident
        return incident

    def _assign_causes(self, fired: Incident) -> list[Incident]:
        """Set the cause of every incident to the root of its cluster. Return the incidents other than ``fired`` that changed."""
        changed = []
        for cluster in self._clusters():
            first = min(cluster, key=lambda incident: (incident.onset, incident.id))
            latest = first.onset + self.causal_window
            if first.fired is not None:
                latest = max(first.onset, min(latest, first.fired + ONSET_TOLERANCE))  # steps may go back
            root = min((i for i in cluster if i.onset <= latest), key=self._causal_key)
            for incident in cluster:
                cause = None if incident is root else root.id
                if incident.cause != cause:
                    incident.cause = cause
                    if incident is not fired:
                        changed.append(incident)
        return changed

    def _clusters(self) -> list[list[Incident]]:
        """Return groups of incidents that overlap in time, of the ``MAX_RELATED`` that were opened last."""
        clusters: list[list[Incident]] = []
        end = -math.inf
        latest = islice(reversed(self._incidents.values()), MAX_RELATED)
        for incident in sorted((each for each in latest if each.state is not State.PENDING), key=lambda each: (each.onset, each.id)):
            if incident.onset > end:
                clusters.append([])
                end = -math.inf
            clusters[-1].append(incident)
            end = max(end, math.inf if incident.resolved is None else incident.resolved)
        return clusters

    def _causal_key(self, incident: Incident) -> tuple[int, int, int, str]:
        return (*self._causal_ranks[incident.code], incident.onset, incident.code)

    def state_dict(self) -> dict[str, Any]:
        """Return the state as plain types."""
        incidents = [incident_to_plain(incident) for incident in self._incidents.values()]
        return {"incidents": incidents, "causal_ranks": dict(self._causal_ranks)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a saved state.

        Raises
        ------
        UserError
            It is no such state; nothing changes.
        """
        saved = read_record(_SavedBook, state)
        if unranked := sorted({incident.code for incident in saved.incidents} - set(saved.causal_ranks)):
            raise UserError(f"causal_ranks must have the code of each incident, got none for {show_names(unranked)}")
        self._incidents = {incident.id: replace(incident) for incident in saved.incidents}
        self._active = {incident.code: incident for incident in self._incidents.values() if incident.state is not State.RESOLVED}
        self._counts = Counter(incident.code for incident in self._incidents.values())
        self._resolved = {}
        for incident in self._incidents.values():
            if incident.resolved is not None:
                self._resolved[incident.code] = max(incident.resolved, self._resolved.get(incident.code, incident.resolved))
        self._causal_ranks = dict(saved.causal_ranks)


def incident_to_plain(incident: Incident) -> dict[str, Any]:
    """Return an incident as JSON types. Numbers that are not finite stay floats."""
    plain = asdict(incident)
    return plain | {"severity": str(incident.severity), "state": str(incident.state)}


def incident_from_plain(plain: Mapping[str, Any]) -> Incident:
    """Return the incident of ``incident_to_plain``.

    Raises
    ------
    UserError
        A field has another type.
    """
    return read_record(Incident, plain)
