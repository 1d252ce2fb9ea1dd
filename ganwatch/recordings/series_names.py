"""Names of series in runs that were recorded elsewhere, and their names in ganwatch."""

from __future__ import annotations

import difflib
import math
from collections.abc import Collection, Sequence
from pathlib import Path

from ganwatch.core.errors import MAX_SHOWN, UserError, show_names, show_value
from ganwatch.core.files import read_toml
from ganwatch.core.signals import catalogue, find_signal
from ganwatch.recordings.recording import DamagedSourceError, Recording, Rows

RELATIVE_ROUNDING = 1e-6
"""Rounding of a value by which it may exceed the range of its signal."""
COLUMNS = ("step", "series", "value")
"""Names of the columns of a table that are not series."""


def read_series_names(pairs: Sequence[str] = (), file: str | Path | None = None) -> dict[str, str]:
    """Read names of series in ganwatch by their name elsewhere, from ``theirs=ours`` texts and a TOML file. A text overrides the file.

    Raises
    ------
    UserError
        The file cannot be read, or a name is not a series of the catalogue.

    Examples
    --------
    >>> read_series_names(["errG=loss/g", "global_step=step"])
    {'errG': 'loss/g', 'global_step': 'step'}
    """
    names = _read_file(file) if file is not None else {}
    for pair in pairs:
        theirs, equals, ours = pair.rpartition("=")
        if not (theirs and equals and ours):
            raise UserError(f"--map must be THEIRS=OURS, such as errG=loss/g, got {show_value(pair)}")
        names[theirs] = ours
    for theirs, ours in names.items():
        if ours not in COLUMNS and not is_series(ours):
            rule = f"--map must give {show_value(theirs)} the name of a series of ganwatch, such as loss/g"
            raise UserError(f"{rule}, got {show_value(ours)}{_suggest(ours)}")
    return names


def is_series(series: str) -> bool:
    """Return True if the catalogue has the series, with a label if its family has one.

    >>> is_series("loss/g"), is_series("loss"), is_series("d_auc"), is_series("d_auc/g"), is_series("errG")
    (True, False, True, False, False)
    """
    signal = find_signal(series)
    return signal is not None and bool(signal.label) == ("/" in series)


def check_value(series: str, value: float, place: str) -> None:
    """Raise a UserError if a signal cannot have a value; a value that is not finite is possible.

    >>> check_value("d_auc", 1.0, "runs.csv:2")
    >>> check_value("d_auc", 1.5, "runs.csv:3")
    Traceback (most recent call last):
    ganwatch.core.errors.UserError: d_auc must be in 0…1, got 1.5 in runs.csv:3
    """
    signal = find_signal(series)
    if signal is None or not math.isfinite(value):
        return
    tolerance = RELATIVE_ROUNDING * max(1.0, abs(value))
    if not signal.low - tolerance <= value <= signal.high + tolerance:
        allowed = f"in {signal.low:g}…{signal.high:g}" if math.isfinite(signal.high) else f">= {signal.low:g}"
        raise UserError(f"{series} must be {allowed}, got {value:g} in {place}")


def create_recording(name: str, rows: Rows, unused: Collection[str], path: Path, damage: Sequence[str] = ()) -> Recording:
    """Create the recording of an imported run, with the names of its unused series under ``unused`` in the facts.

    Raises
    ------
    UserError
        There are no rows.
    """
    if not len(rows):
        if damage:
            raise DamagedSourceError(damage)
        unknown = show_names(sorted(unused))
        raise UserError(f"SOURCE must have series of ganwatch (--map THEIRS=OURS names them, such as errG=loss/g), got {unknown} in {path}")
    return rows.to_recording(name, {"unused": sorted(unused)}, damage)


def _read_file(path: str | Path) -> dict[str, str]:
    content = read_toml(path, "--map-file", "a TOML file of lines such as errG = 'loss/g'")
    for theirs, ours in content.items():
        if not isinstance(ours, str):
            rule = "--map-file must give each name a text, quoted where it has a slash or dot"
            raise UserError(f"{rule}, got a value of type {type(ours).__name__} for {show_value(theirs)} in {path}")
    return content


def _suggest(ours: str) -> str:
    """Return a question with the most similar series, empty if none is similar."""
    name, _, label = ours.partition("/")
    near = difflib.get_close_matches(name, catalogue(), n=1) if len(ours) <= MAX_SHOWN else []
    if not near:
        return ""
    signal = catalogue()[near[0]]
    series = f"{signal.name}/{label or {'network': 'g', 'batch': 'fake'}.get(signal.label, '…')}" if signal.label else signal.name
    return f"; did you mean {series}?"
