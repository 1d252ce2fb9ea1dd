"""``ganwatch incidents RUN``: what went wrong in a run, with evidence."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from typing import TYPE_CHECKING

from ganwatch.commands.runs import shown, table

if TYPE_CHECKING:
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
    if args.json:
        print(json.dumps([encode(asdict(one)) for one in found], allow_nan=False, indent=2))
        return 0
    count = f"{len(found) or 'no'} incident{'s' * (len(found) != 1)}"
    print(f"run {meant.id} ({meant.name}), {meant.state}, step {shown(meant.last_step)}: {count}")
    if found:
        rows = [[one.id, one.title, _state(one), one.onset, one.opened, shown(one.resolved), shown(one.cause)] for one in found]
        print(table(["INCIDENT", "TITLE", "STATE", "ONSET", "OPENED", "RESOLVED", "CAUSE"], rows))
    for one in found:
        if one.evidence is not None:
            now = one.evidence
            print(f"\n{one.id}: {now.signal} = {now.value:.4g} against {now.threshold:.4g} over {now.window} steps ({now.origin})")
            print(f"  {now.explanation}")
            if one.runbook:
                print(f"  runbook: {one.runbook}")
    return 0


def _state(incident: IncidentRecord) -> str:
    return "superseded" if incident.superseded else str(incident.state)
