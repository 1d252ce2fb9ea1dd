"""Watch a real GAN train on real digits."""

from __future__ import annotations

import argparse
import json
import os

HELP = "train a GAN on 1,797 real digits under observation, healthy or with a provoked failure"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "--fault",
        metavar="FAULT",
        help="provoke a failure by a real cause: mode-collapse, discriminator-domination, vanishing-gradient, exploding-gradient, "
        "non-finite or range-mismatch",
    )
    parser.add_argument("--loss", help="non-saturating (default), hinge, least-squares, wgan-gp, minimax or relativistic")
    parser.add_argument("--seed", type=int, default=0, help="decides everything that is drawn (default: 0)")
    parser.add_argument("--steps", type=int, help="updates of the generator")
    parser.add_argument("--store", default="runs", help="folder or SQLAlchemy URL that keeps the run (default: runs)")
    parser.add_argument("--prometheus-port", type=int, metavar="PORT", help="export to Prometheus at this port of 127.0.0.1")
    parser.add_argument("--json", action="store_true", help="end standard output with one JSON object")


def run(args: argparse.Namespace) -> int:
    """Train, then say what was seen."""
    from ganwatch.trainer.demo import demo, summary

    watch, _ = demo(
        args.fault, loss=args.loss, seed=args.seed, steps=args.steps, store=args.store, prometheus_port=args.prometheus_port
    )
    if watch.observer is None:
        print("GANWATCH_DISABLED=1: trained without observation")
        return 0
    result = summary(watch)
    if not args.json:
        _report(result, args.store)
    else:
        print(json.dumps(result, allow_nan=False))
    return 0


def _report(result: dict[str, object], store: str) -> None:
    incidents = result["incidents"]
    assert isinstance(incidents, list)
    print(f"\nRun {result['run']}: {result['steps']} steps, {'no incident' if not incidents else f'{len(incidents)} incident(s)'}.")
    for incident in incidents:
        because = f", explained by {incident['cause']}" if incident["cause"] else ""
        print(f"  {incident['code']} {incident['title']}: {incident['state']}, onset at step {incident['onset']}{because}")
        print(f"    {incident['explanation']}")
    from ganwatch.provenance import masked

    option = "" if store == "runs" else f" --store {masked(store)}"
    prefix = ".venv/bin/" if os.path.isfile(".venv/bin/ganwatch") else ""  # noqa: PTH113  # pathlib is slower to import than to use here
    print(f"\nLook at it:  {prefix}ganwatch dashboard{option}")
    if incidents:
        print(f"In short:    {prefix}ganwatch incidents {result['run']}{option}")
