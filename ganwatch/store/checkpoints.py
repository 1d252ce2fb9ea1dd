"""Checkpoints in the store, with append-only verdicts. Needs no torch."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from sqlalchemy import RowMapping, func, select

from ganwatch.core.checkpoints import NOT_JUDGED, CheckpointVerdict, Quality, SavedCheckpoint, judge_checkpoint, name_unjudged
from ganwatch.core.outcome import Outcome
from ganwatch.store import queries, tables
from ganwatch.store.database import Store
from ganwatch.store.records import RunRecord
from ganwatch.store.rows import read_row
from ganwatch.store.strict_json import encode

_CHECKPOINT, _VERDICT = tables.table(tables.CheckpointRow), tables.table(tables.CheckpointVerdictRow)


def append_checkpoint(store: Store, run: str, attempt: int, checkpoint: SavedCheckpoint) -> None:
    """Write a checkpoint, unless it is there, and its verdict, if that is another one than before; in one transaction."""
    key = {"run_id": run, "path": checkpoint.path, "sha256": checkpoint.sha256, "step": checkpoint.step}
    facts = {"attempt": attempt, "size": checkpoint.size, "fault": checkpoint.fault, "created": checkpoint.created}
    lists = {"nonfinite": list(checkpoint.nonfinite), "stale": list(checkpoint.stale)}
    facts |= {"extras": encode(lists | {"unread": checkpoint.unread})}
    verdict = {"quality": str(checkpoint.verdict.quality), "reason": checkpoint.verdict.reason, "incident_id": checkpoint.verdict.incident}
    with store.begin() as connection:
        found = connection.execute(select(_CHECKPOINT.c.id).where(*(_CHECKPOINT.c[name] == value for name, value in key.items()))).scalar()
        if found is None:
            found = connection.execute(_CHECKPOINT.insert().returning(_CHECKPOINT.c.id), key | facts).scalar_one()
        if checkpoint.is_removed:
            removed = _CHECKPOINT.update().where(_CHECKPOINT.c.id == found, _CHECKPOINT.c.removed.is_(None))
            connection.execute(removed, {"removed": time.time()})
        newest = select(_VERDICT.c.quality, _VERDICT.c.reason, _VERDICT.c.incident_id).where(_VERDICT.c.checkpoint_id == found)
        last = connection.execute(newest.order_by(_VERDICT.c.id.desc()).limit(1)).mappings().first()
        if last is None or dict(last) != verdict:
            connection.execute(_VERDICT.insert(), verdict | {"checkpoint_id": found, "created": time.time()})


def checkpoints(store: Store, run: str) -> list[SavedCheckpoint]:
    """Return the checkpoints of a run that were saved or could not be, by step, each with the last verdict on it.

    Raises
    ------
    UnreadableStoreError, MalformedRowError
        The store is damaged.
    """
    last = select(func.max(_VERDICT.c.id)).group_by(_VERDICT.c.checkpoint_id)
    columns: list[Any] = [_CHECKPOINT, _VERDICT.c.quality, _VERDICT.c.reason, _VERDICT.c.incident_id]
    query = select(*columns).join(_VERDICT, _VERDICT.c.checkpoint_id == _CHECKPOINT.c.id).where(_VERDICT.c.id.in_(last))
    with store.read() as connection:
        rows = connection.execute(query.where(_CHECKPOINT.c.run_id == run).order_by(_CHECKPOINT.c.step, _CHECKPOINT.c.id)).mappings()
        return [_to_checkpoint(row) for row in rows]


def judge_checkpoints(store: Store, run: RunRecord) -> list[SavedCheckpoint]:
    """Return the checkpoints of a run with the verdicts of today: incidents of a later attempt judge those of an earlier one too."""
    incidents, attempts = queries.incidents(store, run.id), queries.attempts(store, run.id)
    unjudged = name_unjudged(Outcome.from_plain(run.outcome).unjudged) if run.outcome else ""
    found = []
    for one in checkpoints(store, run.id):
        own = [incident for incident in incidents if not incident.superseded or incident.attempt >= one.attempt]
        later = [other.attempt for other in attempts if other.attempt > one.attempt and (other.first_step or math.inf) <= one.step]
        verdict = judge_checkpoint(one, own, run.last_step or 0, unjudged=unjudged, has_ended=run.state == "finished")
        if verdict.quality is not Quality.BAD and one.verdict.reason.startswith(NOT_JUDGED):
            verdict = one.verdict
        if verdict.quality is Quality.GOOD and later:
            verdict = CheckpointVerdict(Quality.UNKNOWN, f"attempt {later[0]} went back to before it")
        found.append(replace(one, verdict=verdict))
    return found


def find_by_content(store: Store, sha256: str) -> list[tuple[str, int]]:
    """Return the run and the step of the checkpoints with these states, the newest first."""
    query = select(_CHECKPOINT.c.run_id, _CHECKPOINT.c.step).where(_CHECKPOINT.c.sha256 == sha256).order_by(_CHECKPOINT.c.id.desc())
    with store.read() as connection:
        return [(str(row.run_id), int(row.step)) for row in connection.execute(query)]


def history(store: Store, checkpoint: SavedCheckpoint, run: str) -> Iterable[CheckpointVerdict]:
    """Return all verdicts on a checkpoint, oldest first."""
    query = select(_VERDICT.c.quality, _VERDICT.c.reason, _VERDICT.c.incident_id.label("incident")).join(
        _CHECKPOINT, _VERDICT.c.checkpoint_id == _CHECKPOINT.c.id
    )
    same = _CHECKPOINT.c.run_id == run, _CHECKPOINT.c.path == checkpoint.path, _CHECKPOINT.c.sha256 == checkpoint.sha256
    with store.read() as connection:
        rows = connection.execute(query.where(*same).order_by(_VERDICT.c.id)).mappings()
        return [read_row(CheckpointVerdict, "checkpoint_verdict", row, dict) for row in rows]


def _to_checkpoint(row: RowMapping) -> SavedCheckpoint:
    of_verdict = {"quality": row["quality"], "reason": row["reason"], "incident": row["incident_id"]}
    verdict = read_row(CheckpointVerdict, "checkpoint_verdict", row, lambda _: of_verdict)
    names = ("path", "step", "sha256", "size", "created", "fault")
    found = read_row(SavedCheckpoint, "checkpoint", row, lambda cells: {name: cells[name] for name in names})
    extras = row["extras"] if isinstance(row["extras"], dict) else {}
    nonfinite, stale = (tuple(map(str, extras.get(name, ()))) for name in ("nonfinite", "stale"))
    unread, is_removed = str(extras.get("unread", "")), row["removed"] is not None
    found = replace(found, nonfinite=nonfinite, stale=stale, unread=unread)
    return replace(found, is_removed=is_removed, attempt=row["attempt"], verdict=verdict)
