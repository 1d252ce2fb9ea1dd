"""``ganwatch audit DATA``: look for faults in training data."""

from __future__ import annotations

import argparse
import json

from ganwatch.commands._arguments import JSON, SEED
from ganwatch.commands._parser import WholeNumber, finite_number
from ganwatch.commands._terminal import print_text
from ganwatch.core.argument_checks import MAX_COUNT
from ganwatch.core.errors import UserError

HELP = "look for faults in training data; exit code 1 with warnings"
PARENTS = (SEED, JSON)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare ``DATA`` and the options of the audit."""
    parser.add_argument("data", metavar="DATA", help="folder of images, .npy or .npz file, or 'digits'")
    parser.add_argument("--held-out", metavar="PATH", help="data kept from training, with the same modes")
    parser.add_argument("--range", nargs=2, type=float, metavar=("LOW", "HIGH"), help="range of the generator's output, such as -1 1")
    parser.add_argument("--batch-size", type=WholeNumber(1, MAX_COUNT, "items"), metavar="N", help="items in a training batch")
    parser.add_argument("--budget", type=finite_number, default=10.0, metavar="S", help="time limit in seconds (default: 10)")
    parser.add_argument(
        "--limit",
        type=WholeNumber(1, MAX_COUNT, "items"),
        default=10_000,
        metavar="N",
        help="largest number of items read, at random (default: 10000)",
    )


def run(args: argparse.Namespace) -> int:
    """Print the report; return 0 without warnings, 1 with warnings."""
    if args.budget <= 0:
        raise UserError(f"--budget must be > 0 (seconds), got {args.budget:g}")
    if args.range and not args.range[0] < args.range[1]:
        raise UserError(f"--range must be LOW HIGH with LOW < HIGH, got {args.range[0]:g} {args.range[1]:g}")
    from ganwatch.audit import audit

    report = audit(
        args.data,
        held_out=args.held_out,
        generator_range=tuple(args.range) if args.range else None,
        batch_size=args.batch_size,
        budget=args.budget,
        limit=args.limit,
        seed=args.seed,
    )
    if args.json:
        print(json.dumps(report.to_dict(), indent=2, allow_nan=False))
    else:
        print_text(*report.lines())
    return 1 if report.warnings else 0
