"""``ganwatch drift``: test whether the real data changed or the generator regressed."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganwatch.commands._arguments import DISCRIMINATOR, FEATURES, JSON, SEED, STORE, select_extractor
from ganwatch.commands._parser import WholeNumber, finite_number
from ganwatch.commands._terminal import SampleProgress, print_table, print_text
from ganwatch.core.argument_checks import MAX_COUNT, check_output_file
from ganwatch.core.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

    from ganwatch.drift.check import DriftCheck, DriftCheckResult
    from ganwatch.drift.verdict import Drift
    from ganwatch.store.database import Store
    from ganwatch.trainer.checkpoint import GeneratedBatches

HELP = (
    "test whether fresh real data differ from a baseline, and whether the generator regressed; "
    "exit code 0 unchanged, 10 the data differ, 11 the generator regressed, 12 both, 3 too few samples"
)
PARENTS = (STORE, FEATURES, SEED, JSON)
SIDE = "folder of images, .npy or .npz file, URL, 'digits' or package.module:attribute"
"""Forms of a side, for help texts."""
REPORT = "drift.html"
"""Default path of the report."""
MAX_COLUMNS_SHOWN = 8
"""Largest number of changed columns that are printed."""
MAX_SKIPPED_SHOWN = 3
"""Largest number of skipped samples that are printed per side."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the sides and the options of the check."""
    parser.add_argument("--baseline", required=True, metavar="B", help=f"real data that the model was trained for: {SIDE}")
    parser.add_argument("--fresh", required=True, metavar="F", help="real data of today, in the same forms")
    generator = parser.add_mutually_exclusive_group()
    generator.add_argument("--model", metavar="CKPT", help="checkpoint of ganwatch train, to draw samples from")
    generator.add_argument("--generated", metavar="G", help="samples that the generator drew, like B")
    parser.add_argument(
        "--reference", metavar="R", help="samples that it drew when it was accepted, like B (default: those saved with RUN)"
    )
    parser.add_argument("--run", metavar="RUN", help="id, beginning of one, name or 'latest': record the result with this run")
    parser.add_argument("--accept", action="store_true", help="after the check, save what the generator draws now as the reference of RUN")
    parser.add_argument(
        "--level", type=finite_number, metavar="P", help="probability of a false verdict (default: 0.01; with --every 0.05 a year)"
    )
    parser.add_argument(
        "--limit",
        type=WholeNumber(1, MAX_COUNT, "samples"),
        default=5000,
        metavar="N",
        help="largest number of samples per side (default: %(default)s)",
    )
    parser.add_argument("--every", metavar="TIME", help="check F against B at this interval, such as 24h, until Ctrl-C")
    parser.add_argument("--report", type=Path, metavar="FILE", help=f"HTML report (default: {REPORT}, if evidently is installed)")


def run(args: argparse.Namespace) -> int:
    """Check once or repeatedly; the exit code of a single check gives the verdict."""
    _check_arguments(args)
    from ganwatch.data.opening import open_source
    from ganwatch.drift.check import DriftCheck
    from ganwatch.drift.schedule import YEAR, due_times, parse_interval
    from ganwatch.features.cache import FeatureCache

    interval = parse_interval(args.every) if args.every else None
    run_record = _open_run(args)  # before anything is computed, as the rest
    if args.model:
        _open_checkpoint(args, 1)
    for name in ("fresh", "generated", "reference"):
        data = None if args.every else getattr(args, name)  # what comes day by day may not be there yet
        if data and ":" not in data:  # a URL, or a function that makes the data, is opened once
            open_source(data, name)
    with SampleProgress() as progress:
        check = DriftCheck(
            args.baseline,
            level=args.level,
            times=None if interval is None else max(1, round(YEAR / interval)),
            limit=args.limit,
            seed=args.seed,
            features=_open_checkpoint(args, 1).discriminator_features if args.features == DISCRIMINATOR else select_extractor(args),
            size=args.size,
            cache=FeatureCache(),
            progress=None if args.json else progress,
        )
        if interval is None:
            return _run_check(args, check, run_record).verdict.exit_code
        for _ in due_times(interval):
            try:
                _run_check(args, check, run_record)
            except UserError as error:
                progress.stop()
                print_text(f"ganwatch drift: {error}", file=sys.stderr)
    return 0


def _run_check(args: argparse.Namespace, check: DriftCheck, run_record: tuple[Store, str] | None) -> Drift:
    """Check, print the result and record it with the run."""
    from ganwatch.drift.record import read_reference, save_reference
    from ganwatch.store.audit_log import append_drift_check

    generated = _generate_samples(args, check) if args.model else args.generated
    extractor = check.reader.extractor.provenance()
    reference = None
    if args.reference:
        reference = check.reader.read(args.reference, "reference").features
    elif run_record and generated is not None:
        accepted = read_reference(*run_record, extractor)
        reference = None if accepted is None else accepted.features
    result = check(args.fresh, generated, reference=reference)
    report = _write_report(args, result)
    if run_record:
        append_drift_check(*run_record, result.drift.as_dict(), report=report)
        if args.accept:
            save_reference(*run_record, result.sides["generated"].features, extractor, seed=args.seed)
    if args.json:
        print(json.dumps(result.drift.as_dict() | {"report": report}, allow_nan=False), flush=True)
    else:
        _print_drift(result.drift, report)
    return result.drift


def _print_drift(drift: Drift, report: str | None) -> None:
    is_partial = drift.verdict == "unchanged" and drift.to_baseline is not None and drift.regression is None
    print_text(f"{drift.verdict}: {drift.verdict.advice}" + (" in the real data; the generator is not tested" if is_partial else ""))
    pairs = {"baseline ↔ fresh": drift.world, "generated ↔ baseline": drift.to_baseline, "generated ↔ fresh": drift.to_fresh}
    rows = [
        [name, f"{pair.effect:.3f}", f"{pair.low:.3f} to {pair.high:.3f}", f"{pair.p_value:.4g}"]
        for name, pair in pairs.items()
        if pair is not None
    ]
    if drift.regression is not None:
        change = drift.regression.as_dict()
        interval = f"{change['low']:+.3f} to {change['high']:+.3f}"
        rows.append(["distance to baseline, now - accepted", f"{change['difference']:+.3f}", interval, f"{change['p_value']:.4g}"])
    if rows:
        print_table(["COMPARISON", "EFFECT", "95% INTERVAL", "P-VALUE"], rows)
    lines = [] if drift.check is None else [f"{drift.check.calibration}"]
    if drift.changed_columns:
        columns = "; ".join(map(str, drift.changed_columns[:MAX_COLUMNS_SHOWN]))
        more = len(drift.changed_columns) - MAX_COLUMNS_SHOWN
        lines.append(f"changed: {columns}" + (f"; and {more} more" if more > 0 else ""))
    lines += [note for note in drift.notes if drift.check is None or note != str(drift.check.calibration)]
    for name, side in drift.provenance.get("sides", {}).items():
        if side["skipped"]:
            lines.append(f"{name}: {side['skipped']} of {side['read'] + side['skipped']} left out, {_describe_skipped(side['list'])}")
    lines += [f"report: {report}"] if report else []
    if lines:
        print_text(*lines)


def _describe_skipped(skipped: list[dict[str, Any]]) -> str:
    return "; ".join(f"{one['location']}: {one['reason']}" for one in skipped[:MAX_SKIPPED_SHOWN])


def _check_arguments(args: argparse.Namespace) -> None:
    generator, uses_discriminator = args.model or args.generated, args.features == DISCRIMINATOR
    rules = {
        "--accept needs --run and one of --model and --generated": not args.accept or (args.run and generator),
        "--reference needs one of --model and --generated": not args.reference or generator,
        f"--features {DISCRIMINATOR} needs --model, and goes without --size": not uses_discriminator or (args.model and not args.size),
        "--every checks the real data alone, so it goes without --model, --generated and --accept": not args.every or not generator,
        f"--level must be in (0, 1), got {args.level}": args.level is None or 0 < args.level < 1,
    }
    for rule, holds in rules.items():
        if not holds:
            raise UserError(rule)
    if args.report is not None:
        check_output_file("--report", args.report, makes_folder=True)


def _open_run(args: argparse.Namespace) -> tuple[Store, str] | None:
    """Open the store; return it and the id of the run, or None without ``--run``."""
    if not args.run:
        return None
    from ganwatch.store.database import open_store
    from ganwatch.store.queries import find_run

    with open_store(args.store, create=False) as store:
        run_id = find_run(store, args.run).id
    return open_store(args.store), run_id


def _open_checkpoint(args: argparse.Namespace, count: int) -> GeneratedBatches:
    from ganwatch.trainer.checkpoint import GeneratedBatches

    return GeneratedBatches(args.model, count=count, seed=args.seed, argument="--model")


def _generate_samples(args: argparse.Namespace, check: DriftCheck) -> Tensor:
    """Draw as many samples as the baseline has from the checkpoint's generator, in the baseline's range."""
    import torch

    generated = _open_checkpoint(args, len(check.baseline.features))
    samples = torch.cat(list(generated))
    if generated.value_range is None:
        return samples
    (low, high), (to_low, to_high) = generated.value_range, check.reader.limits
    return (samples - low) * ((to_high - to_low) / (high - low)) + to_low


def _write_report(args: argparse.Namespace, result: DriftCheckResult) -> str | None:
    """Write the report and return its path; a report that fails does not change the verdict."""
    import importlib.util

    is_unavailable = args.report is None and importlib.util.find_spec("evidently") is None
    if result.drift.verdict == "insufficient_data" or is_unavailable:
        return None
    from ganwatch.drift.report import write_report

    first = tuple(dict.fromkeys(column.name.split(" ")[0] for column in result.drift.columns))
    sides = result.sides["baseline"].columns, result.sides["fresh"].columns
    try:
        return str(write_report(*sides, args.report or Path(REPORT), first=first).absolute())
    except UserError as error:
        print_text(f"ganwatch drift: no report: {error}", file=sys.stderr)
        return None
