"""``ganwatch drift``: whether the world moved or the generator regressed."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganwatch.commands.score import DISCRIMINATOR, FEATURES
from ganwatch.core.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

    from ganwatch.drift.check import DriftCheckResult, DriftCheck
    from ganwatch.drift.verdict import Drift
    from ganwatch.store.database import Store
    from ganwatch.trainer.checkpoint import GeneratedBatches

HELP = "tell whether fresh real data moved or the generator regressed; exit code 0 unchanged, 10 moved, 11 regressed, 12 both, 3 too few"
SIDE = "folder of images, .npy or .npz file, URL, 'digits' or package.module:attribute"
REPORT = "drift.html"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--baseline", required=True, metavar="B", help=f"real data that the model was made for: {SIDE}")
    parser.add_argument("--fresh", required=True, metavar="F", help="real data of today, likewise")
    generator = parser.add_mutually_exclusive_group()
    generator.add_argument("--model", metavar="CKPT", help="checkpoint of ganwatch train, to draw samples from")
    generator.add_argument("--generated", metavar="G", help="samples that the generator drew, like B")
    parser.add_argument("--reference", metavar="R", help="samples that it drew when it was accepted, like B (default: those kept with RUN)")
    parser.add_argument("--run", metavar="RUN", help="id, beginning of one, name or 'latest': keep the outcome with this run")
    parser.add_argument("--accept", action="store_true", help="after the check, keep what the generator draws now as the reference of RUN")
    parser.add_argument("--store", default="runs", metavar="STORE", help="folder, SQLite file or SQLAlchemy URL (default: %(default)s)")
    parser.add_argument("--features", metavar="NAME", help=f"{FEATURES} (default: random-conv for images, the values of vectors)")
    parser.add_argument("--size", type=int, metavar="PIXELS", help="side to which images are resized (default: the extractor's own)")
    parser.add_argument("--level", type=float, metavar="P", help="probability of a false verdict (default: 0.01; with --every 0.05 a year)")
    parser.add_argument("--limit", type=int, default=5000, metavar="N", help="samples of a side to read at most (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="decides subsets and permutations (default: %(default)s)")
    parser.add_argument("--every", metavar="TIME", help="check F against B again and again, such as 24h, until Ctrl-C")
    parser.add_argument("--report", type=Path, metavar="FILE", help=f"HTML report (default: {REPORT}, where evidently is installed)")
    parser.add_argument("--json", action="store_true", help="print one JSON object for each check")


def run(args: argparse.Namespace) -> int:
    """Check once, or again and again; the exit code says the verdict."""
    _check_arguments(args)
    from ganwatch.commands.score import Bar
    from ganwatch.drift.check import DriftCheck
    from ganwatch.drift.schedule import YEAR, due_times, parse_interval
    from ganwatch.features.cache import FeatureCache

    interval = parse_interval(args.every) if args.every else None
    place = _opened(args)  # before anything is computed
    check = DriftCheck(
        args.baseline,
        level=args.level,
        times=None if interval is None else max(1, round(YEAR / interval)),
        limit=args.limit,
        seed=args.seed,
        features=_drawing(args, 1).discriminator_features if args.features == DISCRIMINATOR else args.features,
        size=args.size,
        cache=FeatureCache(),
        progress=None if args.json else Bar(),
    )
    if interval is None:
        return _once(args, check, place).verdict.exit_code
    for _ in due_times(interval):
        try:
            _once(args, check, place)
        except UserError as error:
            print(f"ganwatch drift: {error}", file=sys.stderr, flush=True)
    return 0


def _once(args: argparse.Namespace, check: DriftCheck, place: tuple[Store, str] | None) -> Drift:
    from ganwatch.drift.record import read_reference, record_check, save_reference

    generated = _drawn(args, check) if args.model else args.generated
    extractor = check.reader.extractor.provenance()
    reference = None
    if args.reference:
        reference = check.reader.read(args.reference, "reference").features
    elif place and generated is not None:
        kept = read_reference(*place, extractor)
        reference = None if kept is None else kept.features
    checked = check(args.fresh, generated, reference=reference)
    report = _report(args, checked)
    if place:
        record_check(*place, checked.drift, report=report)
        if args.accept:
            save_reference(*place, checked.sides["generated"].features, extractor, seed=args.seed)
    shown = json.dumps(checked.drift.as_dict() | {"report": report}, allow_nan=False) if args.json else described(checked.drift, report)
    print(shown, flush=True)
    return checked.drift


def described(found: Drift, report: str | None) -> str:
    """The verdict for people."""
    unjudged = found.verdict == "unchanged" and found.to_baseline is not None and found.regression is None
    lines = [f"{found.verdict}: {found.verdict.advice}" + (" in the world; the generator is not judged" if unjudged else "")]
    pairs = {"baseline ↔ fresh": found.world, "generated ↔ baseline": found.to_baseline, "generated ↔ fresh": found.to_fresh}
    for name, pair in pairs.items():
        if pair is not None:
            lines.append(f"  {name:<21} effect {pair.effect:.3f} ({pair.low:.3f} to {pair.high:.3f}), p = {pair.p_value:.4g}")
    if found.regression is not None:
        now = found.regression.as_dict()
        interval = f"{now['difference']:+.3f} ({now['low']:+.3f} to {now['high']:+.3f})"
        lines.append(f"  now ↔ accepted        {interval} further from the baseline, p = {now['p_value']:.4g}")
    if found.check is not None:
        lines.append(f"  {found.check.calibration}")
    if found.changed_columns:
        shown = "; ".join(map(str, found.changed_columns[:8]))
        lines.append(f"  moved: {shown}" + (f"; and {len(found.changed_columns) - 8} more" if len(found.changed_columns) > 8 else ""))
    lines += [f"  {note}" for note in found.notes if found.check is None or note != str(found.check.calibration)]
    for name, side in found.provenance.get("sides", {}).items():
        if side["skipped"]:
            lines.append(f"  {name}: {side['skipped']} of {side['read'] + side['skipped']} left out, {_first(side['list'])}")
    return "\n".join(lines + ([f"  report: {report}"] if report else []))


def _first(listed: list[dict[str, Any]]) -> str:
    return "; ".join(f"{one['location']}: {one['reason']}" for one in listed[:3])


def _check_arguments(args: argparse.Namespace) -> None:
    generator, seen = args.model or args.generated, args.features == DISCRIMINATOR
    rules = {
        "--accept needs --run and one of --model and --generated": not args.accept or (args.run and generator),
        "--reference needs one of --model and --generated": not args.reference or generator,
        f"--features {DISCRIMINATOR} needs --model, and goes without --size": not seen or (args.model and not args.size),
        "--every checks the world alone, so it goes without --model, --generated and --accept": not args.every or not generator,
        f"--limit must be >= 1, got {args.limit}": args.limit >= 1,
        f"--seed must be >= 0, got {args.seed}": args.seed >= 0,
        f"--level must be in (0, 1), got {args.level}": args.level is None or 0 < args.level < 1,
    }
    for rule, kept in rules.items():
        if not kept:
            raise UserError(rule)


def _opened(args: argparse.Namespace) -> tuple[Store, str] | None:
    """The store and the id of the run."""
    if not args.run:
        return None
    from ganwatch.store.database import open_store
    from ganwatch.store.queries import find_run

    with open_store(args.store, create=False) as reading:
        meant = find_run(reading, args.run).id
    return open_store(args.store), meant


def _drawing(args: argparse.Namespace, count: int) -> GeneratedBatches:
    from ganwatch.trainer.checkpoint import GeneratedBatches

    return GeneratedBatches(args.model, count=count, seed=args.seed, argument="--model")


def _drawn(args: argparse.Namespace, check: DriftCheck) -> Tensor:
    """As many samples of the checkpoint's generator as the baseline has, in the baseline's range."""
    import torch

    generated = _drawing(args, len(check.baseline.features))
    samples = torch.cat(list(generated))
    if generated.value_range is None:
        return samples
    (low, high), (wanted_low, wanted_high) = generated.value_range, check.reader.limits
    return (samples - low) * ((wanted_high - wanted_low) / (high - low)) + wanted_low


def _report(args: argparse.Namespace, checked: DriftCheckResult) -> str | None:
    """Where the report is; the verdict stands without one."""
    import importlib.util

    unasked = args.report is None and importlib.util.find_spec("evidently") is None
    if checked.drift.verdict == "insufficient_data" or unasked:
        return None
    from ganwatch.drift.report import write_report

    first = tuple(dict.fromkeys(column.name.split(" ")[0] for column in checked.drift.columns))
    sides = checked.sides["baseline"].columns, checked.sides["fresh"].columns
    try:
        return str(write_report(*sides, args.report or Path(REPORT), first=first).absolute())
    except UserError as error:
        print(f"ganwatch drift: no report: {error}", file=sys.stderr, flush=True)
        return None
