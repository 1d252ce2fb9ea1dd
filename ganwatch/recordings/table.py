"""Runs as CSV: wide, with a column ``step`` and one per series, or long, with the columns ``step``, ``series`` and ``value``."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

from ganwatch.core.errors import UserError, show_names, show_value
from ganwatch.core.files import open_regular
from ganwatch.core.readings import MAX_STEP
from ganwatch.recordings.recording import Recording, Rows
from ganwatch.recordings.series_names import check_value, create_recording, is_series

MAX_LINE = 2**22
"""Longest line, in characters."""


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
        The file cannot be read, has no column ``step`` or two of one name, holds values that are not numbers or out of the range of
        their signal, or has no series of ganwatch.
    """
    path = Path(path)
    rows, unused = Rows(), set[str]()
    try:
        with open_regular(path, "SOURCE") as file, io.TextIOWrapper(file, encoding="utf-8-sig", newline="") as lines:
            for place, step, series, value in _read_cells(_bound_lines(lines), names, path):
                if is_series(series):
                    _add(rows, place, step, series, value)
                else:
                    unused.add(series)
    except (OSError, UnicodeError, csv.Error) as error:
        raise UserError(f"SOURCE must be a CSV that can be read, got {str(path)!r}: {error}") from error
    yield create_recording(path.stem, rows, unused, path)


def _bound_lines(file: io.TextIOWrapper) -> Iterator[str]:
    while line := file.readline(MAX_LINE + 1):
        if len(line) > MAX_LINE:
            raise csv.Error(f"a line has more than {MAX_LINE:,} characters")
        yield line


def _read_cells(lines: Iterator[str], names: Mapping[str, str], path: Path) -> Iterator[tuple[str, str, str, str]]:
    """Yield place, step, series and value of each cell that is not empty."""
    rows = csv.reader(lines)
    head = [names.get(column.strip(), column.strip()) for column in next(rows, [])]
    if head.count("step") != 1:
        raise UserError(f"a CSV needs one column 'step' (--map THEIRS=step names it), got the columns {show_names(head)} in {path}")
    if repeated := sorted(column for column, count in Counter(head).items() if column and count > 1):
        raise UserError(f"a CSV must have different columns, got several named {show_names(repeated)} in {path}")
    step_index, is_long = head.index("step"), set(head) >= {"series", "value"}
    for cells in filter(None, rows):
        place = f"{path}:{rows.line_num}"
        if len(cells) != len(head):
            raise UserError(f"a row must have as many cells as the head ({len(head)}), got {len(cells)} in {place}")
        step = cells[step_index]
        if is_long:
            series = cells[head.index("series")]
            yield place, step, names.get(series, series), cells[head.index("value")]
        else:
            filled = ((series, value) for series, value in zip(head, cells, strict=True) if series != "step" and value.strip())
            yield from ((place, step, *one) for one in filled)


def _add(rows: Rows, place: str, step: str, series: str, value: str) -> None:
    number, reading = _parse_number(step), _parse_number(value)
    if reading is None:
        raise UserError(f"{series} must be a number, NaN, inf or empty, got {show_value(value)} in {place}")
    check_value(series, reading, place)
    if number is None or not number.is_integer() or not 0 <= number <= MAX_STEP:
        raise UserError(f"step must be a whole number in 0…{MAX_STEP:,}, got {show_value(step)} in {place}")
    rows.add(int(number), series, reading)


def _parse_number(text: str) -> float | None:
    """Return the number that a text of ASCII digits spells, or None."""
    try:
        return float(text) if text.isascii() and "_" not in text else None
    except ValueError:
        return None
