"""A run of the store as a recording."""

from __future__ import annotations

from collections.abc import Iterator

from ganwatch.recordings.recording import Recording, of_readings


def read_stored(address: str, run: str) -> Iterator[Recording]:
    """A run with all its readings, the last attempt winning; its id is the recording's name.

    Parameters
    ----------
    address : str
        Of the store: a folder, an SQLite file or a SQLAlchemy URL.
    run : str
        Id, beginning of one, name, or ``latest``.

    Raises
    ------
    UserError
        The store cannot be opened, or no run of it is meant.
    """
    from ganwatch.store import queries
    from ganwatch.store.database import open_store
    from ganwatch.store.series import series, series_names

    rows: dict[int, dict[str, float]] = {}
    with open_store(address, create=False) as store:
        meant = queries.find_run(store, run)
        for name in series_names(store, meant.id):
            for step, value in zip(*(column.tolist() for column in series(store, meant.id, name)), strict=True):
                rows.setdefault(step, {})[name] = value
    yield of_readings(meant.id, rows, {"name": meant.name})
