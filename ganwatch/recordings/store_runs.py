"""Runs of the store as recordings."""

from __future__ import annotations

from collections.abc import Iterator

from ganwatch.core.errors import UserError
from ganwatch.recordings.recording import Recording, Rows


def list_store_runs(address: str) -> list[str]:
    """Return the ids of the runs with readings, the oldest first.

    Raises
    ------
    UserError
        The store cannot be opened, or no run has readings.
    """
    from ganwatch.store import queries
    from ganwatch.store.database import open_store
    from ganwatch.store.series import series_names

    with open_store(address, create=False) as store:
        known = queries.runs(store)
        with_readings = [record.id for record in reversed(known) if series_names(store, record.id)]
    if not with_readings:
        raise UserError(f"SOURCE must be a store with a run that has readings, got {address!r} with {len(known)} runs without any")
    return with_readings


def find_store_run(address: str, run: str) -> str:
    """Return the id of the run that an id or its beginning, a name or ``latest`` names.

    Raises
    ------
    UserError
        The store cannot be opened, or it has no such run.
    """
    from ganwatch.store import queries
    from ganwatch.store.database import open_store

    with open_store(address, create=False) as store:
        return queries.find_run(store, run).id


def read_store_run(address: str, run: str) -> Iterator[Recording]:
    """Read a run with all its readings. If attempts overlap, the last one counts.

    The run's id is the recording's name; the facts have the run's own ``name``.

    Parameters
    ----------
    address : str
        Address of the store: a folder, an SQLite file or a SQLAlchemy URL.
    run : str
        Its id.

    Raises
    ------
    UserError
        The store cannot be opened, or it has no such run.
    """
    from ganwatch.store import queries
    from ganwatch.store.database import open_store
    from ganwatch.store.series import series, series_names

    rows = Rows()
    with open_store(address, create=False) as store:
        record = queries.run(store, run)
        for name in series_names(store, record.id):
            for step, value in zip(*(column.tolist() for column in series(store, record.id, name)), strict=True):
                rows.add(step, name, value)
    yield rows.to_recording(record.id, {"name": record.name})
