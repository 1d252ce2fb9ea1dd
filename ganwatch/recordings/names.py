"""What the series of a run recorded elsewhere are called here."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from ganwatch.core.errors import UserError
from ganwatch.core.signals import catalogue, find_signal
from ganwatch.recordings.recording import Recording, of_readings

COLUMNS = ("step", "series", "value")
"""What columns of a table may be called besides series."""


def read_names(pairs: Sequence[str] = (), file: str | Path | None = None) -> dict[str, str]:
    """Their name to ours, of ``theirs=ours`` texts and a TOML file of such lines; a text goes before the file.

    Raises
    ------
    UserError
        The file cannot be read, or a name of ours is no series of the catalogue.

    Examples
    --------
    >>> read_names(["errG=loss/g", "global_step=step"])
    {'errG': 'loss/g', 'global_step': 'step'}
    """
    names = _file(file) if file is not None else {}
    for pair in pairs:
        theirs, equals, ours = pair.rpartition("=")
        if not (theirs and equals and ours):
            raise UserError(f"--map must be THEIRS=OURS, such as errG=loss/g, got {pair!r}")
        names[theirs] = ours
    for theirs, ours in names.items():
        if ours not in COLUMNS and not known(ours):
            raise UserError(f"--map must give {theirs!r} the name of a series of ganwatch, such as loss/g, got {ours!r}{_meant(ours)}")
    return names


def known(series: str) -> bool:
    """Whether the catalogue has it, with a label where its family has one.

    >>> known("loss/g"), known("loss"), known("d_auc"), known("d_auc/g"), known("errG")
    (True, False, True, False, False)
    """
    signal = find_signal(series)
    return signal is not None and bool(signal.label) == ("/" in series)


def imported(name: str, rows: Mapping[int, Mapping[str, float]], unused: Collection[str], path: Path) -> Recording:
    """A recording of what has a name of ours, with the other series under ``unused`` in its facts.

    Raises
    ------
    UserError
        Nothing has.
    """
    if not rows:
        there = ", ".join(sorted(unused)) or "none"
        raise UserError(f"SOURCE must have series of ganwatch (--map THEIRS=OURS names them, such as errG=loss/g), got {there} in {path}")
    return of_readings(name, rows, {"unused": sorted(unused)})


def _file(path: str | Path) -> dict[str, str]:
    try:
        content: Mapping[str, object] = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"--map-file must be a TOML file of lines such as errG = 'loss/g', got {str(path)!r}: {error}") from error
    for theirs, ours in content.items():
        if not isinstance(ours, str):
            raise UserError(f"--map-file must give each name a text, quoted where it has a slash or dot, got {theirs} = {ours!r} in {path}")
    return {theirs: str(ours) for theirs, ours in content.items()}


def _meant(ours: str) -> str:
    name, _, label = ours.partition("/")
    near = difflib.get_close_matches(name, catalogue(), n=1)
    if not near:
        return ""
    signal = catalogue()[near[0]]
    shown = f"{signal.name}/{label or {'network': 'g', 'batch': 'fake'}.get(signal.label, '…')}" if signal.label else signal.name
    return f"; did you mean {shown}?"
