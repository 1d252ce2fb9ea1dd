"""Record of an incident, and its form in plain types."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from ganwatch.core.detector import Severity, Verdict
from ganwatch.core.plain_records import read_record


class State(StrEnum):
    """State of an incident."""

    PENDING = "pending"
    FIRING = "firing"
    RESOLVED = "resolved"


SEARCHED = {"ruled_out": "no sign of", "not_judged": "not judged:"}
"""Words for what is known of possible causes, by its name among the extras."""


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
    def recurrences(self) -> int:
        """Number of times that it has come back after its end."""
        count = self.extras.get("recurrences")
        return count if isinstance(count, int) else 0

    @property
    def search(self) -> str:
        """Knowledge of causes if none was found; empty if one was, or if none is possible.

        >>> extras = {"ruled_out": ["vanishing gradients (GW301)"], "not_judged": []}
        >>> Incident("GW101-1", "GW101", "mode collapse", Severity.PAGE, State.FIRING, 5, 9, extras=extras).search
        'cause not found; no sign of vanishing gradients (GW301)'
        """
        lists = {how: self.extras.get(how) for how in ("ruled_out", "not_judged")}
        named = {how: ", ".join(map(str, names)) for how, names in lists.items() if names and isinstance(names, list)}
        found = [f"{SEARCHED[how]} {names}" for how, names in named.items()]
        return "; ".join(["cause not found", *found]) if found and self.cause is None else ""

    @property
    def has_just_fired(self) -> bool:
        """True if the latest verdict is the one that made it fire."""
        return self.state is State.FIRING and self.fired == self.seen


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
