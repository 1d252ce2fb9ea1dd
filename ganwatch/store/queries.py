"""What the store knows, as plain records: the read side of commands and screens. Needs neither torch nor streamlit."""

from __future__ import annotations

import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import psutil
from sqlalchemy import Connection, RowMapping, and_, exists, func, or_, select

from ganwatch.core.detector import Severity, Verdict
from ganwatch.core.errors import UserError
from ganwatch.core.incidents import Incident, State
from ganwatch.store import tables
from ganwatch.store.artifacts import ArtifactRoot, Pixels, cut
from ganwatch.store.database import Store
from ganwatch.store.plain import decode
from ganwatch.store.series import last_values, series, series_names

__all__ = [
    "ArtifactRecord", "AttemptRecord", "EvidenceRecord", "Heartbeat", "IncidentRecord", "RunRecord", "artifacts", "attempts", "evidence",
    "heartbeat", "incidents", "last_values", "read_artifact", "read_samples", "resolve", "run", "runs", "series", "series_names",
    "unfinished",
]  # fmt: skip

_RUN, _ATTEMPT, _INCIDENT, _EVIDENCE, _ARTIFACT = (
    tables.table(model) for model in (tables.Run, tables.Attempt, tables.Incident, tables.Evidence, tables.Artifact)
)


@dataclass(frozen=True, slots=True)
class RunRecord:
    """A run; ``state`` is ``running``, ``finished``, ``failed`` or ``stopped``, times are Unix seconds."""

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
    """An incident with where it came from.

    ``superseded``: it was opened at a step that a later attempt has gone through anew without reporting it; it counts as closed.
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
    """A contact sheet of ``shape`` (N, H, W, C), ``columns`` tiles to a row; paths are relative to the artifact root."""

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
    """Sign of life of a run: its state, the time of its last record, and whether it claims to run but has gone silent."""

    state: str
    last: float
    silent: bool


def runs(store: Store, *, limit: int | None = None) -> list[RunRecord]:
    """All runs, the newest first."""
    with store.read() as connection:
        rows = connection.execute(_runs_query().order_by(_RUN.c.started.desc(), _RUN.c.id).limit(limit)).mappings().all()
    return [_run(row) for row in rows]


def run(store: Store, id: str) -> RunRecord:
    """The run with exactly this id.

    Raises
    ------
    UserError
        There is none.
    """
    with store.read() as connection:
        row = connection.execute(_runs_query().where(_RUN.c.id == id)).mappings().first()
    if row is None:
        raise UserError(f"run must be the id of a run in the store, got {id!r}")
    return _run(row)


def resolve(store: Store, text: str) -> RunRecord:
    """The run that a person means: by id, by the beginning of one id, by name (the newest of that name), or ``latest``.

    Raises
    ------
    UserError
        No run is meant, or several are.
    """
    known = runs(store)
    if text == "latest" and known:
        return known[0]
    found = [one for one in known if one.id == text] or [one for one in known if one.name == text][:1]
    found = found or [one for one in known if text and one.id.startswith(text)]
    if len(found) == 1:
        return found[0]
    rule = "run must be an id, the beginning of one id, a name or 'latest'"
    if found:
        raise UserError(f"{rule}; {text!r} is the beginning of {len(found)}: {', '.join(sorted(one.id for one in found)[:5])}")
    held = f"{len(known)} run{'s' * (len(known) > 1)}" if known else "no run at all"
    raise UserError(f"{rule}; got {text!r}, and the store holds {held}")


def attempts(store: Store, run: str) -> list[AttemptRecord]:
    """The attempts at a run, in order."""
    with store.read() as connection:
        return _attempts(connection, run)


def unfinished(connection: Connection, fingerprint: str) -> AttemptRecord | None:
    """The last attempt at the newest run of this fingerprint that never ended and whose process is gone.

    Only a process of this machine can be known to be gone; a run of another machine is never returned.
    """
    query = select(_RUN.c.id).where(_RUN.c.state == "running", _RUN.c.fingerprint == fingerprint)
    for candidate in list(connection.execute(query.order_by(_RUN.c.started.desc())).scalars()):
        last = _attempts(connection, candidate)[-1:]
        if last and _is_gone(last[0]):
            return last[0]
    return None


def heartbeat(store: Store, run: str, *, silent_after: float = 120.0, now: float | None = None) -> Heartbeat:
    """Sign of life of a run, silent where it claims to run and has written nothing for ``silent_after`` seconds."""
    with store.read() as connection:
        row = connection.execute(select(_RUN.c.state, _RUN.c.heartbeat).where(_RUN.c.id == run)).first()
    if row is None:
        raise UserError(f"run must be the id of a run in the store, got {run!r}")
    age = (time.time() if now is None else now) - row.heartbeat
    return Heartbeat(row.state, row.heartbeat, row.state == "running" and age > silent_after)


def incidents(store: Store, run: str | None = None, *, open_only: bool = False) -> list[IncidentRecord]:
    """Incidents of a run, or of all, in the order in which they were opened; ``open_only`` gives those that are firing."""
    query = select(_INCIDENT, _superseded(_INCIDENT, _INCIDENT.c.opened).label("superseded"))
    if run is not None:
        query = query.where(_INCIDENT.c.run_id == run)
    if open_only:
        query = query.where(_INCIDENT.c.state == State.FIRING.value, ~_superseded(_INCIDENT, _INCIDENT.c.opened))
    with store.read() as connection:
        rows = connection.execute(query.order_by(_INCIDENT.c.run_id, _INCIDENT.c.opened, _INCIDENT.c.id)).mappings().all()
    found = []
    for row in rows:
        facts = _facts(row)
        facts |= {"evidence": _verdict(facts.pop("verdict")), "severity": Severity(row["severity"]), "state": State(row["state"])}
        found.append(IncidentRecord(**facts | {"extras": decode(row["extras"]), "superseded": bool(row["superseded"])}))
    return found


def evidence(store: Store, run: str, incident: str) -> list[EvidenceRecord]:
    """Every report of an incident, in order of arrival."""
    query = select(_EVIDENCE).where(_EVIDENCE.c.run_id == run, _EVIDENCE.c.incident_id == incident)
    with store.read() as connection:
        rows = connection.execute(query.order_by(_EVIDENCE.c.id)).all()
    return [
        EvidenceRecord(run, incident, row.attempt, row.step, State(row.state), row.recorded, _verdict(row.verdict)) for row in rows
    ]


def artifacts(
    store: Store, run: str, kind: str | None = None, *, incident: str | None = None, offset: int = 0, limit: int | None = None
) -> list[ArtifactRecord]:
    """Contact sheets of a run in order of step, without those of steps that a later attempt went through anew.

    What is pinned to an incident always stays.
    """
    query = select(_ARTIFACT).where(
        _ARTIFACT.c.run_id == run, or_(_ARTIFACT.c.incident_id.is_not(None), ~_superseded(_ARTIFACT, _ARTIFACT.c.step))
    )
    if kind is not None:
        query = query.where(_ARTIFACT.c.kind == kind)
    if incident is not None:
        query = query.where(_ARTIFACT.c.incident_id == incident)
    with store.read() as connection:
        rows = connection.execute(query.order_by(_ARTIFACT.c.step, _ARTIFACT.c.id).limit(limit).offset(offset)).mappings().all()
    found = []
    for row in rows:
        facts = _facts(row)
        shape = (facts.pop("count"), facts.pop("height"), facts.pop("width"), facts.pop("channels"))
        found.append(ArtifactRecord(**facts | {"shape": shape}))
    return found


def read_artifact(store: Store, artifact: ArtifactRecord, *, thumbnail: bool = False) -> bytes:
    """The PNG file of a contact sheet, or its thumbnail where there is one."""
    with store.read() as connection:
        root = connection.execute(select(_RUN.c.artifact_root).where(_RUN.c.id == artifact.run)).scalar()
    path = artifact.thumbnail if thumbnail and artifact.thumbnail else artifact.path
    return (ArtifactRoot(root) if root else store.artifacts).read(path)


def read_samples(store: Store, artifact: ArtifactRecord) -> Pixels:
    """The samples of a contact sheet, uint8 of shape (N, H, W, C), exactly as they were stored."""
    return cut(read_artifact(store, artifact), artifact.shape, artifact.columns)


def _runs_query() -> Any:
    of_run = _ATTEMPT.c.run_id == _RUN.c.id
    last_step = select(_ATTEMPT.c.last_step).where(of_run, _ATTEMPT.c.last_step.is_not(None)).order_by(_ATTEMPT.c.attempt.desc()).limit(1)
    firing = and_(_INCIDENT.c.run_id == _RUN.c.id, _INCIDENT.c.state == State.FIRING.value, ~_superseded(_INCIDENT, _INCIDENT.c.opened))
    return select(
        _RUN,
        select(func.max(_ATTEMPT.c.attempt)).where(of_run).correlate(_RUN).scalar_subquery().label("attempts"),
        last_step.correlate(_RUN).scalar_subquery().label("last_step"),
        select(func.count(_INCIDENT.c.id)).where(firing).correlate(_RUN).scalar_subquery().label("open_incidents"),
    )


def _superseded(table: Any, step: Any) -> Any:
    """Whether a later attempt went through that step anew."""
    later = _ATTEMPT.alias()
    return exists().where(later.c.run_id == table.c.run_id, later.c.attempt > table.c.attempt, later.c.first_step <= step)


def _attempts(connection: Connection, run: str) -> list[AttemptRecord]:
    rows = connection.execute(select(_ATTEMPT).where(_ATTEMPT.c.run_id == run).order_by(_ATTEMPT.c.attempt)).mappings().all()
    return [AttemptRecord(**_facts(row)) for row in rows]


def _run(row: RowMapping) -> RunRecord:
    facts = {str(key): value for key, value in row.items() if key != "fingerprint"}
    return RunRecord(**facts | {"attempts": row["attempts"] or 0, "provenance": decode(row["provenance"])})


def _facts(row: RowMapping) -> dict[str, Any]:
    facts = {str(key).removesuffix("_id"): value for key, value in row.items()}
    return facts | ({"provenance": decode(facts["provenance"])} if "provenance" in facts else {})


def _verdict(encoded: Mapping[str, Any]) -> Verdict | None:
    return Verdict(**decode(encoded)) if encoded else None


def _is_gone(attempt: AttemptRecord) -> bool:
    if attempt.host != socket.gethostname():
        return False
    try:
        process = psutil.Process(attempt.pid)
        started, ended = process.create_time(), process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
    return ended or abs(started - attempt.process_started) > 1.0  # the number was given to another process
