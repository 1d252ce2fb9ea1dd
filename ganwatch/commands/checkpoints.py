"""``ganwatch checkpoints RUN``: list the checkpoints of a run with the verdict on each."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from ganwatch.commands._arguments import JSON, STORE
from ganwatch.commands._terminal import print_table, print_text
from ganwatch.core.errors import UserError

if TYPE_CHECKING:
    from ganwatch.core.checkpoints import SavedCheckpoint

HELP = "list the checkpoints of a run: good, bad or unknown, and why"
PARENTS = (STORE, JSON)
NONE_GOOD = 1
"""Exit code of ``--last-good`` where no checkpoint is good."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare ``RUN`` and ``--last-good``."""
    parser.add_argument("run", metavar="RUN", help="id of a run, the beginning of one, a name, or 'latest'")
    parser.add_argument("--last-good", action="store_true", help="print the path of the latest good checkpoint and nothing else; 1 if none")


def run(args: argparse.Namespace) -> int:
    """Print the checkpoints."""
    from ganwatch.core.checkpoints import find_last_good
    from ganwatch.store import queries
    from ganwatch.store.checkpoints import history, judge_checkpoints
    from ganwatch.store.database import open_store

    with open_store(args.store, create=False) as store:
        record = queries.find_run(store, args.run)
        found = judge_checkpoints(store, record)
        histories = [list(map(asdict, history(store, one, record.id))) for one in found] if args.json else []
    if args.last_good:
        found = [one for one in found if one.verdict.quality != "good" or _is_there(one)]
    last_good = find_last_good(found)
    if args.last_good:
        if last_good is None:
            print_text(f"no checkpoint of run {record.id} is good: `ganwatch checkpoints {record.id}` says why", file=sys.stderr)
            return NONE_GOOD
        print_text(last_good.path)
        return 0
    if args.json:
        plain = [asdict(one) | {"is_last_good": one is last_good, "history": past} for one, past in zip(found, histories, strict=True)]
        print(json.dumps(plain, allow_nan=False, indent=2))
        return 0
    print_text(f"run {record.id} ({record.name}), {record.state}: {len(found) or 'no'} checkpoint{'s' * (len(found) != 1)}")
    if found:
        rows = [
            [
                one.step,
                "last good" if one is last_good else str(one.verdict.quality),
                one.verdict.reason,
                _describe_files(one),
                f"{one.size / 2**20:,.1f} MiB",
                one.path,
            ]
            for one in found
        ]
        print_table(["STEP", "VERDICT", "REASON", "FILES", "SIZE", "PATH"], rows)
    return 0


def _is_there(one: SavedCheckpoint) -> bool:
    """Return True if the files of a checkpoint are those that were read back."""
    from ganwatch.models.files import check_version

    if one.is_verified:
        try:
            check_version(Path(one.path), one.sha256)
        except UserError as error:
            print_text(f"step {one.step} is passed over: {error}", file=sys.stderr)
            return False
    return True


def _describe_files(one: SavedCheckpoint) -> str:
    if one.fault or one.unread:
        return "not usable" if one.fault else "not read back"
    return "removed" if one.is_removed else "verified"
