"""``ganwatch incidents RUN``: what went wrong in a run, with evidence."""

from __future__ import annotations

import argparse
import json
import math
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

from ganwatch.commands.runs import OPEN_AT_THE_END, in_line, shown, table

if TYPE_CHECKING:
    from ganwatch.core.detector import Verdict
    from ganwatch.store.queries import IncidentRecord

HELP = "list the incidents of a run with their evidence"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """``RUN``, ``--store`` and ``--json``."""
    parser.add_argument("run", metavar="RUN", help="id of a run, the beginning of one, a name, or 'latest'")
    parser.add_argument("--store", default="runs", metavar="STORE", help="folder, SQLite file or SQLAlchemy URL (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="print one JSON array instead of a table")


def run(args: argparse.Namespace) -> int:
    """Print the incidents."""
    from ganwatch.store import queries
    from ganwatch.store.database import open_store
    from ganwatch.store.plain import encode

    with open_store(args.store, create=False) as store:
        meant = queries.resolve(store, args.run)
        found = queries.incidents(store, meant.id)
        namesakes = [one.id for one in queries.runs(store) if one.name == args.run != meant.id]
    if len(namesakes) > 1:
        others = ", ".join(one for one in namesakes if one != meant.id)
        print(f"{len(namesakes)} runs are named {args.run!r}: this is {meant.id}, the newest; the others are {others}", file=sys.stderr)
    if args.json:
        print(json.dumps([encode(asdict(one)) for one in found], allow_nan=False, indent=2))
        return 0
    count = f"{len(found) or 'no'} incident{'s' * (len(found) != 1)}"
    print(f"run {meant.id} ({in_line(meant.name)}), {meant.state}, step {shown(meant.last_step)}: {count}")
    if found:
        running = meant.state == "running"
        rows = [
            [one.id, one.title, _state(one, running=running), one.onset, one.opened, shown(one.resolved), shown(one.cause)] for one in found
        ]
        print(table(["INCIDENT", "TITLE", "STATE", "ONSET", "OPENED", "RESOLVED", "CAUSE"], rows))
    for one in found:
        if one.evidence is not None:
            print(f"\n{one.id}: {_measured(one.evidence)}")
            print(f"  {one.evidence.explanation}")
            if one.runbook:
                print(f"  runbook: {one.runbook}")
    return 0


def _state(incident: IncidentRecord, *, running: bool) -> str:
    if incident.superseded:
        return "superseded"
    return {"firing": "open" if running else OPEN_AT_THE_END}.get(str(incident.state), str(incident.state))


def _measured(verdict: Verdict) -> str:
    """The evidence in one line; what is not finite crosses no threshold."""
    bound = f" against {verdict.threshold:.4g}" if math.isfinite(verdict.value) else ""
    return f"{verdict.signal} = {verdict.value:.4g}{bound} over {verdict.window} step{'s' * (verdict.window != 1)} ({verdict.origin})"
