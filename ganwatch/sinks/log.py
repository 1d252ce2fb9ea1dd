"""Logs one line per change of an incident's state."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from typing import ClassVar

from ganwatch.core.announce import announce
from ganwatch.core.detector import Severity
from ganwatch.core.incidents import Incident, State
from ganwatch.core.names import name_failure
from ganwatch.core.readings import Readings
from ganwatch.core.sink import Sink

log = logging.getLogger("ganwatch")


class LogSink(Sink):
    """Log incidents that fire and resolve through ``logging`` (logger ``ganwatch``). Readings are not logged."""

    name: ClassVar[str] = "log"

    def __init__(self) -> None:
        self._logged: dict[str, State] = {}
        self._titles: dict[str, str] = {}
        """Titles of the incidents so far, by id."""
        self._causes: dict[str, str | None] = {}
        """Cause that was logged for each incident, by id."""

    def readings(self, readings: Sequence[Readings]) -> None:
        """Do nothing: a log is no place for series."""

    def restore(self, incident: Incident) -> None:
        """Remember that the firing of this incident has been logged."""
        self._titles[incident.id] = incident.title
        self._logged[incident.id] = State.FIRING
        self._causes[incident.id] = incident.cause

    def incident(self, incident: Incident) -> None:
        """Log one line when the incident fires and one when it resolves: errors for pages, warnings for tickets."""
        self._titles[incident.id] = incident.title
        if incident.state == State.PENDING:
            return
        cause, self._causes[incident.id] = self._causes.get(incident.id), incident.cause
        if self._logged.get(incident.id) == incident.state:
            if incident.cause is not None and incident.cause != cause:
                log.warning("%s is explained by %s now", name_failure(incident.title, incident.id), _name(incident.cause, self._titles))
            return
        self._logged[incident.id] = incident.state
        if incident.state == State.RESOLVED:
            announce("%s resolved at step %s", name_failure(incident.title, incident.id), incident.resolved)
        else:
            log.log(logging.ERROR if incident.severity == Severity.PAGE else logging.WARNING, "%s", describe(incident, self._titles))


def describe(incident: Incident, titles: Mapping[str, str]) -> str:
    """Describe a firing incident in one line: name, onset, value and threshold, cause, first remedy and runbook.

    ``titles`` are those of the incidents so far, by id.
    """
    again = f", again, {incident.recurrences + 1} times in all" if incident.recurrences else ""
    seen = f"(seen at step {incident.seen or incident.opened}{again})"
    parts = [f"{name_failure(incident.title, incident.id)} since step {incident.onset} {seen}"]
    if incident.evidence is not None:
        now = incident.evidence
        bound = f" against {now.threshold:.4g}" if math.isfinite(now.value) else ""
        parts.append(f"{now.signal} = {now.value:.4g}{bound} ({now.origin}): {now.explanation.rstrip('.')}")
    if incident.cause is not None:
        parts.append(f"explained by {_name(incident.cause, titles)}")
    elif incident.search:
        parts.append(incident.search.partition(";")[0])
    advice = incident.evidence.advice if incident.evidence is not None else ""
    if advice or incident.remedies:
        parts.append(f"try first: {advice or _first_remedy(incident.remedies)}")
    if incident.runbook:
        parts.append(f"see {incident.runbook}")
    return "; ".join(parts)


def _name(incident: str, titles: Mapping[str, str]) -> str:
    return name_failure(titles[incident], incident) if incident in titles else incident


def _first_remedy(remedies: str) -> str:
    """Return the first item of a list, or the first sentence of a text, on one line."""
    line = " ".join(remedies.strip().split("\n\n")[0].split("\n- ")[0].split())
    return line.removeprefix("- ").removeprefix("1. ").partition(". ")[0].rstrip(".")
