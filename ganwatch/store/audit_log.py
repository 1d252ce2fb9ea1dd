"""The append-only audit log: who or what did what, and why. Needs no torch."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, RowMapping, func, select

from ganwatch.store import tables
from ganwatch.store.database import Store
from ganwatch.store.rows import read_row
from ganwatch.store.strict_json import encode

DRIFT_CHECKED, GENERATOR_ACCEPTED = "drift checked", "generator accepted"
"""Actions on a run. ``ganwatch.drift.record`` writes the details of the second."""
DRIFT_ACTOR = "ganwatch drift"
"""Actor of both."""
_AUDIT = tables.table(tables.AuditRow)


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One entry. ``subject`` is the id of what it is about, such as a run, and ``created`` is in Unix seconds."""

    created: float
    actor: str
    action: str
    subject: str
    detail: Mapping[str, Any]


def append_entry(store: Store, actor: str, action: str, subject: str, detail: Mapping[str, Any]) -> None:
    """Write an entry in a transaction of its own."""
    with store.begin() as connection:
        insert_entry(connection, actor, action, subject, detail)


def insert_entry(connection: Connection, actor: str, action: str, subject: str, detail: Mapping[str, Any]) -> None:
    """Write an entry in the transaction of what it is about."""
    row = {"created": time.time(), "actor": actor, "action": action, "subject": subject}
    connection.execute(_AUDIT.insert(), row | {"detail": encode(detail)})


def append_drift_check(store: Store, run: str, verdict: Mapping[str, Any], *, report: str | None = None) -> None:
    """Write the verdict of a drift check of a run; ``report`` is the path of the HTML file."""
    append_entry(store, DRIFT_ACTOR, DRIFT_CHECKED, run, {**verdict, "report": report})


def read_entries(store: Store, action: str, subject: str) -> list[AuditEntry]:
    """Return the entries of one action on one subject, oldest first."""
    return read_history(store, subject, (action,))


def read_history(store: Store, subject: str, actions: Collection[str]) -> list[AuditEntry]:
    """Return the entries of some actions on one subject, oldest first."""
    query = select(_AUDIT).where(_AUDIT.c.action.in_(actions), _AUDIT.c.subject == subject)
    with store.read() as connection:
        return [_to_entry(row) for row in connection.execute(query.order_by(_AUDIT.c.id)).mappings()]


def latest_entries(store: Store, action: str) -> dict[str, AuditEntry]:
    """Return the last entry of one action on each subject, newest first."""
    last = select(func.max(_AUDIT.c.id)).where(_AUDIT.c.action == action).group_by(_AUDIT.c.subject)
    with store.read() as connection:
        rows = connection.execute(select(_AUDIT).where(_AUDIT.c.id.in_(last)).order_by(_AUDIT.c.id.desc())).mappings()
        return {entry.subject: entry for entry in map(_to_entry, rows)}


def _to_entry(row: RowMapping) -> AuditEntry:
    return read_row(AuditEntry, "audit", row, lambda cells: {name: value for name, value in cells.items() if name != "id"})
