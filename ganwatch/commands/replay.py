"""``ganwatch replay SOURCE``: replay recorded runs through the detectors."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any

from ganwatch.commands._arguments import DETECTORS, JOBS, JSON, RECORDINGS, select_detectors, select_sources
from ganwatch.commands._terminal import count_items, print_table, print_text
from ganwatch.commands.runs import format_value
from ganwatch.core.errors import UserError
from ganwatch.core.names import name_failure

if TYPE_CHECKING:
    from ganwatch.calibration.rates import DetectionRates, FalseAlarms, Proportion
    from ganwatch.calibration.replayed_runs import ReplayedRun
    from ganwatch.calibration.sweep import DetectorSetting, SweepRow

HELP = "replay recorded runs through the detectors: alarms, delays, false alarms"
PARENTS = (RECORDINGS, DETECTORS, JOBS, JSON)
SETTINGS_PER_SIDE = 4
"""Number of settings of a sweep on each side of the shipped one."""
SOURCE = "store, Parquet file of recordings, CSV, folder of these or of TensorBoard's event files, or with --store a run"
"""Forms of a source, for the help text."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare ``SOURCE`` and the options of a replay."""
    parser.add_argument("sources", nargs="+", metavar="SOURCE", help=SOURCE)
    parser.add_argument("--label", metavar="LABEL", help="label of runs that have none: healthy, or the name of a failure")
    parser.add_argument("--sweep", action="store_true", help="each detector alone, from sensitive to strict: delays against false alarms")
    parser.add_argument("--preset", metavar="FILE", help="arguments of the detectors, from ganwatch calibrate")


def run(args: argparse.Namespace) -> int:
    """Print the alarms of every run, and the rates; return 2 if a part of a source cannot be read."""
    if args.sweep:
        return _sweep(args)
    from ganwatch.calibration.rates import count_false_alarms, detection_rates_by_label
    from ganwatch.calibration.replayed_runs import replay_runs
    from ganwatch.core.detector_settings import create_detectors, failure_names, read_preset

    sources, classes = select_sources(args), select_detectors(args)
    factory = partial(create_detectors, classes, read_preset(args.preset) if args.preset else None, f"preset {args.preset}")
    factory()  # wrong arguments are refused before anything is read
    started = time.perf_counter()
    damage: list[str] = []
    runs = replay_runs(sources, [factory], label=args.label, jobs=args.jobs, on_damage=damage.append)
    replayed = [one for (one,) in count_items(runs, "runs")]
    seconds = time.perf_counter() - started
    alarms, failures = count_false_alarms(replayed), detection_rates_by_label(replayed)
    if args.json:
        titles = {"titles": {cls.code: cls.title for cls in classes}}
        print(json.dumps(to_dict(replayed, alarms, failures, seconds) | titles | {"damage": damage}, allow_nan=False))
    elif replayed:
        _print_report(replayed, alarms, failures, seconds, failure_names(classes))
    for line in damage:
        print_text(f"ganwatch replay: {line}", file=sys.stderr)
    return 2 if damage else 0


def _sweep(args: argparse.Namespace) -> int:
    from ganwatch.calibration.replayed_runs import replay_runs
    from ganwatch.calibration.sweep import sweep_rows, sweep_settings

    if args.preset:
        raise UserError("--sweep sets the arguments that a preset would set: leave out --preset")
    sources, settings = select_sources(args), sweep_settings(select_detectors(args), SETTINGS_PER_SIDE)
    replayed = list(count_items(replay_runs(sources, [setting.factory for setting in settings], label=args.label, jobs=args.jobs), "runs"))
    rows = sweep_rows(settings, replayed)
    if args.json:
        print(json.dumps([_row_to_dict(row) for row in rows], allow_nan=False))
        return 0
    shipped = [run[position] for run in replayed for position, setting in enumerate(settings) if setting.strictness == 0.0]
    _print_sweep(rows)
    print_text("", *_notes(shipped, {setting.cls.code: setting.name for setting in settings}))
    return 0


def _print_sweep(rows: list[SweepRow]) -> None:
    head = ["DETECTOR", "STRICTNESS", "FOUND", "STEP", "DELAY", "FALSE ALARMS", "IN 10,000 STEPS", "95% INTERVAL", "ARGUMENTS"]
    lines = []
    for row in rows:
        detections, alarms, (low, high) = row.detections, row.false_alarms, row.false_alarms.interval
        recall = f"{detections.recall.count} of {detections.recall.total}" if detections.recall.total else "-"
        delays = [_format_number(detections.median_step), _format_number(detections.median_delay)]
        rates = ["-"] * 3 if alarms.rate is None else [alarms.alarms, f"{alarms.rate:.3g}", f"{low:.3g} to {high:.3g}"]
        lines.append([row.setting.name, f"{row.setting.strictness:+g}", recall, *delays, *rates, format_arguments(row.setting)])
    print_table(head, lines)


def format_arguments(setting: DetectorSetting) -> str:
    """Format the arguments of a setting in one line."""
    return " ".join(f"{name}={value:.4g}" for name, value in setting.arguments.items()) or "nothing to tune"


def _row_to_dict(row: SweepRow) -> dict[str, Any]:
    return {
        "code": row.setting.cls.code,
        "title": row.setting.cls.title,
        "strictness": row.setting.strictness,
        "arguments": row.setting.arguments,
        "recall": asdict(row.detections.recall) | {"interval": row.detections.recall.interval},
        "step": row.detections.median_step,
        "delay": row.detections.median_delay,
        "healthy": _alarms_to_dict(row.false_alarms),
    }


def _alarms_to_dict(alarms: FalseAlarms) -> dict[str, Any]:
    return asdict(alarms) | {"rate": alarms.rate, "interval": alarms.interval, "flagged_interval": alarms.flagged.interval}


def _print_report(
    replayed: list[ReplayedRun], alarms: FalseAlarms, failures: list[DetectionRates], seconds: float, names: Mapping[str, str]
) -> None:
    from ganwatch.calibration.replayed_runs import name_runs

    head = ["RUN", "LABEL", "STEPS", "INCIDENT", "TITLE", "ONSET", "FIRED", "CAUSE", "DELAY"]
    rows: list[list[Any]] = []
    for one, name in zip(replayed, name_runs(replayed), strict=True):
        first = [name, format_value(one.label), one.steps]
        causes = {alarm.id: name_failure(alarm.title, alarm.id) for alarm in one.alarms}
        for alarm in one.alarms:
            cause = causes.get(alarm.cause, alarm.cause) if alarm.cause else "-"
            rows.append([*first, alarm.id, alarm.title, alarm.onset, alarm.fired, cause, format_value(alarm.delay)])
            first = ["", "", ""]
        if not one.alarms:
            rows.append([*first, "none", *[""] * 5])
    print_table(head, rows)
    print()
    if alarms.flagged.total:
        print_text(describe_false_alarms(alarms))
    if failures:
        rows = [
            [
                one.label,
                one.recall.total,
                one.recall.count,
                _format_interval(one.recall),
                one.correct_root.count,
                _format_number(one.median_step),
                _format_number(one.median_delay),
            ]
            for one in failures
        ]
        print_table(["LABEL", "RUNS", "FOUND", "95% INTERVAL", "RIGHT CODE FIRST", "MEDIAN STEP", "MEDIAN DELAY"], rows)
    steps = sum(one.steps for one in replayed)
    runs = f"{len(replayed):,} run{'s' * (len(replayed) != 1)}"
    speed = f"{steps:,} steps of {runs} in {seconds:.1f} s, {steps / max(seconds, 1e-9):,.0f} a second"
    print_text(*_notes(replayed, names), speed)


def describe_false_alarms(alarms: FalseAlarms) -> str:
    """Describe the false alarms in one line."""
    low, high = alarms.interval
    flagged = f"{alarms.alarms} on {alarms.flagged.count} of {alarms.flagged.total} healthy runs"
    interval = f"95% interval {low:.3g} to {format_value(None if high is None else f'{high:.3g}')}"
    return f"false alarms: {flagged}, {alarms.rate or 0.0:.3g} in 10,000 steps ({interval}; {alarms.steps:,} steps judged)"


def _format_number(value: float | None) -> str:
    return format_value(None if value is None else f"{value:g}")


def _format_interval(proportion: Proportion) -> str:
    low, high = proportion.interval
    return f"{low:.2f} to {high:.2f}"


def _notes(replayed: list[ReplayedRun], names: Mapping[str, str]) -> list[str]:
    """Describe the runs and series that were not used; ``names`` are those of the failures, by code."""
    from ganwatch.calibration.rates import is_failing
    from ganwatch.calibration.replayed_runs import HEALTHY

    lines = []
    if left := len({one.name for one in replayed if one.label != HEALTHY and not is_failing(one)}):
        lines.append(f"in no rate: {left} run{'s' * (left > 1)} not known to be healthy or failing (--label sets the label)")
    for code in sorted({code for one in replayed for code in one.not_applicable}):
        runs = [one for one in replayed if code in one.not_applicable]
        lines.append(f"{names[code]} could not evaluate {len(runs)} run{'s' * (len(runs) > 1)}: {runs[0].not_applicable[code]}")
    if unused := sorted({series for one in replayed for series in one.unused_series}):
        lines.append(f"not used, as ganwatch has no such series (--map THEIRS=OURS names them): {', '.join(unused)}")
    return lines


def to_dict(replayed: list[ReplayedRun], alarms: FalseAlarms, failures: list[DetectionRates], seconds: float) -> dict[str, Any]:
    """Return the result as plain types for JSON."""
    import ganwatch

    return {
        "ganwatch": ganwatch.__version__,
        "runs": [asdict(one) for one in replayed],
        "healthy": _alarms_to_dict(alarms),
        "failures": [
            asdict(one) | {"recall_interval": one.recall.interval, "correct_root_interval": one.correct_root.interval} for one in failures
        ],
        "seconds": seconds,
    }
