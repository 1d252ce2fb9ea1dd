"""Runs as CSV: wide, with a column ``step`` and one per series, or long, with the columns ``step``, ``series`` and ``value``."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Mapping
from pathlib import Path

from ganwatch.core.errors import UserError
from ganwatch.recordings.recording import Recording
from ganwatch.recordings.series_names import create_recording, is_series


def read_csv(path: str | Path, names: Mapping[str, str]) -> Iterator[Recording]:
    """Read the one run of a file. An empty cell is no reading. If two rows have values for one step, the later one counts.

    Parameters
    ----------
    path : str or Path
    names : mapping of str to str
        Names of columns and series in ganwatch by their name in the file. Others are left out and listed under ``unused`` in the facts.

    Raises
    ------
    UserError
        The file cannot be read, has no column ``step``, holds values that are not numbers, or has no series of ganwatch.
    """
    path = Path(path)
    rows: dict[int, dict[str, float]] = {}
    unused: set[str] = set()
    for step, series, value in _read_cells(path, names):
        if is_series(series):
            rows.setdefault(step, {})[series] = _parse_number(value, path, series)
        else:
            unused.add(series)
    yield create_recording(path.stem, rows, unused, path)


def _read_cells(path: Path, names: Mapping[str, str]) -> Iterator[tuple[int, str, str]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = csv.reader(file)
            head = [names.get(column.strip(), column.strip()) for column in next(rows, [])]
            if head.count("step") != 1:
                raise UserError(f"a CSV needs one column 'step' (--map THEIRS=step names it), got the columns {', '.join(head)} in {path}")
            step_index, is_long = head.index("step"), set(head) >= {"series", "value"}
            for cells in filter(None, rows):
                if len(cells) != len(head):
                    raise UserError(f"a row must have as many cells as the head ({len(head)}), got {len(cells)} in {path}:{rows.line_num}")
                step = _parse_step(cells[step_index], f"{path}:{rows.line_num}")
                if is_long:
                    series = cells[head.index("series")]
                    yield step, names.get(series, series), cells[head.index("value")]
                else:
                    filled = ((series, value) for series, value in zip(head, cells, strict=True) if series != "step" and value.strip())
                    yield from ((step, *one) for one in filled)
    except (OSError, UnicodeError, csv.Error) as error:
        raise UserError(f"SOURCE must be a CSV that can be read, got {str(path)!r}: {error}") from error


def _parse_step(text: str, where: str) -> int:
    try:
        step = float(text)
    except ValueError:
        step = math.nan
    if not step.is_integer() or step < 0:
        raise UserError(f"step must be a whole number >= 0, got {text!r} in {where}")
    return int(step)


def _parse_number(text: str, path: Path, series: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise UserError(f"{series} must be a number, NaN, inf or empty, got {text!r} in {path}") from None
