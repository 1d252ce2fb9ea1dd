"""Watch a real GAN train on real digits."""

from __future__ import annotations

import argparse
import json
from collections.abc import Collection

from ganwatch.trainer.defaults import DIGITS, STEPS
from ganwatch.trainer.faults import FAULTS

HELP = "train a GAN on 1,797 real digits under observation, healthy or with a provoked failure"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    healthy = ", ".join(f"{steps} with {loss}" for loss, steps in STEPS.items() if steps != STEPS["non-saturating"])
    faulty = ", ".join(f"{fault.steps} for {name}" for name, fault in FAULTS.items())
    parser.add_argument("--fault", choices=FAULTS, metavar="FAULT", help=f"provoke a failure by a real cause: {_either(FAULTS)}")
    parser.add_argument("--loss", choices=DIGITS, metavar="LOSS", help=f"{_either(DIGITS)} (default: non-saturating, or the fault's own)")
    parser.add_argument("--seed", type=int, default=0, help="decides everything that is drawn (default: 0)")
    parser.add_argument(
        "--steps", type=int, help=f"updates of the generator (default: {STEPS['non-saturating']}, {healthy}; with a fault {faulty})"
    )
    parser.add_argument("--store", default="runs", help="folder or SQLAlchemy URL that keeps the run (default: runs)")
    parser.add_argument("--prometheus-port", type=int, metavar="PORT", help="export to Prometheus at this port of 127.0.0.1")
    parser.add_argument("--json", action="store_true", help="end standard output with one JSON object")


def run(args: argparse.Namespace) -> int:
    """Train, then say what was seen; 130 after Ctrl-C."""
    from ganwatch.trainer.demo import Stopped, demo
    from ganwatch.trainer.summary import report, summary

    stopped = False
    try:
        watch, _ = demo(
            args.fault, loss=args.loss, seed=args.seed, steps=args.steps, store=args.store, prometheus_port=args.prometheus_port
        )
    except Stopped as interrupt:
        watch, stopped = interrupt.watch, True
    if watch.observer is None:
        print("GANWATCH_DISABLED=1: trained without observation")
        return 0
    result = summary(watch)
    print(json.dumps(result, allow_nan=False) if args.json else "\n" + report(result, args.store, stopped=stopped))
    return 130 if stopped else 0


def _either(names: Collection[str]) -> str:
    *others, last = names
    return f"{', '.join(others)} or {last}"
