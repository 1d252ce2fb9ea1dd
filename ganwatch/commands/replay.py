"""``ganwatch replay SOURCE``: judge recorded runs again."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from ganwatch.commands.runs import in_line, shown, table
from ganwatch.core.errors import UserError

if TYPE_CHECKING:
    from ganwatch.calibration.judged import Judged
    from ganwatch.calibration.rates import FalseAlarms, Found, Share
    from ganwatch.calibration.sweep import Row, Setting
    from ganwatch.core.detector import Detector
    from ganwatch.recordings.sources import Source

T = TypeVar("T")

HELP = "judge recorded runs again: alarms, delays, false alarms"
EACH_WAY = 4
"""Settings of a sweep to each side of the shipped one."""
SOURCE = "Parquet file of recordings, CSV, folder of these or of TensorBoard's event files, or with --store a run"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("sources", nargs="+", metavar="SOURCE", help=SOURCE)
    add_reading(parser)
    parser.add_argument("--label", metavar="LABEL", help="what runs are that do not say it: healthy, or a failure's name")
    add_detectors(parser)
    parser.add_argument("--sweep", action="store_true", help="each detector alone, from sensitive to strict: delays against false alarms")
    parser.add_argument("--preset", metavar="FILE", help="arguments of the detectors, from ganwatch calibrate")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def add_reading(parser: argparse.ArgumentParser) -> None:
    """What it takes to read sources."""
    parser.add_argument("--store", metavar="STORE", help="folder, SQLite file or SQLAlchemy URL in which a SOURCE that is no path is a run")
    parser.add_argument("--map", action="append", default=[], metavar="THEIRS=OURS", help="name of a series of others, such as errG=loss/g")
    parser.add_argument("--map-file", metavar="FILE", help="TOML file of such names, one a line: errG = 'loss/g'")


def add_detectors(parser: argparse.ArgumentParser) -> None:
    """What judges, and in how many processes."""
    parser.add_argument(
        "--detectors", action="append", metavar="D", help="code or package.module:attribute, may be repeated (default: all of ganwatch)"
    )
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="processes (default: %(default)s)")


def run(args: argparse.Namespace) -> int:
    """Print alarms by run, and rates."""
    if args.sweep:
        return _sweep(args)
    from ganwatch.calibration.judged import judge_all
    from ganwatch.calibration.rates import false_alarms, found
    from ganwatch.core.detector_settings import made, read_preset

    sources, classes = opened(args), judging(args)
    variant = partial(made, classes, read_preset(args.preset) if args.preset else None, f"preset {args.preset}")
    variant()  # what is wrong with the arguments is said before anything is read
    started = time.perf_counter()
    judged = [one for (one,) in counted(judge_all(sources, [variant], label=args.label, jobs=args.jobs))]
    seconds = time.perf_counter() - started
    alarms, failures = false_alarms(judged), found(judged)
    if args.json:
        print(json.dumps(as_plain(judged, alarms, failures, seconds), allow_nan=False))
    else:
        print(described(judged, alarms, failures, seconds))
    return 0


def counted(runs: Iterator[T]) -> Iterator[T]:
    """The same, with a count of them on a terminal."""
    live, number = sys.stderr.isatty(), 0
    for number, run in enumerate(runs, 1):
        if live:
            print(f"\r{number:,} runs", end="", file=sys.stderr, flush=True)
        yield run
    if live and number:
        print(file=sys.stderr)


def _sweep(args: argparse.Namespace) -> int:
    from ganwatch.calibration.judged import judge_all
    from ganwatch.calibration.sweep import rows, settings_of

    if args.preset:
        raise UserError("--sweep moves the arguments that a preset would set: leave out --preset")
    sources, settings = opened(args), settings_of(judging(args), EACH_WAY)
    judged = list(counted(judge_all(sources, [one.variant for one in settings], label=args.label, jobs=args.jobs)))
    swept = rows(settings, judged)
    if args.json:
        print(json.dumps([_row_as_plain(row) for row in swept], allow_nan=False))
        return 0
    shipped = [run[place] for run in judged for place, one in enumerate(settings) if one.strictness == 0.0]
    print("\n".join([_swept(swept), "", *_remarks(shipped)]))
    return 0


def _swept(swept: list[Row]) -> str:
    head = ["DETECTOR", "STRICTNESS", "FOUND", "STEP", "DELAY", "FALSE ALARMS", "IN 10,000 STEPS", "95% INTERVAL", "ARGUMENTS"]
    lines = []
    for row in swept:
        found, alarms, (low, high) = row.found, row.alarms, row.alarms.interval
        recall = [f"{found.recall.count} of {found.recall.of}" if found.recall.of else "-", _number(found.step), _number(found.delay)]
        rates = ["-"] * 3 if alarms.rate is None else [alarms.alarms, f"{alarms.rate:.3g}", f"{low:.3g} to {high:.3g}"]
        lines.append([row.setting.cls.code, f"{row.setting.strictness:+g}", *recall, *rates, shown_arguments(row.setting)])
    return table(head, lines)


def shown_arguments(setting: Setting) -> str:
    """Arguments in one line."""
    return " ".join(f"{name}={value:.4g}" for name, value in setting.arguments.items()) or "nothing to tune"


def _row_as_plain(row: Row) -> dict[str, Any]:
    return {
        "code": row.setting.cls.code,
        "strictness": row.setting.strictness,
        "arguments": row.setting.arguments,
        "recall": asdict(row.found.recall) | {"interval": row.found.recall.interval},
        "step": row.found.step,
        "delay": row.found.delay,
        "healthy": _alarms_as_plain(row.alarms),
    }


def _alarms_as_plain(alarms: FalseAlarms) -> dict[str, Any]:
    return asdict(alarms) | {"rate": alarms.rate, "interval": alarms.interval, "flagged_interval": alarms.flagged.interval}


def opened(args: argparse.Namespace) -> list[Source]:
    """The sources of the arguments, checked."""
    from ganwatch.recordings.names import read_names
    from ganwatch.recordings.sources import open_sources

    if args.jobs < 1:
        raise UserError(f"--jobs must be >= 1 (processes), got {args.jobs}")
    return open_sources(args.sources, names=read_names(args.map, args.map_file), store=args.store)


def judging(args: argparse.Namespace) -> list[type[Detector]]:
    """The detectors of the arguments."""
    from ganwatch.core.detector_settings import named_detectors, own_detectors

    return own_detectors() if args.detectors is None else named_detectors(args.detectors)


def described(judged: list[Judged], alarms: FalseAlarms, failures: list[Found], seconds: float) -> str:
    """For people."""
    head = ["RUN", "LABEL", "STEPS", "INCIDENT", "TITLE", "ONSET", "FIRED", "CAUSE", "DELAY"]
    rows: list[list[Any]] = []
    for one in judged:
        first = [one.name, shown(one.label), one.steps]
        for alarm in one.alarms:
            rows.append([*first, alarm.id, alarm.title, alarm.onset, alarm.fired, shown(alarm.cause), shown(alarm.delay)])
            first = ["", "", ""]
        if not one.alarms:
            rows.append([*first, "none", *[""] * 5])
    lines = [table(head, rows), ""]
    if alarms.flagged.of:
        lines.append(healthy_line(alarms))
    if failures:
        rows = [
            [
                one.label,
                one.recall.of,
                one.recall.count,
                _interval(one.recall),
                one.right_first.count,
                _number(one.step),
                _number(one.delay),
            ]
            for one in failures
        ]
        lines += [table(["LABEL", "RUNS", "FOUND", "95% INTERVAL", "RIGHT CODE FIRST", "MEDIAN STEP", "MEDIAN DELAY"], rows)]
    lines += _remarks(judged)
    steps = sum(one.steps for one in judged)
    lines.append(f"{steps:,} steps of {len(judged):,} runs in {seconds:.1f} s, {steps / max(seconds, 1e-9):,.0f} a second")
    return "\n".join(lines)


def healthy_line(alarms: FalseAlarms) -> str:
    """False alarms in a sentence."""
    low, high = alarms.interval
    flagged = f"{alarms.alarms} on {alarms.flagged.count} of {alarms.flagged.of} healthy runs"
    interval = f"95% interval {low:.3g} to {shown(None if high is None else f'{high:.3g}')}"
    return f"false alarms: {flagged}, {alarms.rate or 0.0:.3g} in 10,000 steps ({interval}; {alarms.steps:,} steps watched)"


def _number(value: float | None) -> str:
    return shown(None if value is None else f"{value:g}")


def _interval(share: Share) -> str:
    low, high = share.interval
    return f"{low:.2f} to {high:.2f}"


def _remarks(judged: list[Judged]) -> list[str]:
    from ganwatch.calibration.judged import HEALTHY
    from ganwatch.calibration.rates import failing

    lines = []
    if left := len({one.name for one in judged if one.label != HEALTHY and not failing(one)}):
        lines.append(f"in no rate: {left} run{'s' * (left > 1)} of which is not known whether they are healthy (--label says it)")
    for code in sorted({code for one in judged for code in one.unable}):
        runs = [one for one in judged if code in one.unable]
        lines.append(f"{code} could not judge {len(runs)} run{'s' * (len(runs) > 1)}: {runs[0].unable[code]}")
    if unused := sorted({series for one in judged for series in one.unused}):
        lines.append(f"not used, as ganwatch has no such series (--map THEIRS=OURS names them): {in_line(', '.join(unused))}")
    return lines


def as_plain(judged: list[Judged], alarms: FalseAlarms, failures: list[Found], seconds: float) -> dict[str, Any]:
    """For programs."""
    import ganwatch

    return {
        "ganwatch": ganwatch.__version__,
        "runs": [asdict(one) for one in judged],
        "healthy": _alarms_as_plain(alarms),
        "failures": [
            asdict(one) | {"recall_interval": one.recall.interval, "right_first_interval": one.right_first.interval} for one in failures
        ],
        "seconds": seconds,
    }
