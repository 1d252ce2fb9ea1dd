"""``ganwatch calibrate``: thresholds fitted to a user's own healthy runs."""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganwatch.commands.replay import add_detectors, add_reading, counted, healthy_line, judging, opened, shown_arguments
from ganwatch.commands.runs import table
from ganwatch.core.errors import UserError

if TYPE_CHECKING:
    from ganwatch.calibration.fit import Fit
    from ganwatch.calibration.judged import Judged
    from ganwatch.calibration.sweep import Setting

HELP = "fit the thresholds of detectors to healthy runs of your own, at a rate of false alarms"
EACH_WAY = 8
"""Settings tried to each side of the shipped one."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "--runs", nargs="+", required=True, dest="sources", metavar="SOURCE", help="healthy runs: sources as for ganwatch replay"
    )
    parser.add_argument("--false-alarms", type=float, required=True, metavar="RATE", help="in 10,000 steps, of all detectors together")
    parser.add_argument("--out", type=Path, default=Path("preset.toml"), metavar="FILE", help="preset to write (default: %(default)s)")
    add_reading(parser)
    add_detectors(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Write the preset; 1 where the rate cannot be kept on these runs."""
    from ganwatch.calibration.fit import fit
    from ganwatch.calibration.judged import HEALTHY, judge_all
    from ganwatch.calibration.sweep import settings_of
    from ganwatch.core.detector_settings import write_preset

    _check_arguments(args)
    sources, settings = opened(args), settings_of(judging(args), EACH_WAY)
    every = list(counted(judge_all(sources, [one.variant for one in settings], label=HEALTHY, jobs=args.jobs)))
    healthy = [run for run in every if run[0].label == HEALTHY]
    steps = [run[0].steps for run in healthy]
    if not sum(steps):
        raise UserError(f"--runs must have healthy runs with readings, got {len(every)} runs, {len(healthy)} of them healthy")
    missing = _missing(healthy)
    by_code = _strictest_first(settings)
    counts = {code: [[len(run[place].alarms) for run in healthy] for place, _ in places] for code, places in by_code.items()}
    fitted = fit(counts, steps, args.false_alarms, shipped=EACH_WAY, held=missing)
    chosen = {code: by_code[code][place][1] for code, place in fitted.places.items()}
    facts = _provenance(args.false_alarms, fitted, len(healthy))
    moved = {code: one.arguments for code, one in chosen.items() if one.arguments and not (code in missing and one.strictness == 0.0)}
    write_preset(args.out, moved, facts)
    alarms = {code: sum(counts[code][place]) for code, place in fitted.places.items()}
    if args.json:
        detectors = {c: {"strictness": s.strictness, "alarms": alarms[c], "arguments": s.arguments} for c, s in chosen.items()}
        print(json.dumps({"preset": str(args.out), **facts, "detectors": detectors, "unhealthy": len(every) - len(healthy)}))
    else:
        others = [run[0] for run in every if run[0].label != HEALTHY]
        verdict = _verdict(args.false_alarms, fitted, len(healthy), others)
        print("\n".join([_table(chosen, alarms, missing), "", *verdict, f"written: {args.out}"]))
    return 0 if fitted.rate <= args.false_alarms else 1


def _check_arguments(args: argparse.Namespace) -> None:
    if not 0.0 < args.false_alarms < 10_000.0:
        raise UserError(f"--false-alarms must be > 0 and < 10000 (in 10,000 steps), got {args.false_alarms:g}")
    if not args.out.parent.is_dir():
        raise UserError(f"--out must be a file in a folder that exists, got {str(args.out)!r}")


def _missing(healthy: list[tuple[Judged, ...]]) -> dict[str, list[str]]:
    """By code, the inputs that a run lacks: what these runs cannot show of a detector is no reason to make it more sensitive."""
    found: dict[str, set[str]] = {}
    for run in healthy:
        for one in run:
            for code, names in one.missing.items():
                found.setdefault(code, set()).update(names)
    return {code: sorted(names) for code, names in found.items()}


def _strictest_first(settings: list[Setting]) -> dict[str, list[tuple[int, Setting]]]:
    """By code, where each setting stands and what it is."""
    by_code: dict[str, list[tuple[int, Setting]]] = {}
    for place, one in sorted(enumerate(settings), key=lambda pair: -pair[1].strictness):
        by_code.setdefault(one.cls.code, []).append((place, one))
    return dict(sorted(by_code.items()))


def _provenance(asked: float, fitted: Fit, runs: int) -> dict[str, str | int | float]:
    import ganwatch

    facts: dict[str, str | int | float] = {
        "ganwatch": ganwatch.__version__,
        "written": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "false_alarms_asked": asked,
        "runs": runs,
        "steps": fitted.steps,
        "false_alarms": fitted.alarms,
        "rate": round(fitted.rate, 6),
        "rate_at_most": round(fitted.bound, 6),
        "promised": fitted.promised,
    }
    if fitted.left_out is not None:
        facts["rate_on_runs_left_out"] = round(fitted.left_out.rate or 0.0, 6)
    return facts


def _table(chosen: dict[str, Setting], alarms: dict[str, int], missing: dict[str, list[str]]) -> str:
    rows: list[list[Any]] = []
    for code, one in chosen.items():
        kept = one.arguments and code in missing and one.strictness == 0.0
        arguments = f"as shipped, for want of {', '.join(missing[code])}" if kept else shown_arguments(one)
        rows.append([code, f"{one.strictness:+.3f}", alarms[code], arguments])
    return table(["DETECTOR", "STRICTNESS", "FALSE ALARMS", "ARGUMENTS"], rows)


def _verdict(rate: float, fitted: Fit, runs: int, others: list[Judged]) -> list[str]:
    """What can be expected, and what cannot."""
    from ganwatch.calibration.fit import needed

    asked = f"{rate:g} in 10,000"
    lines = []
    if others:
        lines.append(f"left out, as they are not healthy: {len(others)} runs ({', '.join(sorted({str(one.label) for one in others}))})")
    lines.append(
        f"fitted to {runs} runs: {fitted.alarms} false alarms in {fitted.steps:,} steps, {fitted.rate:.3g} in 10,000, "
        f"at most {fitted.bound:.3g} with 95% confidence"
    )
    if fitted.left_out is not None:
        lines.append(f"each run judged by what was fitted to the others: {healthy_line(fitted.left_out)}")
    if fitted.rate > rate:
        lines.append(f"NOT KEPT: even the strictest settings exceed {asked}; ganwatch replay shows the alarms")
    elif not fitted.promised:
        lines.append(
            f"NOT PROMISED: {asked} takes {needed(rate):,} steps without a false alarm, and there are {fitted.steps:,}; "
            "so no detector was made more sensitive than it is shipped"
        )
    elif fitted.left_out is not None and (fitted.left_out.rate or 0.0) > rate:
        lines.append(f"NOT KEPT on runs left out of the fitting: they differ too much to expect {asked} of a further one")
    return lines
