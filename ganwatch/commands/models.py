"""``ganwatch models``: versions of generators: register, compare, promote, roll back, and find the one in use."""

from __future__ import annotations

import argparse
import getpass
import json
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganwatch.commands._arguments import JSON, STORE
from ganwatch.commands._parser import WholeNumber
from ganwatch.commands._terminal import print_table, print_text
from ganwatch.core.argument_checks import MAX_COUNT, check_output_file
from ganwatch.core.errors import UserError

if TYPE_CHECKING:
    from ganwatch.models.registry import JudgedVersion, ModelRegistry
    from ganwatch.store.models import ModelRecord

HELP = "versions of a model: register, compare, promote, roll back, and find the one in use"
VERSION = "number, current, candidate or last-good"
"""Forms of a version, for help texts."""
MAX_TEXT = 1000
"""Most characters of a reason or a name."""
CONFLICT = 4
"""Exit code where somebody else has changed the version in use first."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare one sub-command for each action."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")

    def add(name: str, text: str, *, has_json: bool = True, has_model: bool = True) -> argparse.ArgumentParser:
        action = actions.add_parser(name, help=text, description=text, parents=(STORE, JSON) if has_json else (STORE,))
        action.set_defaults(parser=action)
        if has_model:
            action.add_argument("model", metavar="MODEL", help="name of the model")
        return action

    add("list", "list the models of a store", has_model=False)
    add("show", "list the versions of a model with their verdicts, and who changed the version in use")
    register = add("register", "copy a checkpoint into the store as a new version, and let candidate name it")
    register.add_argument("checkpoint", nargs="?", metavar="CHECKPOINT", help="checkpoint, or nothing for the last good one of --run")
    register.add_argument("--run", metavar="RUN", help="id, beginning of one, name or 'latest' (default: the run that recorded it)")
    register.add_argument("--declare", metavar="FILE", help="TOML file that declares data, rights and use; see docs/keep-versions.md")
    promote = add("promote", "let current name a version, if nobody else has changed it since REVISION")
    promote.add_argument("version", metavar="VERSION", help=VERSION)
    rollback = add("rollback", "let current name the last good version")
    rollback.add_argument("--to", metavar="VERSION", help=f"{VERSION} (default: the version that was in use last and is not bad)")
    for action in (promote, rollback):
        action.add_argument("--revision", type=WholeNumber(0, MAX_COUNT), metavar="N", help="present revision, which `models show` prints")
        action.add_argument("--reason", metavar="TEXT", help="for the audit log")
        action.add_argument("--link", type=Path, metavar="PATH", help="afterwards let this link name the files of the version in use")
    for action in (register, promote, rollback):
        action.add_argument("--actor", metavar="NAME", help="for the audit log (default: the user)")
    resolve = add("resolve", "print the path of a version whose files are as they were registered", has_json=False)
    resolve.add_argument("version", nargs="?", default="current", metavar="VERSION", help=f"{VERSION} (default: current)")
    resolve.add_argument("--link", type=Path, metavar="PATH", help="let this link name it, at once")
    diff = add("diff", "list what differs between two versions")
    diff.add_argument("first", metavar="VERSION", help=VERSION)
    diff.add_argument("second", metavar="OTHER", help=VERSION)
    card = add("card", "print the model card of a version, in the format of the Hugging Face Hub", has_json=False)
    card.add_argument("version", nargs="?", default="current", metavar="VERSION", help=f"{VERSION} (default: current)")
    card.add_argument("--output", type=Path, metavar="FILE", help="write it to this file")


def run(args: argparse.Namespace) -> int:
    """Run the action."""
    if getattr(args, "output", None) is not None:
        check_output_file("--output", args.output, makes_folder=True)
    for name in ("reason", "actor"):
        if len(getattr(args, name, None) or "") > MAX_TEXT:
            raise UserError(f"--{name} must have at most {MAX_TEXT:,} characters, got {len(getattr(args, name)):,}")
    action = {
        "list": _list,
        "show": _show,
        "register": _register,
        "promote": _promote,
        "rollback": _roll_back,
        "resolve": _resolve,
        "diff": _diff,
        "card": _card,
    }[args.action]
    return action(args)


def _list(args: argparse.Namespace) -> int:
    from ganwatch.store import models
    from ganwatch.store.database import open_store

    with open_store(args.store, create=False) as store:
        found = models.models(store)
    if args.json:
        print(json.dumps([asdict(one) for one in found], indent=2))
        return 0
    print_table(
        ["MODEL", "CURRENT", "CANDIDATE", "REVISION"],
        [[one.name, one.aliases.get("current", "none"), one.aliases.get("candidate", "none"), one.revision] for one in found],
    )
    return 0


def _show(args: argparse.Namespace) -> int:
    from ganwatch.models.registry import ModelRegistry
    from ganwatch.store import models
    from ganwatch.store.database import open_store

    with open_store(args.store, create=False) as store:
        record, found = ModelRegistry(store).show(args.model)
        past = models.changes(store, args.model)
    if args.json:
        versions = [asdict(one.version) | {"verdict": asdict(one.verdict), "aliases": list(one.aliases)} for one in found]
        print(json.dumps(asdict(record) | {"versions": versions, "changes": [asdict(one) for one in past]}, indent=2))
        return 0
    print_text(f"model {record.name}, revision {record.revision}")
    print_table(["VERSION", "ALIASES", "VERDICT", "REASON", "RUN", "STEP"], [_row(one) for one in found])
    for one in past:
        why = f": {one.detail['reason']}" if one.detail.get("reason") else ""
        numbers = f"{one.detail.get('previous') or 'none'} to {one.detail.get('version')}"
        print_text(f"{_time(one.created)}  {one.action}, {numbers}, {one.actor}{why}")
    return 0


def _row(one: JudgedVersion) -> list[Any]:
    version = one.version
    step = "unknown" if version.step is None else version.step
    return [version.version, " ".join(one.aliases), one.verdict.quality, one.verdict.reason, version.run or "unknown", step]


def _register(args: argparse.Namespace) -> int:
    from ganwatch.models.registry import ModelRegistry, check_name
    from ganwatch.store.database import open_store
    from ganwatch.store.rows import writable

    check_name(args.model)
    if args.checkpoint is None and args.run is None:
        raise UserError("CHECKPOINT or --run must be given, got neither")
    declared = {} if args.declare is None else _read_declaration(args.declare)
    with writable(args.store), open_store(args.store) as store:
        version = ModelRegistry(store).register(args.model, args.checkpoint, run=args.run, actor=_actor(args), declared=declared)
    if args.json:
        print(json.dumps(asdict(version), indent=2))
    else:
        origin = f"run {version.run}, step {version.step}" if version.run else "no run of this store"
        print_text(f"{args.model} version {version.version}: {origin}")
    return 0


def _promote(args: argparse.Namespace) -> int:
    facts = {"actor": _actor(args), "reason": args.reason or ""}
    return _change(args, lambda registry, revision: registry.promote(args.model, args.version, revision, **facts))


def _roll_back(args: argparse.Namespace) -> int:
    facts = {"actor": _actor(args), "reason": args.reason or ""}
    return _change(args, lambda registry, revision: registry.roll_back(args.model, revision, to=args.to, **facts))


def _change(args: argparse.Namespace, change: Any) -> int:
    from ganwatch.models.files import check_link
    from ganwatch.models.registry import ModelRegistry
    from ganwatch.store.database import open_store
    from ganwatch.store.models import RevisionError, describe_revision
    from ganwatch.store.rows import writable

    with open_store(args.store, create=False):  # a store that is not there is no place for a change
        pass
    with writable(args.store), open_store(args.store) as store:
        if args.revision is None:
            raise UserError(f"--{describe_revision(store, args.model, 'none')}")
        registry = ModelRegistry(store)
        if args.link is not None:
            check_link(args.link)
        try:
            record: ModelRecord = change(registry, args.revision)
        except RevisionError as error:
            print_text(f"ganwatch models {args.action}: --{error}", file=sys.stderr)
            return CONFLICT
        path = registry.resolve(args.model)
        if args.link is not None:
            path = _link(registry, args.model, args.link)
    if args.json:
        print(json.dumps(asdict(record) | {"path": str(path)}, indent=2))
    else:
        print_text(f"{record.name}: version {record.aliases['current']} is current, revision {record.revision}", f"path: {path}")
    return 0


def _resolve(args: argparse.Namespace) -> int:
    from ganwatch.models.registry import ModelRegistry
    from ganwatch.store.database import open_store

    with open_store(args.store, create=False) as store:
        registry = ModelRegistry(store)
        path = registry.resolve(args.model, args.version)
        if args.link is not None:
            path = _link(registry, args.model, args.link, args.version)
    print_text(str(path))
    return 0


def _link(registry: ModelRegistry, model: str, link: Path, which: str = "current") -> Path:
    """Let the link name a version, again if another one has become that meanwhile."""
    from ganwatch.models.files import replace_link

    while True:
        path = registry.resolve(model, which)
        replace_link(link, path)
        if registry.path_of(registry.find(model, which).version) == path:
            return path


def _diff(args: argparse.Namespace) -> int:
    from ganwatch.models.diff import compare_facts
    from ganwatch.models.registry import ModelRegistry
    from ganwatch.store.database import open_store

    with open_store(args.store, create=False) as store:
        registry = ModelRegistry(store)
        found = compare_facts(*(registry.find(args.model, which) for which in (args.first, args.second)))
    if args.json:
        print(json.dumps([asdict(one) for one in found], indent=2))
    else:
        print_table(["FACT", args.first, args.second], [[one.name, _shown(one.first), _shown(one.second)] for one in found])
    return 0


def _card(args: argparse.Namespace) -> int:
    from ganwatch.models.card import render_card
    from ganwatch.models.registry import ModelRegistry
    from ganwatch.store import models, queries
    from ganwatch.store.audit_log import read_history
    from ganwatch.store.database import open_store

    with open_store(args.store, create=False) as store:
        chosen = ModelRegistry(store).find(args.model, args.version)
        number = chosen.version.version
        incidents = queries.incidents(store, chosen.version.run) if chosen.version.run else []
        gates = [entry for entry in read_history(store, args.model, (models.GATED,)) if entry.detail.get("version") == number]
        past = [one for one in models.changes(store, args.model) if number in {one.detail.get("version"), one.detail.get("previous")}]
    card = render_card(args.model, chosen, [*incidents], gates, past)
    if args.output is None:
        print_text(*card.splitlines())
        return 0
    from ganwatch.checkpoints.durable import replace_file

    args.output.parent.mkdir(parents=True, exist_ok=True)
    replace_file(args.output, card.encode())
    print_text(f"card: {args.output.absolute()}")
    return 0


def _read_declaration(path: str) -> dict[str, Any]:
    from ganwatch.core.files import read_toml
    from ganwatch.models.card import DECLARATIONS

    declared = read_toml(path, "--declare", f"a TOML file with the fields {', '.join(DECLARATIONS)}")
    if unknown := [name for name in declared if name not in DECLARATIONS]:
        raise UserError(f"--declare must have the fields {', '.join(DECLARATIONS)}, got {unknown[0]!r}")
    for name, value in declared.items():
        texts = value if isinstance(value, list) else [value]
        if not all(isinstance(text, str) for text in texts):
            raise UserError(f"{name} in --declare must be a text or a list of texts, got {value!r:.100}")
    return declared


def _actor(args: argparse.Namespace) -> str:
    if args.actor:
        return str(args.actor)
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "unknown user"


def _shown(value: Any) -> str:
    return "none" if value is None else str(value)


def _time(created: float) -> str:
    try:
        return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(created))
    except (ValueError, OverflowError, OSError):
        return "unknown time"
