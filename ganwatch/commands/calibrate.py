"""``ganwatch calibrate``: fit the thresholds of detectors to healthy runs."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganwatch.commands._arguments import DETECTORS, JOBS, JSON, RECORDINGS, select_detectors, select_sources
from ganwatch.commands._parser import finite_number
from ganwatch.commands._terminal import count_items, print_table, print_text
from ganwatch.commands.replay import describe_false_alarms, format_arguments
from ganwatch.core.argument_checks import check_output_file
from ganwatch.core.errors import UserError

if TYPE_CHECKING:
    from ganwatch.calibration.fit import Fit
    from ganwatch.calibration.replayed_runs import ReplayedRun
    from ganwatch.calibration.sweep import DetectorSetting
    from ganwatch.core.detector import Detector

HELP = "fit the thresholds of detectors to healthy runs of your own, at a rate of false alarms"
PARENTS = (RECORDINGS, DETECTORS, JOBS, JSON)
SETTINGS_PER_SIDE = 8
"""Number of settings tried on each side of the shipped one."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare ``--runs``, ``--false-alarms`` and ``--out``."""
    parser.add_argument(
        "--runs", nargs="+", required=True, dest="sources", metavar="SOURCE", help="healthy runs: sources as for ganwatch replay"
    )
    parser.add_argument(
        "--false-alarms", type=finite_number, required=True, metavar="RATE", help="false alarms in 10,000 steps of all detectors"
    )
    parser.add_argument("--out", type=Path, default=Path("preset.toml"), metavar="FILE", help="preset to write (default: %(default)s)")


def run(args: argparse.Namespace) -> int:
    """Write the preset; return 1, and write none, if the rate is not kept on these runs."""
    from ganwatch.calibration.fit import fit_settings
    from ganwatch.calibration.replayed_runs import HEALTHY, replay_runs
    from ganwatch.calibration.sweep import sweep_settings
    from ganwatch.core.detector_settings import write_preset

    _check_arguments(args)
    sources, settings = select_sources(args), sweep_settings(select_detectors(args), SETTINGS_PER_SIDE)
    replayed = list(count_items(replay_runs(sources, [setting.factory for setting in settings], label=HEALTHY, jobs=args.jobs), "runs"))
    healthy = [run for run in replayed if run[0].label == HEALTHY]
    steps = [max(one.judged_steps for one in run) for run in healthy]
    if not sum(steps):
        raise UserError(f"--runs must have healthy runs with readings, got {len(replayed)} runs, {len(healthy)} of them healthy")
    by_code = _sort_by_strictness(settings)
    missing = _missing_inputs(healthy, {code: positions[0][1].cls for code, positions in by_code.items()})
    counts = {code: [[len(run[position].alarms) for run in healthy] for position, _ in positions] for code, positions in by_code.items()}
    judging = {code for run in healthy for one in run for code in one.judging}
    capped = {*missing, *(by_code.keys() - judging)}
    fitted = fit_settings(counts, steps, args.false_alarms, default_position=SETTINGS_PER_SIDE, capped=capped)
    chosen = {code: by_code[code][position][1] for code, position in fitted.positions.items()}
    facts = _provenance(args.false_alarms, fitted, len(healthy))
    kept = is_kept(args.false_alarms, fitted)
    changed = {code: one.arguments for code, one in chosen.items() if one.arguments and not (code in capped and one.strictness == 0.0)}
    if kept:
        try:
            write_preset(args.out, changed, facts)
        except OSError as error:
            raise UserError(f"--out must be a file that can be written, got {str(args.out)!r}: {error.strerror}") from error
    alarms = {code: sum(counts[code][position]) for code, position in fitted.positions.items()}
    if args.json:
        detectors = {
            code: {
                "title": one.cls.title,
                "strictness": one.strictness,
                "alarms": alarms[code] if code in judging else None,
                "arguments": one.arguments,
                "judged": code in judging,
            }
            for code, one in chosen.items()
        }
        preset = str(args.out) if kept else None
        print(json.dumps({"preset": preset, **facts, "detectors": detectors, "unhealthy": len(replayed) - len(healthy)}))
    else:
        others = [run[0] for run in replayed if run[0].label != HEALTHY]
        _print_table(chosen, {code: alarms[code] for code in chosen if code in judging}, missing)
        conclusions = _describe_fit(args.false_alarms, fitted, len(healthy), others)
        print_text("", *conclusions, f"written: {args.out}" if kept else "no preset is written")
    return 0 if kept else 1


def is_kept(rate: float, fitted: Fit) -> bool:
    """Return True if the rate holds on the runs that were fitted, and if it is guaranteed also on those left out of the fit."""
    left_out = fitted.leave_one_out if fitted.is_guaranteed else None
    return fitted.rate <= rate and (left_out is None or (left_out.rate or 0.0) <= rate)


def _check_arguments(args: argparse.Namespace) -> None:
    if not 0.0 < args.false_alarms < 10_000.0:
        raise UserError(f"--false-alarms must be > 0 and < 10000 (in 10,000 steps), got {args.false_alarms:g}")
    check_output_file("--out", args.out)


def _missing_inputs(healthy: list[tuple[ReplayedRun, ...]], classes: Mapping[str, type[Detector]]) -> dict[str, list[str]]:
    """Return by code the inputs without which a detector could not judge some run; it is not made more sensitive."""
    found: dict[str, set[str]] = {}
    for run in healthy:
        for one in run:
            for code, names in one.missing_inputs.items():
                lacking = [set(names) & set(needed) for needed in classes[code].required or (classes[code].inputs,)]
                if all(lacking):
                    found.setdefault(code, set()).update(lacking[0])
    return {code: sorted(names) for code, names in found.items()}


def _sort_by_strictness(settings: list[DetectorSetting]) -> dict[str, list[tuple[int, DetectorSetting]]]:
    """Return by code the settings with their positions in ``settings``, strictest first."""
    by_code: dict[str, list[tuple[int, DetectorSetting]]] = {}
    for position, one in sorted(enumerate(settings), key=lambda pair: -pair[1].strictness):
        by_code.setdefault(one.cls.code, []).append((position, one))
    return dict(sorted(by_code.items()))


def _provenance(rate: float, fitted: Fit, runs: int) -> dict[str, str | int | float]:
    import ganwatch

    facts: dict[str, str | int | float] = {
        "ganwatch": ganwatch.__version__,
        "written": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "false_alarms_asked": rate,
        "runs": runs,
        "steps": fitted.steps,
        "false_alarms": fitted.alarms,
        "rate": round(fitted.rate, 6),
        "rate_at_most": round(fitted.rate_bound, 6),
        "guaranteed": fitted.is_guaranteed,
    }
    if fitted.leave_one_out is not None:
        facts["rate_on_runs_left_out"] = round(fitted.leave_one_out.rate or 0.0, 6)
    return facts


def _print_table(chosen: dict[str, DetectorSetting], alarms: dict[str, int], missing: dict[str, list[str]]) -> None:
    """Print a row a detector; one that could judge nothing has no alarms."""
    rows: list[list[Any]] = []
    for code, one in chosen.items():
        arguments = format_arguments(one)
        if one.arguments and code in missing and one.strictness == 0.0:
            arguments = f"as shipped, inputs missing: {', '.join(missing[code])}"
        if code not in alarms:
            arguments = "as shipped: it could judge none of these runs, so nothing is promised for it"
        rows.append([one.name, f"{one.strictness:+.3f}", alarms.get(code, "-"), arguments])
    print_table(["DETECTOR", "STRICTNESS", "FALSE ALARMS", "ARGUMENTS"], rows)


def _describe_fit(rate: float, fitted: Fit, runs: int, others: list[ReplayedRun]) -> list[str]:
    """Describe the false-alarm rate to expect, and the limits of the fit."""
    from ganwatch.calibration.fit import steps_needed

    target = f"{rate:g} in 10,000"
    lines = []
    if others:
        lines.append(f"left out, as not healthy: {len(others)} runs ({', '.join(sorted({str(one.label) for one in others}))})")
    lines.append(
        f"fitted to {runs} runs: {fitted.alarms} false alarms in {fitted.steps:,} steps, {fitted.rate:.3g} in 10,000, "
        f"at most {fitted.rate_bound:.3g} with 95% confidence"
    )
    if fitted.leave_one_out is not None:
        lines.append(f"each run with settings fitted to the others: {describe_false_alarms(fitted.leave_one_out)}")
    if fitted.rate > rate:
        lines.append(f"NOT KEPT: even the strictest settings exceed {target}; ganwatch replay shows the alarms")
    elif not fitted.is_guaranteed:
        lines.append(
            f"NOT GUARANTEED: {target} takes {steps_needed(rate):,} steps without a false alarm, and there are {fitted.steps:,}; "
            "so no detector was made more sensitive than shipped"
        )
    elif not is_kept(rate, fitted):
        lines.append(f"NOT KEPT on runs left out of the fit: the runs differ too much to expect {target} on a new one")
    return lines
