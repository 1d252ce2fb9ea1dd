"""Runs logged for TensorBoard: the scalars in the event files of a folder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ganwatch.core.errors import UserError
from ganwatch.recordings.recording import Recording
from ganwatch.recordings.series_names import create_recording, is_series


def is_event_file(path: Path) -> bool:
    """Return True if the file is one of TensorBoard's event files."""
    return "tfevents" in path.name and path.is_file()


def event_runs(folder: Path) -> list[Path]:
    """Return the folders of the runs below a folder. A folder with event files is a run, together with all folders below it."""
    inside = sorted(folder.iterdir())
    if any(map(is_event_file, inside)):
        return [folder]
    return [run for below in inside if below.is_dir() for run in event_runs(below)]


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
        tensorboard is not installed, or no tag is a series of ganwatch.
    """
    path = Path(path)
    points_by_series: dict[str, list[tuple[int, float]]] = {}
    unused: set[str] = set()
    for tag, step, value in _read_scalars(path):
        series = names.get(tag, tag)
        if not is_series(series):
            unused.add(series)
            continue
        points = points_by_series.setdefault(series, [])
        while points and points[-1][0] >= step:
            points.pop()
        points.append((step, value))
    rows: dict[int, dict[str, float]] = {}
    for series, points in points_by_series.items():
        for step, value in points:
            rows.setdefault(step, {})[series] = value
    yield create_recording(name or path.name, rows, unused, path)


def _read_scalars(path: Path) -> Iterator[tuple[str, int, float]]:
    try:
        from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
        from tensorboard.util.tensor_util import make_ndarray
    except ModuleNotFoundError as error:
        raise UserError('event files need tensorboard, which is not installed: pip install "ganwatch[tensorboard]"') from error
    for file in filter(is_event_file, sorted(path.rglob("*"))) if path.is_dir() else [path]:
        below = file.parent.relative_to(path).as_posix() if path.is_dir() else "."
        scalars: set[str] = set()
        for event in EventFileLoader(str(file)).Load():
            for value in event.summary.value:
                if _plugin(value) == "scalars":
                    scalars.add(value.tag)
                if value.tag in scalars and value.HasField("tensor"):
                    yield value.tag if below == "." else f"{below}/{value.tag}", event.step, float(make_ndarray(value.tensor).item())


def _plugin(value: Any) -> str:
    return str(value.metadata.plugin_data.plugin_name)
