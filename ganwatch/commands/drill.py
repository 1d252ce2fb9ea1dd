"""Rehearse a failure: from the cause to the incident, the page and the runbook."""

from __future__ import annotations

import argparse
import json

from ganwatch.core.errors import UserError
from ganwatch.drill import Injection, injections
from ganwatch.trainer.defaults import DIGITS

HELP = "rehearse: inject a failure into a healthy training at a chosen step, and see what is found and whom it calls"
WATCHED = 600


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    known = injections()
    parser.add_argument("failure", nargs="?", choices=known, metavar="FAILURE", help=f"one of {', '.join(known)}")
    parser.add_argument("--list", action="store_true", help="say what each of them does, and end")
    early = ", ".join(f"{cls.step} with {name}" for name, cls in known.items() if cls.step != Injection.step)
    parser.add_argument("--step", type=int, help=f"the first step that is interfered with (default: {Injection.step}, {early})")
    parser.add_argument("--steps", type=int, help=f"updates of the generator in all (default: {WATCHED} more)")
    losses = list(DIGITS)
    parser.add_argument("--loss", choices=losses, default=losses[0], metavar="LOSS", help=f"{', '.join(losses)} (default: {losses[0]})")
    parser.add_argument("--seed", type=int, default=0, help="decides everything that is drawn (default: 0)")
    parser.add_argument("--store", default="runs", help="folder or SQLAlchemy URL that keeps the run, named a drill (default: runs)")
    parser.add_argument("--prometheus-port", type=int, metavar="PORT", help="export to Prometheus at this port of 127.0.0.1")
    parser.add_argument("--json", action="store_true", help="end standard output with one JSON object")


def run(args: argparse.Namespace) -> int:
    """Train, inject, report; 0 where the right incident came first, 1 where it did not, 130 after Ctrl-C."""
    if args.list:
        for cls in injections().values():
            print(f"{cls.name:<25} {', '.join(cls.codes):<20} {cls.cause}")
        return 0
    if args.failure is None:
        raise UserError(f"FAILURE must be one of {', '.join(injections())}, got none")
    step = injections()[args.failure].step if args.step is None else args.step
    steps = step + WATCHED if args.steps is None else args.steps
    if step > steps:
        raise UserError(f"--step must be <= --steps (the training ends there), got {step} and {steps}")
    from ganwatch.drill import Drill
    from ganwatch.drill.report import outcome, words
    from ganwatch.trainer.demo import Stopped, demo
    from ganwatch.trainer.summary import report, summary

    drill, stopped = Drill(args.failure, step=step), False
    try:
        watch, _ = demo(
            loss=args.loss, seed=args.seed, steps=steps, store=args.store, prometheus_port=args.prometheus_port, callbacks=[drill]
        )
    except Stopped as interrupt:
        watch, stopped = interrupt.watch, True
    if watch.observer is None:
        print("GANWATCH_DISABLED=1: trained without observation")
        return 1
    result = outcome(drill.injection, drill.fired_at, watch.observer.monitor.incidents.known)
    if args.json:
        print(json.dumps(summary(watch) | {"drill": result}, allow_nan=False))
    else:
        print(f"\n{words(result)}\n\n{report(summary(watch), args.store, stopped=stopped)}")
    return 130 if stopped else int(not result["right"])
