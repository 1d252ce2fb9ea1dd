"""Sources of recordings: files, folders and runs of a store, as functions that can be called in another process."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

from ganwatch.core.errors import UserError, show_value
from ganwatch.core.files import exists, is_folder
from ganwatch.recordings.events import event_runs, is_event_file, read_events
from ganwatch.recordings.parquet import count_recordings, read_recordings
from ganwatch.recordings.recording import Recording
from ganwatch.recordings.store_runs import find_store_run, list_store_runs, read_store_run
from ganwatch.recordings.table import read_csv
from ganwatch.store.places import SQLITE_FILE, SQLITE_SUFFIXES

Source = Callable[[], Iterator[Recording]]
"""Function that reads some recordings."""

RUNS_PER_SOURCE = 20
"""Runs of a Parquet file that one source reads."""
SOURCE_FORMS = "a store, a Parquet file of recordings, a CSV, or a folder of these or of TensorBoard's event files"
"""Forms of a source, for error messages."""


def open_sources(texts: Sequence[str], *, names: Mapping[str, str] | None = None, store: str | None = None) -> list[Source]:
    """Return the sources of some texts, in their order.

    Parameters
    ----------
    texts : sequence of str
        Files and folders; a store stands for all its runs with readings. With ``store`` also runs.
    names : mapping of str to str, optional
        Names of series in ganwatch by their name in the source, for runs that ganwatch did not record.
    store : str or None
        Address of a store. A text that is not a path is then a run of it.

    Raises
    ------
    UserError
        A text is none of these, or the store cannot be opened or has no such run.
    """
    sources: list[Source] = []
    for text in texts:
        path = Path(text)
        if is_folder(path):
            added = _folder_sources(path, names or {})
            if not added:
                raise UserError(f"SOURCE must be {SOURCE_FORMS}, got a folder without any: {show_value(text)}")
        elif exists(path):
            added = _store_sources(path) if path.suffix in SQLITE_SUFFIXES else _file_sources(path, names or {})
            if not added:
                raise UserError(f"SOURCE must be {SOURCE_FORMS}, got {show_value(text)}")
        elif store is not None:
            added = [partial(read_store_run, store, find_store_run(store, text))]
        else:
            raise UserError(f"SOURCE must be {SOURCE_FORMS}, or with --store a run, got {show_value(text)}")
        sources += added
    return sources


def _folder_sources(path: Path, names: Mapping[str, str]) -> list[Source]:
    sources = _store_sources(path) if (path / SQLITE_FILE).is_file() else []
    for file in sorted(path.iterdir()):
        if not is_event_file(file):
            sources += _file_sources(file, names)
    runs = event_runs(path)
    return sources + [partial(read_events, run, names, run.name if run == path else run.relative_to(path).as_posix()) for run in runs]


def _store_sources(path: Path) -> list[Source]:
    return [partial(read_store_run, str(path), run) for run in list_store_runs(str(path))]


def _file_sources(path: Path, names: Mapping[str, str]) -> list[Source]:
    if path.suffix == ".parquet":
        runs = count_recordings(path)
        starts = range(0, runs, RUNS_PER_SOURCE)
        return [partial(read_recordings, path, range(start, min(start + RUNS_PER_SOURCE, runs))) for start in starts]
    if path.suffix == ".csv":
        return [partial(read_csv, path, names)]
    return [partial(read_events, path, names)] if is_event_file(path) else []
