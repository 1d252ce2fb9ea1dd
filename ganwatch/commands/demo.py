"""``ganwatch demo``: train a GAN on real digits under observation."""

from __future__ import annotations

import argparse
import json
from collections.abc import Collection

from ganwatch.commands._arguments import JSON, PROMETHEUS, SEED, STORE, check_run_places
from ganwatch.commands._parser import WholeNumber
from ganwatch.commands._terminal import print_text
from ganwatch.core.argument_checks import MAX_COUNT
from ganwatch.trainer.defaults import DIGITS, STEPS
from ganwatch.trainer.faults import FAULTS

HELP = "train a GAN on 1,797 real digits under observation, healthy or with a provoked failure"
PARENTS = (STORE, SEED, PROMETHEUS, JSON)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the demonstration."""
    healthy = ", ".join(f"{steps} with {loss}" for loss, steps in STEPS.items() if steps != STEPS["non-saturating"])
    faulty = ", ".join(f"{fault.steps} for {name}" for name, fault in FAULTS.items())
    parser.add_argument("--fault", choices=FAULTS, metavar="FAULT", help=f"provoke a failure by a real cause: {_join_names(FAULTS)}")
    parser.add_argument(
        "--loss", choices=DIGITS, metavar="LOSS", help=f"{_join_names(DIGITS)} (default: non-saturating, or the fault's own)"
    )
    parser.add_argument(
        "--steps",
        type=WholeNumber(1, MAX_COUNT, "updates of the generator"),
        help=f"updates of the generator (default: {STEPS['non-saturating']}, {healthy}; with a fault {faulty})",
    )


def run(args: argparse.Namespace) -> int:
    """Train and print a summary; return 130 after Ctrl-C."""
    check_run_places(args)
    from ganwatch.trainer.demo import DemoInterrupted, demo
    from ganwatch.trainer.summary import report, summary

    stopped = False
    try:
        watch, _ = demo(
            args.fault, loss=args.loss, seed=args.seed, steps=args.steps, store=args.store, prometheus_port=args.prometheus_port
        )
    except DemoInterrupted as interrupt:
        watch, stopped = interrupt.watch, True
    if watch.observer is None:
        print("GANWATCH_DISABLED=1: trained without observation")
        return 0
    result = summary(watch)
    if args.json:
        print(json.dumps(result, allow_nan=False))
    else:
        print_text("", *report(result, args.store, stopped=stopped))
    return 130 if stopped else 0


def _join_names(names: Collection[str]) -> str:
    *others, last = names
    return f"{', '.join(others)} or {last}"
