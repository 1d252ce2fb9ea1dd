"""A run as TensorBoard has it: the scalars in the event files of a folder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ganwatch.core.errors import UserError
from ganwatch.recordings.names import imported, known
from ganwatch.recordings.recording import Recording


def is_event_file(path: Path) -> bool:
    """Whether TensorBoard would read it."""
    return "tfevents" in path.name and path.is_file()


def event_runs(folder: Path) -> list[Path]:
    """The folders in which runs were logged. One with event files is a run, together with what lies below it."""
    inside = sorted(folder.iterdir())
    if any(map(is_event_file, inside)):
        return [folder]
    return [run for below in inside if below.is_dir() for run in event_runs(below)]


def read_events(path: str | Path, names: Mapping[str, str], name: str | None = None) -> Iterator[Recording]:
    """The one run of a folder or an event file.

    A tag that was logged in a folder below, as by ``add_scalars``, is called ``folder/tag``. Where a tag goes back to an earlier step,
    as after a restart, it begins anew from there.

    Parameters
    ----------
    path : str or Path
    names : mapping of str to str
        Their tag to our series. What has no name of ours then is left out and listed under ``unused`` in the facts.
    name : str or None
        Of the recording, by default that of the folder.

    Raises
    ------
    UserError
        tensorboard is not installed, or no tag is a series that ganwatch knows.
    """
    path = Path(path)
    series: dict[str, list[tuple[int, float]]] = {}
    unused: set[str] = set()
    for tag, step, value in _scalars(path):
        ours = names.get(tag, tag)
        if not known(ours):
            unused.add(ours)
            continue
        points = series.setdefault(ours, [])
        while points and points[-1][0] >= step:
            points.pop()
        points.append((step, value))
    rows: dict[int, dict[str, float]] = {}
    for ours, points in series.items():
        for step, value in points:
            rows.setdefault(step, {})[ours] = value
    yield imported(name or path.name, rows, unused, path)


def _scalars(path: Path) -> Iterator[tuple[str, int, float]]:
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
