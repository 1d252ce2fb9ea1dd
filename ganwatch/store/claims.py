"""Who makes which attempt at a run: decided by the database, so that two starts at one instant never take the same."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, func, select
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from ganwatch.core.errors import UserError
from ganwatch.core.readings import Run
from ganwatch.store import tables
from ganwatch.store.database import Store
from ganwatch.store.plain import encode
from ganwatch.store.queries import unfinished
from ganwatch.store.writer import process_facts

_RUN, _ATTEMPT = tables.table(tables.Run), tables.table(tables.Attempt)
_TRIES = 20


def claim(store: Store, run: Run, *, resumed: str | None = None) -> Run:
    """Write the next attempt at an earlier run down as one's own.

    Parameters
    ----------
    store : Store
    run : Run
        As a new run.
    resumed : str or None
        Id of the run to go on with. None goes on with the one of the same fingerprint that never ended and whose process is gone.

    Returns
    -------
    Run
        With the id and attempt that nobody else has; unchanged, and nothing is written, where there is nothing to go on with.

    Raises
    ------
    UserError
        The store cannot be written.
    """
    for _ in range(_TRIES):
        try:
            with store.begin() as connection:
                if resumed is not None:
                    return _take(connection, replace(run, id=resumed, attempt=_last_attempt(connection, resumed) + 1), store.artifact_root)
                gone = unfinished(connection, str(run.provenance.get("fingerprint")))
                if gone is None:
                    return run
                return _take(connection, replace(run, id=gone.run, attempt=gone.attempt + 1), store.artifact_root)
        except IntegrityError:  # somebody else was quicker; SQLite lets one in at a time, other databases do not
            continue
        except SQLAlchemyError as error:
            raise UserError(f"store must be writable, got {type(error).__name__}: {str(error).splitlines()[0]}") from None
    raise UserError(f"store must grant an attempt at run {resumed or run.name!r}, got {_TRIES} refusals: are many processes starting it?")


def release(store: Store, run: Run) -> None:
    """Take back a claim on an attempt that will not be made."""
    with store.begin() as connection:
        connection.execute(_ATTEMPT.delete().where(_ATTEMPT.c.run_id == run.id, _ATTEMPT.c.attempt == run.attempt))
        others = select(_ATTEMPT.c.attempt).where(_ATTEMPT.c.run_id == run.id)
        if connection.execute(others).first() is None:
            connection.execute(_RUN.delete().where(_RUN.c.id == run.id))


def _last_attempt(connection: Connection, run: str) -> int:
    return connection.execute(select(func.max(_ATTEMPT.c.attempt)).where(_ATTEMPT.c.run_id == run)).scalar() or 0


def _take(connection: Connection, run: Run, artifact_root: str | None) -> Run:
    life: dict[str, Any] = {"state": "running", "started": run.started, "heartbeat": time.time(), "provenance": encode(run.provenance)}
    if connection.execute(select(_RUN.c.id).where(_RUN.c.id == run.id)).first() is None:
        facts = {"name": run.name, "fingerprint": run.provenance.get("fingerprint"), "artifact_root": artifact_root}
        connection.execute(_RUN.insert(), {"id": run.id, **facts, **life})
    connection.execute(_ATTEMPT.insert(), {"run_id": run.id, "attempt": run.attempt, **process_facts(), **life})
    return run
