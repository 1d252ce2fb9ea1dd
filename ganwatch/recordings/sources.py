"""Where recordings come from: whatever a person names, as functions that give them and can be called in another process."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

from ganwatch.core.errors import UserError
from ganwatch.recordings.events import event_runs, is_event_file, read_events
from ganwatch.recordings.parquet import count_recordings, read_recordings
from ganwatch.recordings.recording import Recording
from ganwatch.recordings.stored import read_stored
from ganwatch.recordings.table import read_csv

Source = Callable[[], Iterator[Recording]]

AT_ONCE = 20
"""Runs of a Parquet file that one call gives."""
KINDS = "a Parquet file of recordings, a CSV, or a folder of these or of TensorBoard's event files"


def open_sources(given: Sequence[str], *, names: Mapping[str, str] | None = None, store: str | None = None) -> list[Source]:
    """Functions that read what is given, in its order.

    Parameters
    ----------
    given : sequence of str
        Files and folders; with ``store`` also its runs.
    names : mapping of str to str, optional
        Their series to ours, for what was not recorded by ganwatch.
    store : str or None
        Address of a store in which texts that are no path are runs.

    Raises
    ------
    UserError
        Something is neither.
    """
    sources: list[Source] = []
    for text in given:
        path = Path(text)
        if path.is_dir():
            found = _folder(path, names or {})
            if not found:
                raise UserError(f"SOURCE must be {KINDS}, got a folder without any: {text!r}")
        elif path.exists():
            found = _file(path, names or {})
            if not found:
                raise UserError(f"SOURCE must be {KINDS}, got {text!r}")
        elif store is not None:
            found = [partial(read_stored, store, text)]
        else:
            raise UserError(f"SOURCE must be {KINDS}, or with --store a run, got {text!r}")
        sources += found
    return sources


def _folder(path: Path, names: Mapping[str, str]) -> list[Source]:
    found = [source for file in sorted(path.iterdir()) if not is_event_file(file) for source in _file(file, names)]
    runs = event_runs(path)
    return found + [partial(read_events, run, names, run.name if run == path else run.relative_to(path).as_posix()) for run in runs]


def _file(path: Path, names: Mapping[str, str]) -> list[Source]:
    if path.suffix == ".parquet":
        runs = count_recordings(path)
        return [partial(read_recordings, path, range(start, min(start + AT_ONCE, runs))) for start in range(0, runs, AT_ONCE)]
    if path.suffix == ".csv":
        return [partial(read_csv, path, names)]
    return [partial(read_events, path, names)] if is_event_file(path) else []
