"""Runs logged for TensorBoard: the scalars in the event files of a folder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from ganwatch.core.errors import show_value
from ganwatch.core.files import walk_files
from ganwatch.recordings.event_files import EventFile
from ganwatch.recordings.recording import Recording, Rows
from ganwatch.recordings.series_names import check_value, create_recording, is_series


def is_event_file(path: Path) -> bool:
    """Return True if the file is one of TensorBoard's event files."""
    return "tfevents" in path.name and path.is_file()


def event_runs(folder: Path) -> list[Path]:
    """Return the folders of the runs below a folder. A folder with event files is a run, together with all folders below it."""
    runs: dict[Path, None] = {}
    for parent in sorted({file.parent for file in walk_files(folder, "SOURCE") if is_event_file(file)}):
        if not any(above in runs for above in parent.parents):
            runs[parent] = None
    return list(runs)


def read_events(path: str | Path, names: Mapping[str, str], name: str | None = None) -> Iterator[Recording]:
    """Read the one run of a folder or an event file.

    A tag that was logged in a folder below, as by ``add_scalars``, becomes ``folder/tag``. If a tag goes back to an earlier step, as
    after a restart, the later values replace the earlier ones from there.

    Parameters
    ----------
    path : str or Path
    names : mapping of str to str
        Series of ganwatch by tag. Tags without a series are left out and listed under ``unused`` in the facts.
    name : str or None
        Name of the recording, by default that of the folder.

    Raises
    ------
    UserError
        tensorboard is not installed, a file cannot be read, a value is out of the range of its signal, or no tag is a series of
        ganwatch.
    """
    path = Path(path)
    points_by_series: dict[str, list[tuple[int, float]]] = {}
    unused: set[str] = set()
    damage: list[str] = []
    for tag, step, value in _read_scalars(path, damage):
        series = names.get(tag, tag)
        if not is_series(series):
            unused.add(series)
            continue
        check_value(series, value, f"{path}, tag {show_value(tag)}, step {step:,}")
        points = points_by_series.setdefault(series, [])
        while points and points[-1][0] >= step:
            points.pop()
        points.append((step, value))
    rows = Rows()
    for series, points in points_by_series.items():
        for step, value in points:
            rows.add(step, series, value)
    read = f"; the rest was read: {len(rows):,} steps"
    yield create_recording(name or path.name, rows, unused, path, [line + read for line in damage])


def _read_scalars(path: Path, damage: list[str]) -> Iterator[tuple[str, int, float]]:
    for file in filter(is_event_file, walk_files(path, "SOURCE")) if path.is_dir() else [path]:
        below = file.parent.relative_to(path).as_posix() if path.is_dir() else "."
        events = EventFile(file)
        for tag, step, value in events.scalars():
            yield tag if below == "." else f"{below}/{tag}", step, value
        if events.damage:
            more = f", and {len(events.damage) - 1:,} more" * (len(events.damage) > 1)
            damage.append(f"{file} {events.damage[0]}{more}")
