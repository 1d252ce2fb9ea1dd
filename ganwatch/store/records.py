"""Plain records of what the store holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ganwatch.core.detector import Verdict
from ganwatch.core.incidents import Incident, State


@dataclass(frozen=True, slots=True)
class RunRecord:
    """A run. ``state`` is ``running``, ``finished``, ``failed`` or ``stopped``; times are Unix seconds."""

    id: str
    name: str
    state: str
    started: float
    ended: float | None
    heartbeat: float
    attempts: int
    last_step: int | None
    open_incidents: int
    artifact_root: str | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)
    outcome: Mapping[str, Any] = field(default_factory=dict)
    """Plain form of ``ganwatch.core.outcome.Outcome``; empty until there is one."""


@dataclass(frozen=True, slots=True)
class AttemptRecord:
    """One start of a run's process."""

    run: str
    attempt: int
    state: str
    started: float
    ended: float | None
    heartbeat: float
    first_step: int | None
    last_step: int | None
    host: str
    pid: int
    process_started: float
    provenance: Mapping[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class IncidentRecord(Incident):
    """An incident with its run and attempt.

    ``superseded`` is True if a later attempt repeated the step at which it was opened and did not report it. It counts as closed.
    """

    run: str = ""
    attempt: int = 1
    updated: float = 0.0
    superseded: bool = False


@dataclass(frozen=True, slots=True)
class EvidenceRecord:
    """One report of an incident."""

    run: str
    incident: str
    attempt: int
    step: int
    state: State
    recorded: float
    verdict: Verdict | None


@dataclass(frozen=True, slots=True)
class ArtifactRecord:
    """A contact sheet of ``shape`` (N, H, W, C) in rows of ``columns`` tiles. Paths are relative to the artifact root."""

    id: int
    run: str
    attempt: int
    step: int
    kind: str
    path: str
    thumbnail: str | None
    sha256: str
    shape: tuple[int, int, int, int]
    columns: int
    incident: str | None
    created: float


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """The last sign of life of a run.

    ``last`` is the time of its last record. ``silent`` is True if the run is marked as running and has written nothing for too long.
    """

    state: str
    last: float
    silent: bool
