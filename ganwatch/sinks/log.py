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

    def readings(self, readings: Sequence[Readings]) -> None:
        """Do nothing: a log is no place for series."""

    def restore(self, incident: Incident) -> None:
        """Remember that the firing of this incident has been logged."""
        self._titles[incident.id] = incident.title
        self._logged[incident.id] = State.FIRING

    def incident(self, incident: Incident) -> None:
        """Log one line when the incident fires and one when it resolves: errors for pages, warnings for tickets."""
        self._titles[incident.id] = incident.title
        if incident.state == State.PENDING or self._logged.get(incident.id) == incident.state:
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
    parts = [f"{name_failure(incident.title, incident.id)} since step {incident.onset} (seen at step {incident.seen or incident.opened})"]
    if incident.evidence is not None:
        now = incident.evidence
        bound = f" against {now.threshold:.4g}" if math.isfinite(now.value) else ""
        parts.append(f"{now.signal} = {now.value:.4g}{bound} ({now.origin}): {now.explanation.rstrip('.')}")
    if incident.cause is not None:
        cause = incident.cause
        parts.append(f"explained by {name_failure(titles[cause], cause) if cause in titles else cause}")
    if incident.remedies:
        parts.append(f"try first: {_first_remedy(incident.remedies)}")
    if incident.runbook:
        parts.append(f"see {incident.runbook}")
    return "; ".join(parts)


def _first_remedy(remedies: str) -> str:
    """Return the first item of a list, or the first sentence of a text, on one line."""
    line = " ".join(remedies.strip().split("\n\n")[0].split("\n- ")[0].split())
    return line.removeprefix("- ").removeprefix("1. ").partition(". ")[0].rstrip(".")
