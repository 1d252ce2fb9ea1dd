"""``ganwatch runs``: list the runs in a store."""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict
from typing import TYPE_CHECKING

from ganwatch.commands._arguments import JSON, STORE
from ganwatch.commands._terminal import print_table

if TYPE_CHECKING:
    from ganwatch.store.queries import RunRecord

HELP = "list the runs in a store, the newest first"
PARENTS = (STORE, JSON)

UNRESOLVED = "open at the end"
"""State of an incident that was still firing when its run ended."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare no arguments of its own."""


def run(args: argparse.Namespace) -> int:
    """Print the runs."""
    from ganwatch.store import queries
    from ganwatch.store.database import open_store
    from ganwatch.store.strict_json import encode

    with open_store(args.store, create=False) as store:
        records = queries.runs(store)
        silent = {one.id for one in records if queries.heartbeat(store, one.id).silent}
    if args.json:
        print(json.dumps([encode(asdict(one) | {"silent": one.id in silent}) for one in records], allow_nan=False, indent=2))
    elif not records:
        print("no runs yet")
    else:
        rows = [
            [
                one.id,
                one.name,
                "silent" if one.id in silent else one.state,
                format_time(one.started),
                format_value(one.last_step),
                one.attempts,
                one.outcome.get("conclusion", "-"),
                _format_incidents(one),
            ]
            for one in records
        ]
        print_table(["RUN", "NAME", "STATE", "STARTED", "STEP", "ATTEMPTS", "OUTCOME", "INCIDENTS"], rows)
    return 0


def _format_incidents(record: RunRecord) -> str:
    if not record.open_incidents:
        return "none open"
    return f"{record.open_incidents} {'open' if record.state == 'running' else UNRESOLVED}"


def format_time(seconds: float) -> str:
    """Format a Unix time as local time to the second."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))


def format_value(value: object) -> str:
    """Format a value, or None as a dash."""
    return "-" if value is None else str(value)
