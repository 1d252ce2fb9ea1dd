"""Claims on attempts at a run. The database decides, so that two processes that start at once never get the same attempt."""

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
from ganwatch.store.queries import unfinished
from ganwatch.store.strict_json import encode
from ganwatch.store.writer import process_identity

_RUN, _ATTEMPT = tables.table(tables.RunRow), tables.table(tables.AttemptRow)
_MAX_CLAIMS = 20


def claim_attempt(store: Store, run: Run, *, resumed: str | None = None) -> Run:
    """Reserve an attempt for this process: the next one at an earlier run, or the first one at a new run.

    The run is in the store from here on, so that a process that is killed in its first seconds leaves a trace.

    Parameters
    ----------
    store : Store
    run : Run
        The run as a new one.
    resumed : str or None
        Id of the run to resume. None resumes the run of the same fingerprint that never ended and whose process is gone.

    Returns
    -------
    Run
        The run with an id and attempt that no other process has; ``run`` itself if there is none to resume.

    Raises
    ------
    UserError
        The store cannot be written.
    """
    for _ in range(_MAX_CLAIMS):
        try:
            with store.begin() as connection:
                if resumed is not None:
                    following = replace(run, id=resumed, attempt=_last_attempt(connection, resumed) + 1)
                    return _insert_attempt(connection, following, store.artifact_root)
                dead = unfinished(connection, str(run.provenance.get("fingerprint")))
                if dead is None:
                    return _insert_attempt(connection, run, store.artifact_root)
                return _insert_attempt(connection, replace(run, id=dead.run, attempt=dead.attempt + 1), store.artifact_root)
        except IntegrityError:  # another process was faster; SQLite admits one writer at a time, other databases do not
            continue
        except SQLAlchemyError as error:
            raise UserError(f"store must be writable, got {type(error).__name__}: {str(error).splitlines()[0]}") from None
    raise UserError(
        f"store must grant an attempt at run {resumed or run.name!r}, got {_MAX_CLAIMS} refusals: are many processes starting it?"
    )


def release_attempt(store: Store, run: Run) -> None:
    """Undo the claim on an attempt that does not start. Deletes the run too if it has no other attempt."""
    with store.begin() as connection:
        connection.execute(_ATTEMPT.delete().where(_ATTEMPT.c.run_id == run.id, _ATTEMPT.c.attempt == run.attempt))
        others = select(_ATTEMPT.c.attempt).where(_ATTEMPT.c.run_id == run.id)
        if connection.execute(others).first() is None:
            connection.execute(_RUN.delete().where(_RUN.c.id == run.id))


def _last_attempt(connection: Connection, run: str) -> int:
    return connection.execute(select(func.max(_ATTEMPT.c.attempt)).where(_ATTEMPT.c.run_id == run)).scalar() or 0


def _insert_attempt(connection: Connection, run: Run, artifact_root: str | None) -> Run:
    status: dict[str, Any] = {"state": "running", "started": run.started, "heartbeat": time.time(), "provenance": encode(run.provenance)}
    if connection.execute(select(_RUN.c.id).where(_RUN.c.id == run.id)).first() is None:
        facts = {"name": run.name, "fingerprint": run.provenance.get("fingerprint"), "artifact_root": artifact_root}
        connection.execute(_RUN.insert(), {"id": run.id, **facts, **status})
    connection.execute(_ATTEMPT.insert(), {"run_id": run.id, "attempt": run.attempt, **process_identity(), **status})
    return run
