"""``ganwatch drill FAILURE``: inject a failure and report the incident, the alert and the runbook."""

from __future__ import annotations

import argparse
import json

from ganwatch.commands._arguments import JSON, PROMETHEUS, SEED, STORE, check_run_places
from ganwatch.commands._parser import WholeNumber
from ganwatch.commands._terminal import print_table, print_text
from ganwatch.core.argument_checks import MAX_COUNT
from ganwatch.core.detector_settings import failure_names
from ganwatch.core.errors import UserError
from ganwatch.drill import Injection, injections
from ganwatch.trainer.defaults import DIGITS

HELP = "inject a failure into a healthy training at a chosen step, and see which incident and alert follow"
PARENTS = (STORE, SEED, PROMETHEUS, JSON)
STEPS_AFTER_INJECTION = 600
"""Default number of steps after the injection."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare ``FAILURE`` and the options of the drill."""
    known = injections()
    parser.add_argument("failure", nargs="?", choices=known, metavar="FAILURE", help=f"one of {', '.join(known)}")
    parser.add_argument("--list", action="store_true", help="list the failures with their causes, and exit")
    early = ", ".join(f"{cls.step} with {name}" for name, cls in known.items() if cls.step != Injection.step)
    steps = WholeNumber(1, MAX_COUNT, "updates of the generator")
    parser.add_argument("--step", type=steps, help=f"step of the injection (default: {Injection.step}, {early})")
    parser.add_argument("--steps", type=steps, help=f"total updates of the generator (default: {STEPS_AFTER_INJECTION} more)")
    losses = list(DIGITS)
    parser.add_argument("--loss", choices=losses, default=losses[0], metavar="LOSS", help=f"{', '.join(losses)} (default: {losses[0]})")


def run(args: argparse.Namespace) -> int:
    """Train, inject and report; return 0 if the right incident came first, else 1, and 130 after Ctrl-C."""
    if args.list:
        names = failure_names()
        rows = [[cls.name, ", ".join(names[code] for code in cls.codes), cls.cause] for cls in injections().values()]
        print_table(["FAILURE", "INCIDENTS", "CAUSE"], rows)
        return 0
    if args.failure is None:
        raise UserError(f"FAILURE must be one of {', '.join(injections())}, got none")
    step = injections()[args.failure].step if args.step is None else args.step
    steps = step + STEPS_AFTER_INJECTION if args.steps is None else args.steps
    if step > steps:
        raise UserError(f"--step must be <= --steps (the training ends there), got {step} and {steps}")
    check_run_places(args)
    from ganwatch.drill import Drill
    from ganwatch.drill.report import evaluate_drill, format_report
    from ganwatch.trainer.demo import DemoInterrupted, demo
    from ganwatch.trainer.summary import report, summary

    drill, stopped = Drill(args.failure, step=step), False
    try:
        watch, _ = demo(
            loss=args.loss, seed=args.seed, steps=steps, store=args.store, prometheus_port=args.prometheus_port, callbacks=[drill]
        )
    except DemoInterrupted as interrupt:
        watch, stopped = interrupt.watch, True
    if watch.observer is None:
        print("GANWATCH_DISABLED=1: trained without observation")
        return 1
    result = evaluate_drill(drill.injection, drill.injected_at, watch.observer.incidents)
    if args.json:
        print(json.dumps(summary(watch) | {"drill": result}, allow_nan=False))
    else:
        print_text("", *format_report(result), "", *report(summary(watch), args.store, stopped=stopped))
    return 130 if stopped else int(not result["right"])
