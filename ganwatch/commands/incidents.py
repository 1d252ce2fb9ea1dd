"""``ganwatch incidents RUN``: list the incidents of a run with their evidence."""

from __future__ import annotations

import argparse
import json
import math
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

from ganwatch.commands._arguments import JSON, STORE
from ganwatch.commands._terminal import print_table, print_text
from ganwatch.commands.runs import UNRESOLVED, format_value
from ganwatch.core.names import name_failure
from ganwatch.core.outcome import Outcome

if TYPE_CHECKING:
    from ganwatch.core.detector import Verdict
    from ganwatch.store.queries import IncidentRecord

HELP = "list the incidents of a run with their evidence"
PARENTS = (STORE, JSON)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare ``RUN``."""
    parser.add_argument("run", metavar="RUN", help="id of a run, the beginning of one, a name, or 'latest'")


def run(args: argparse.Namespace) -> int:
    """Print the incidents."""
    from ganwatch.store import queries
    from ganwatch.store.database import open_store
    from ganwatch.store.strict_json import encode

    with open_store(args.store, create=False) as store:
        record = queries.find_run(store, args.run)
        incidents = queries.incidents(store, record.id)
        namesakes = [one.id for one in queries.runs(store) if one.name == args.run != record.id]
    if len(namesakes) > 1:
        others = ", ".join(one for one in namesakes if one != record.id)
        note = f"{len(namesakes)} runs are named {args.run!r}: this is {record.id}, the newest; the others are {others}"
        print_text(note, file=sys.stderr)
    if args.json:
        print(json.dumps([encode(asdict(one)) for one in incidents], allow_nan=False, indent=2))
        return 0
    count = f"{len(incidents) or 'no'} incident{'s' * (len(incidents) != 1)}"
    print_text(f"run {record.id} ({record.name}), {record.state}, step {format_value(record.last_step)}: {count}")
    if record.outcome:
        outcome = Outcome.from_plain(record.outcome)
        print_text(f"not judged: {outcome.unjudged_text}" if outcome.unjudged else "every detector that applies could judge")
        for fault in outcome.faults:
            print_text(fault)
    names = {one.id: name_failure(one.title, one.id) for one in incidents}
    if incidents:
        running = record.state == "running"
        rows = [
            [
                one.id,
                one.title,
                _format_state(one, running=running),
                one.onset,
                one.opened,
                format_value(one.resolved),
                format_value(names.get(one.cause, one.cause) if one.cause else None),
            ]
            for one in incidents
        ]
        print_table(["INCIDENT", "TITLE", "STATE", "ONSET", "OPENED", "RESOLVED", "CAUSE"], rows)
    for one in incidents:
        if one.evidence is not None:
            verdict, runbook = one.evidence, f"runbook: {one.runbook}" if one.runbook else ""
            advice = f"first, {verdict.advice}" if verdict.advice else ""
            details = filter(None, (verdict.explanation, advice, one.search, runbook))
            print_text("", f"{names[one.id]}: {_format_evidence(verdict)}", *(f"  {line}" for line in details))
    return 0


def _format_state(incident: IncidentRecord, *, running: bool) -> str:
    if incident.superseded:
        return "superseded"
    return {"firing": "open" if running else UNRESOLVED}.get(str(incident.state), str(incident.state))


def _format_evidence(verdict: Verdict) -> str:
    """Format the evidence in one line; a value that is not finite has no threshold."""
    bound = f" against {verdict.threshold:.4g}" if math.isfinite(verdict.value) else ""
    return f"{verdict.signal} = {verdict.value:.4g}{bound} over {verdict.window} step{'s' * (verdict.window != 1)} ({verdict.origin})"
