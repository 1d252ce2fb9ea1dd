"""Incidents from verdicts: when one fires, when it is resolved, when it comes back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from ganwatch.core.detector import Detector, DetectorResult, FailureKind, Verdict
from ganwatch.core.diagnosis import CAUSAL_WINDOW, CausalGraph, CausalRank
from ganwatch.core.errors import UserError, show_names
from ganwatch.core.incidents import Incident, State, incident_to_plain
from ganwatch.core.plain_records import read_record

MAX_RELATED = 100
"""Most incidents among which causes are looked for, so that the work of a step does not grow with the run."""
MAX_WAIT = 60
"""Most steps for which a symptom waits for a cause that is pending."""
RECURRENCE = 300
"""Steps after its end within which a failure that comes back is the same incident."""
MAX_PATIENCE = 8
"""Most times ``resolve_after`` that an incident takes to end, which doubles with each recurrence."""


@dataclass(frozen=True, slots=True)
class _SavedBook:
    incidents: tuple[Incident, ...]
    causal_ranks: Mapping[str, tuple[int, int]]


class IncidentBook:
    """All incidents of one run.

    Parameters
    ----------
    causal_window : int, steps
        Distance of onsets within which the causal order decides which incident explains which.

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
        self.graph = CausalGraph(causal_window)
        self._incidents: dict[str, Incident] = {}
        self._active: dict[str, Incident] = {}
        self._counts: dict[str, int] = {}
        self._resolved: dict[str, int] = {}  # latest step at which one was resolved, by code

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
        """Incidents that are firing, in the order in which they were opened."""
        firing = (incident for incident in self._active.values() if incident.state is State.FIRING)
        return sorted(firing, key=lambda incident: (incident.opened, incident.code))

    def update(self, step: int, detector: type[Detector] | Detector, result: DetectorResult) -> list[Incident]:
        """Take a detector's result at a step. Return the incidents that changed."""
        incident = self._active.get(detector.code)
        if isinstance(result, Verdict):
            if incident is None:
                incident = self._open(step, detector, result)
            incident.seen, incident.evidence = step, result
            if incident.state is State.PENDING and self._is_due(step, incident, detector.fire_after):
                incident = self._fire(step, incident)
                return [incident, *self._assign_causes(fired=incident)]
            return []
        if incident is None:
            return []
        if incident.state is State.PENDING:
            self._drop(incident)
            return []
        if step - incident.seen >= detector.resolve_after * min(MAX_PATIENCE, 2**incident.recurrences):
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
        self.graph.add(detector)
        self._incidents[incident.id] = self._active[detector.code] = incident
        return incident

    def _drop(self, incident: Incident) -> None:
        """Forget an incident that has not fired."""
        del self._active[incident.code], self._incidents[incident.id]
        self._counts[incident.code] -= 1

    def _is_due(self, step: int, incident: Incident, fire_after: int) -> bool:
        """Return True once the verdict has lasted, and no pending incident that may explain it is worth waiting for."""
        lasted = step - incident.opened
        return lasted >= fire_after and (lasted >= fire_after + MAX_WAIT or not self.graph.is_waiting(incident, self._active.values()))

    def _fire(self, step: int, incident: Incident) -> Incident:
        """Let an incident fire, as the earlier one of its code if that has just ended; return the one that fires."""
        earlier = self._incidents.get(f"{incident.code}-{self._counts[incident.code] - 1}")
        if earlier is None or earlier.resolved is None or not 0 <= incident.onset - earlier.resolved <= RECURRENCE:
            incident.state, incident.fired = State.FIRING, step
            return incident
        self._drop(incident)
        earlier.state, earlier.resolved = State.FIRING, None
        earlier.seen, earlier.evidence = incident.seen, incident.evidence
        earlier.extras = earlier.extras | {"recurrences": earlier.recurrences + 1}
        self._active[earlier.code] = earlier
        return earlier

    def _assign_causes(self, fired: Incident) -> list[Incident]:
        """Set the cause of every incident to the root of its causes. Return the incidents other than ``fired`` that changed."""
        latest = islice(reversed(self._incidents.values()), MAX_RELATED)
        changed = []
        for incident, cause in self.graph.find_roots([one for one in latest if one.state is not State.PENDING]):
            if incident.cause != cause:
                incident.cause = cause
                if incident is not fired:
                    changed.append(incident)
        return changed[::-1]

    def state_dict(self) -> dict[str, Any]:
        """Return the state as plain types."""
        incidents = [incident_to_plain(incident) for incident in self._incidents.values()]
        return {"incidents": incidents, "causal_ranks": {code: rank.key for code, rank in self.graph.ranks.items()}}

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
        if wrong := sorted(code for code, (kind, _) in saved.causal_ranks.items() if not 0 <= kind < len(FailureKind)):
            raise UserError(f"causal_ranks must begin with the place of a kind, got another number for {show_names(wrong)}")
        self._incidents = {incident.id: replace(incident) for incident in saved.incidents}
        self._active = {incident.code: incident for incident in self._incidents.values() if incident.state is not State.RESOLVED}
        self._counts = Counter(incident.code for incident in self._incidents.values())
        self._resolved = {}
        for incident in self._incidents.values():
            if incident.resolved is not None:
                self._resolved[incident.code] = max(incident.resolved, self._resolved.get(incident.code, incident.resolved))
        self.graph.ranks = {code: CausalRank(*key) for code, key in saved.causal_ranks.items()} | self.graph.ranks
