"""A run as CSV: wide, a column ``step`` and one for each series, or long, the columns ``step``, ``series`` and ``value``."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Mapping
from pathlib import Path

from ganwatch.core.errors import UserError
from ganwatch.recordings.names import imported, known
from ganwatch.recordings.recording import Recording


def read_csv(path: str | Path, names: Mapping[str, str]) -> Iterator[Recording]:
    """The one run of a file. An empty cell was not measured; of two values of one step the later row has the last word.

    Parameters
    ----------
    path : str or Path
    names : mapping of str to str
        Their name to ours, for columns and series. What has no name of ours then is left out and listed under ``unused`` in the facts.

    Raises
    ------
    UserError
        The file cannot be read, has no column ``step``, holds something else than numbers, or no series that ganwatch knows.
    """
    path = Path(path)
    rows: dict[int, dict[str, float]] = {}
    unused: set[str] = set()
    for step, series, value in _cells(path, names):
        if known(series):
            rows.setdefault(step, {})[series] = _number(value, path, series)
        else:
            unused.add(series)
    yield imported(path.stem, rows, unused, path)


def _cells(path: Path, names: Mapping[str, str]) -> Iterator[tuple[int, str, str]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = csv.reader(file)
            head = [names.get(column.strip(), column.strip()) for column in next(rows, [])]
            if head.count("step") != 1:
                raise UserError(f"a CSV needs one column 'step' (--map THEIRS=step names it), got the columns {', '.join(head)} in {path}")
            at, long = head.index("step"), set(head) >= {"series", "value"}
            for cells in filter(None, rows):
                if len(cells) != len(head):
                    raise UserError(f"a row must have as many cells as the head ({len(head)}), got {len(cells)} in {path}:{rows.line_num}")
                step = _step(cells[at], f"{path}:{rows.line_num}")
                if long:
                    series = cells[head.index("series")]
                    yield step, names.get(series, series), cells[head.index("value")]
                else:
                    filled = ((series, value) for series, value in zip(head, cells, strict=True) if series != "step" and value.strip())
                    yield from ((step, *one) for one in filled)
    except (OSError, UnicodeError, csv.Error) as error:
        raise UserError(f"SOURCE must be a CSV that can be read, got {str(path)!r}: {error}") from error


def _step(text: str, where: str) -> int:
    try:
        step = float(text)
    except ValueError:
        step = math.nan
    if not step.is_integer() or step < 0:
        raise UserError(f"step must be a whole number >= 0, got {text!r} in {where}")
    return int(step)


def _number(text: str, path: Path, series: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise UserError(f"{series} must be a number, NaN, inf or empty, got {text!r} in {path}") from None
