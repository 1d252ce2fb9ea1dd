"""``ganwatch audit DATA``: look for faults in training data."""

from __future__ import annotations

import argparse
import json

HELP = "look for faults in training data; exit code 1 with warnings"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("data", metavar="DATA", help="folder of images, .npy or .npz file, or 'digits'")
    parser.add_argument("--held-out", metavar="PATH", help="data kept from training, of the same kinds")
    parser.add_argument("--range", nargs=2, type=float, metavar=("LOW", "HIGH"), help="values that the generator can put out, such as -1 1")
    parser.add_argument("--batch-size", type=int, metavar="N", help="items that a training step takes")
    parser.add_argument("--budget", type=float, default=10.0, metavar="S", help="seconds to take (default: 10)")
    parser.add_argument("--limit", type=int, default=10_000, metavar="N", help="items to read at most, chosen by chance (default: 10000)")
    parser.add_argument("--seed", type=int, default=0, help="decides which items are read (default: 0)")
    parser.add_argument("--json", action="store_true", help="print the report as one JSON object")


def run(args: argparse.Namespace) -> int:
    """Print the report; 0 without warnings, 1 with warnings."""
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
    print(json.dumps(report.to_dict(), indent=2, allow_nan=False) if args.json else report)
    return 1 if report.warnings else 0
