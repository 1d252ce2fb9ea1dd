"""``ganwatch replay SOURCE``: replay recorded runs through the detectors."""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any

from ganwatch.commands._arguments import DETECTORS, JOBS, JSON, RECORDINGS, select_detectors, select_sources
from ganwatch.commands._terminal import count_items, print_table, print_text
from ganwatch.commands.runs import format_value
from ganwatch.core.errors import UserError

if TYPE_CHECKING:
    from ganwatch.calibration.judged import Judged
    from ganwatch.calibration.rates import FalseAlarms, Found, Share
    from ganwatch.calibration.sweep import Row, Setting

HELP = "replay recorded runs through the detectors: alarms, delays, false alarms"
PARENTS = (RECORDINGS, DETECTORS, JOBS, JSON)
SETTINGS_PER_SIDE = 4
"""Number of settings of a sweep on each side of the shipped one."""
SOURCE = "Parquet file of recordings, CSV, folder of these or of TensorBoard's event files, or with --store a run"
"""Forms of a source, for the help text."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare ``SOURCE`` and the options of a replay."""
    parser.add_argument("sources", nargs="+", metavar="SOURCE", help=SOURCE)
    parser.add_argument("--label", metavar="LABEL", help="label of runs that have none: healthy, or the name of a failure")
    parser.add_argument("--sweep", action="store_true", help="each detector alone, from sensitive to strict: delays against false alarms")
    parser.add_argument("--preset", metavar="FILE", help="arguments of the detectors, from ganwatch calibrate")


def run(args: argparse.Namespace) -> int:
    """Print the alarms of every run, and the rates."""
    if args.sweep:
        return _sweep(args)
    from ganwatch.calibration.judged import judge_all
    from ganwatch.calibration.rates import false_alarms, found
    from ganwatch.core.detector_settings import create_detectors, read_preset

    sources, classes = select_sources(args), select_detectors(args)
    variant = partial(create_detectors, classes, read_preset(args.preset) if args.preset else None, f"preset {args.preset}")
    variant()  # wrong arguments are refused before anything is read
    started = time.perf_counter()
    judged = [one for (one,) in count_items(judge_all(sources, [variant], label=args.label, jobs=args.jobs), "runs")]
    seconds = time.perf_counter() - started
    alarms, failures = false_alarms(judged), found(judged)
    if args.json:
        print(json.dumps(to_dict(judged, alarms, failures, seconds), allow_nan=False))
    else:
        _print_report(judged, alarms, failures, seconds)
    return 0


def _sweep(args: argparse.Namespace) -> int:
    from ganwatch.calibration.judged import judge_all
    from ganwatch.calibration.sweep import rows, settings_of

    if args.preset:
        raise UserError("--sweep sets the arguments that a preset would set: leave out --preset")
    sources, settings = select_sources(args), settings_of(select_detectors(args), SETTINGS_PER_SIDE)
    judged = list(count_items(judge_all(sources, [one.variant for one in settings], label=args.label, jobs=args.jobs), "runs"))
    swept = rows(settings, judged)
    if args.json:
        print(json.dumps([_row_to_dict(row) for row in swept], allow_nan=False))
        return 0
    shipped = [run[place] for run in judged for place, one in enumerate(settings) if one.strictness == 0.0]
    _print_sweep(swept)
    print_text("\n".join(["", *_notes(shipped)]))
    return 0


def _print_sweep(swept: list[Row]) -> None:
    head = ["DETECTOR", "STRICTNESS", "FOUND", "STEP", "DELAY", "FALSE ALARMS", "IN 10,000 STEPS", "95% INTERVAL", "ARGUMENTS"]
    lines = []
    for row in swept:
        found, alarms, (low, high) = row.found, row.alarms, row.alarms.interval
        recall = f"{found.recall.count} of {found.recall.of}" if found.recall.of else "-"
        delays = [_format_number(found.step), _format_number(found.delay)]
        rates = ["-"] * 3 if alarms.rate is None else [alarms.alarms, f"{alarms.rate:.3g}", f"{low:.3g} to {high:.3g}"]
        lines.append([row.setting.cls.code, f"{row.setting.strictness:+g}", recall, *delays, *rates, format_arguments(row.setting)])
    print_table(head, lines)


def format_arguments(setting: Setting) -> str:
    """Format the arguments of a setting in one line."""
    return " ".join(f"{name}={value:.4g}" for name, value in setting.arguments.items()) or "nothing to tune"


def _row_to_dict(row: Row) -> dict[str, Any]:
    return {
        "code": row.setting.cls.code,
        "strictness": row.setting.strictness,
        "arguments": row.setting.arguments,
        "recall": asdict(row.found.recall) | {"interval": row.found.recall.interval},
        "step": row.found.step,
        "delay": row.found.delay,
        "healthy": _alarms_to_dict(row.alarms),
    }


def _alarms_to_dict(alarms: FalseAlarms) -> dict[str, Any]:
    return asdict(alarms) | {"rate": alarms.rate, "interval": alarms.interval, "flagged_interval": alarms.flagged.interval}


def _print_report(judged: list[Judged], alarms: FalseAlarms, failures: list[Found], seconds: float) -> None:
    head = ["RUN", "LABEL", "STEPS", "INCIDENT", "TITLE", "ONSET", "FIRED", "CAUSE", "DELAY"]
    rows: list[list[Any]] = []
    for one in judged:
        first = [one.name, format_value(one.label), one.steps]
        for alarm in one.alarms:
            rows.append([*first, alarm.id, alarm.title, alarm.onset, alarm.fired, format_value(alarm.cause), format_value(alarm.delay)])
            first = ["", "", ""]
        if not one.alarms:
            rows.append([*first, "none", *[""] * 5])
    print_table(head, rows)
    print()
    if alarms.flagged.of:
        print_text(describe_false_alarms(alarms))
    if failures:
        rows = [
            [
                one.label,
                one.recall.of,
                one.recall.count,
                _format_interval(one.recall),
                one.right_first.count,
                _format_number(one.step),
                _format_number(one.delay),
            ]
            for one in failures
        ]
        print_table(["LABEL", "RUNS", "FOUND", "95% INTERVAL", "RIGHT CODE FIRST", "MEDIAN STEP", "MEDIAN DELAY"], rows)
    steps = sum(one.steps for one in judged)
    speed = f"{steps:,} steps of {len(judged):,} runs in {seconds:.1f} s, {steps / max(seconds, 1e-9):,.0f} a second"
    print_text("\n".join([*_notes(judged), speed]))


def describe_false_alarms(alarms: FalseAlarms) -> str:
    """Describe the false alarms in one line."""
    low, high = alarms.interval
    flagged = f"{alarms.alarms} on {alarms.flagged.count} of {alarms.flagged.of} healthy runs"
    interval = f"95% interval {low:.3g} to {format_value(None if high is None else f'{high:.3g}')}"
    return f"false alarms: {flagged}, {alarms.rate or 0.0:.3g} in 10,000 steps ({interval}; {alarms.steps:,} steps watched)"


def _format_number(value: float | None) -> str:
    return format_value(None if value is None else f"{value:g}")


def _format_interval(share: Share) -> str:
    low, high = share.interval
    return f"{low:.2f} to {high:.2f}"


def _notes(judged: list[Judged]) -> list[str]:
    from ganwatch.calibration.judged import HEALTHY
    from ganwatch.calibration.rates import failing

    """Describe the runs and series that were not used."""
    lines = []
    if left := len({one.name for one in judged if one.label != HEALTHY and not failing(one)}):
        lines.append(f"in no rate: {left} run{'s' * (left > 1)} not known to be healthy or failing (--label sets the label)")
    for code in sorted({code for one in judged for code in one.unable}):
        runs = [one for one in judged if code in one.unable]
        lines.append(f"{code} could not evaluate {len(runs)} run{'s' * (len(runs) > 1)}: {runs[0].unable[code]}")
    if unused := sorted({series for one in judged for series in one.unused}):
        lines.append(f"not used, as ganwatch has no such series (--map THEIRS=OURS names them): {', '.join(unused)}")
    return lines


def to_dict(judged: list[Judged], alarms: FalseAlarms, failures: list[Found], seconds: float) -> dict[str, Any]:
    """Return the result as plain types for JSON."""
    import ganwatch

    return {
        "ganwatch": ganwatch.__version__,
        "runs": [asdict(one) for one in judged],
        "healthy": _alarms_to_dict(alarms),
        "failures": [
            asdict(one) | {"recall_interval": one.recall.interval, "right_first_interval": one.right_first.interval} for one in failures
        ],
        "seconds": seconds,
    }
