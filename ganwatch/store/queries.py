"""Queries of commands and screens on a store, answered with plain records. Needs neither torch nor streamlit."""

from __future__ import annotations

import math
import socket
import time
from dataclasses import replace
from typing import Any

import psutil
from sqlalchemy import Connection, RowMapping, and_, exists, func, or_, select

from ganwatch.core.detector import Verdict
from ganwatch.core.errors import UserError
from ganwatch.core.incidents import State
from ganwatch.core.plain_records import read_record
from ganwatch.store import tables
from ganwatch.store.artifacts import ArtifactRoot, Pixels, split_tiles
from ganwatch.store.database import Store
from ganwatch.store.records import ArtifactRecord, AttemptRecord, EvidenceRecord, Heartbeat, IncidentRecord, RunRecord
from ganwatch.store.rows import read_row
from ganwatch.store.series import last_values, series, series_names

__all__ = [
    "ArtifactRecord", "AttemptRecord", "EvidenceRecord", "Heartbeat", "IncidentRecord", "RunRecord", "artifacts", "attempts", "evidence",
    "find_run", "heartbeat", "incidents", "last_values", "read_artifact", "read_samples", "run", "runs", "series", "series_names",
    "unfinished",
]  # fmt: skip

_RUN, _ATTEMPT, _INCIDENT, _EVIDENCE, _ARTIFACT = (
    tables.table(row)
    for row in (tables.RunRow, tables.AttemptRow, tables.IncidentRow, tables.EvidenceRow, tables.ArtifactRow)
)


def runs(store: Store, *, limit: int | None = None) -> list[RunRecord]:
    """Return all runs, newest first. All queries raise ``UnreadableStoreError`` or ``MalformedRowError`` if the store is damaged."""
    with store.read() as connection:
        rows = connection.execute(_runs_query().order_by(_RUN.c.started.desc(), _RUN.c.id).limit(limit)).mappings()
        return [_to_run(row) for row in rows]


def run(store: Store, id: str) -> RunRecord:
    """Return the run with exactly this id.

    Raises
    ------
    UserError
        No run has it.
    """
    with store.read() as connection:
        row = connection.execute(_runs_query().where(_RUN.c.id == id)).mappings().first()
    if row is None:
        raise UserError(f"run must be the id of a run in the store, got {id!r}")
    return _to_run(row)


def find_run(store: Store, text: str) -> RunRecord:
    """Find a run by id, by the beginning of one id, by name (the newest of that name), or by ``latest``.

    Raises
    ------
    UserError
        The text matches no run, or the beginning of several ids.
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
    """Return the attempts at a run, in order."""
    with store.read() as connection:
        return _attempts(connection, run)


def unfinished(connection: Connection, fingerprint: str) -> AttemptRecord | None:
    """Return the last attempt at the newest run of this fingerprint that never ended and whose process is gone.

    Only a process of this machine can be known to be gone, so a run of another machine is never returned.
    """
    query = select(_RUN.c.id).where(_RUN.c.state == "running", _RUN.c.fingerprint == fingerprint)
    for candidate in list(connection.execute(query.order_by(_RUN.c.started.desc())).scalars()):
        last = _attempts(connection, candidate)[-1:]
        if last and _is_gone(last[0]):
            return last[0]
    return None


def heartbeat(store: Store, run: str, *, silent_after: float = 120.0, now: float | None = None) -> Heartbeat:
    """Return the sign of life of a run.

    It is silent if it is marked as running and its process is gone from this machine, or has written nothing for ``silent_after`` seconds.
    """
    with store.read() as connection:
        row = connection.execute(select(_RUN.c.state, _RUN.c.heartbeat.label("last")).where(_RUN.c.id == run)).mappings().first()
        last = _attempts(connection, run)[-1:] if row is not None and row["state"] == "running" else []
    if row is None:
        raise UserError(f"run must be the id of a run in the store, got {run!r}")
    sign = read_row(Heartbeat, "run", row, lambda cells: cells | {"silent": False})
    age = (time.time() if now is None else now) - sign.last
    return replace(sign, silent=sign.state == "running" and (any(map(_is_gone, last)) or age > silent_after))


def incidents(store: Store, run: str | None = None, *, open_only: bool = False) -> list[IncidentRecord]:
    """Return the incidents of a run, or of all runs, in the order of their opening. ``open_only`` selects those that are firing."""
    query = select(_INCIDENT, _superseded(_INCIDENT, _INCIDENT.c.opened).label("superseded"))
    if run is not None:
        query = query.where(_INCIDENT.c.run_id == run)
    if open_only:
        query = query.where(_INCIDENT.c.state == State.FIRING.value, ~_superseded(_INCIDENT, _INCIDENT.c.opened))
    with store.read() as connection:
        rows = connection.execute(query.order_by(_INCIDENT.c.run_id, _INCIDENT.c.opened, _INCIDENT.c.id)).mappings()
        return [read_row(IncidentRecord, "incident", row, _to_incident) for row in rows]


def evidence(store: Store, run: str, incident: str) -> list[EvidenceRecord]:
    """Return every report of an incident, in order of arrival."""
    query = select(_EVIDENCE).where(_EVIDENCE.c.run_id == run, _EVIDENCE.c.incident_id == incident)
    with store.read() as connection:
        rows = connection.execute(query.order_by(_EVIDENCE.c.id)).mappings()
        return [read_row(EvidenceRecord, "evidence", row, _to_evidence) for row in rows]


def artifacts(
    store: Store, run: str, kind: str | None = None, *, incident: str | None = None, offset: int = 0, limit: int | None = None
) -> list[ArtifactRecord]:
    """Return the contact sheets of a run in order of step, without those of steps that a later attempt repeated.

    Sheets that are pinned to an incident are always included.
    """
    query = select(_ARTIFACT).where(
        _ARTIFACT.c.run_id == run, or_(_ARTIFACT.c.incident_id.is_not(None), ~_superseded(_ARTIFACT, _ARTIFACT.c.step))
    )
    if kind is not None:
        query = query.where(_ARTIFACT.c.kind == kind)
    if incident is not None:
        query = query.where(_ARTIFACT.c.incident_id == incident)
    with store.read() as connection:
        rows = connection.execute(query.order_by(_ARTIFACT.c.step, _ARTIFACT.c.id).limit(limit).offset(offset)).mappings()
        return [read_row(ArtifactRecord, "artifact", row, _to_artifact) for row in rows]


def read_artifact(store: Store, artifact: ArtifactRecord, *, thumbnail: bool = False) -> bytes:
    """Return the PNG file of a contact sheet, or its thumbnail if there is one."""
    with store.read() as connection:
        root = connection.execute(select(_RUN.c.artifact_root).where(_RUN.c.id == artifact.run)).scalar()
    path = artifact.thumbnail if thumbnail and artifact.thumbnail else artifact.path
    return (ArtifactRoot.of_store(root) if root else store.artifacts).read(path)


def read_samples(store: Store, artifact: ArtifactRecord) -> Pixels:
    """Return the samples of a contact sheet, uint8 of shape (N, H, W, C), exactly as they were stored."""
    return split_tiles(read_artifact(store, artifact), artifact.shape, artifact.columns)


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
    """Build the condition that a later attempt repeated that step."""
    later = _ATTEMPT.alias()
    return exists().where(later.c.run_id == table.c.run_id, later.c.attempt > table.c.attempt, later.c.first_step <= step)


def _attempts(connection: Connection, run: str) -> list[AttemptRecord]:
    rows = connection.execute(select(_ATTEMPT).where(_ATTEMPT.c.run_id == run).order_by(_ATTEMPT.c.attempt)).mappings()
    return [read_row(AttemptRecord, "attempt", row) for row in rows]


def _to_run(row: RowMapping) -> RunRecord:
    return read_row(RunRecord, "run", row, lambda cells: _without(cells, "fingerprint") | {"attempts": cells["attempts"] or 0})


def _to_incident(cells: dict[str, Any]) -> dict[str, Any]:
    return _without(cells, "verdict") | {"evidence": _to_verdict(cells["verdict"]), "superseded": bool(cells["superseded"])}


def _to_evidence(cells: dict[str, Any]) -> dict[str, Any]:
    return _without(cells, "id") | {"verdict": _to_verdict(cells["verdict"])}


def _to_verdict(plain: dict[str, Any]) -> Verdict | None:
    """Return a verdict, or one that says that its record is malformed, so that it hides no other record."""
    try:
        return read_record(Verdict, plain) if plain else None
    except UserError as error:
        return Verdict(math.nan, math.nan, "unknown", 1, "a malformed record", f"The evidence in the store is malformed: {error}.")


def _to_artifact(cells: dict[str, Any]) -> dict[str, Any]:
    parts = ("count", "height", "width", "channels")
    return _without(cells, *parts) | {"shape": [cells[part] for part in parts]}


def _without(cells: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in cells.items() if name not in names}


def _is_gone(attempt: AttemptRecord) -> bool:
    if attempt.host != socket.gethostname():
        return False
    try:
        process = psutil.Process(attempt.pid)
        started, ended = process.create_time(), process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
    return ended or abs(started - attempt.process_started) > 1.0  # another process has the number now
