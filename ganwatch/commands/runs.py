"""``ganwatch runs``: what the store holds."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ganwatch.store.queries import RunRecord

HELP = "list the runs in a store, the newest first"

OPEN_AT_THE_END = "open at the end"
"""State of an incident that was firing when its run ended."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """``--store`` and ``--json``."""
    parser.add_argument("--store", default="runs", metavar="STORE", help="folder, SQLite file or SQLAlchemy URL (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="print one JSON array instead of a table")


def run(args: argparse.Namespace) -> int:
    """Print the runs."""
    from ganwatch.store import queries
    from ganwatch.store.database import open_store
    from ganwatch.store.plain import encode

    with open_store(args.store, create=False) as store:
        found = queries.runs(store)
        silent = {one.id for one in found if queries.heartbeat(store, one.id).silent}
    if args.json:
        print(json.dumps([encode(asdict(one) | {"silent": one.id in silent}) for one in found], allow_nan=False, indent=2))
        return 0
    rows = []
    for one in found:
        state = "silent" if one.id in silent else one.state
        rows.append([one.id, one.name, state, moment(one.started), shown(one.last_step), one.attempts, _open(one)])
    print(table(["RUN", "NAME", "STATE", "STARTED", "STEP", "ATTEMPTS", "INCIDENTS"], rows) if rows else "no runs yet")
    return 0


def table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Rows under a head in columns that are as wide as they must be.

    >>> print(table(["RUN", "STEP"], [["a", 12], ["long-id", 3]]))
    RUN      STEP
    a        12
    long-id  3
    """
    lines = [[in_line(str(cell)) for cell in row] for row in (head, *rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines)


def in_line(text: str) -> str:
    r"""A text with its line feeds and other controls spelled out.

    >>> print(in_line("two\nlines"))
    two\nlines
    """
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


def _open(record: RunRecord) -> str:
    if not record.open_incidents:
        return "none open"
    return f"{record.open_incidents} {'open' if record.state == 'running' else OPEN_AT_THE_END}"


def moment(seconds: float) -> str:
    """Local time to the second."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))


def shown(value: object) -> str:
    """A value, a dash where there is none."""
    return "-" if value is None else str(value)
