"""Figures of the corpus: recall, false alarms, delay, gain."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from corpus.design import TRUTH_EVERY

from ganwatch.calibration.rates import (
    Proportion,
    count_false_alarms,
    detection_rates,
    detection_rates_by_label,
    is_failing,
    poisson_interval,
)
from ganwatch.calibration.replayed_runs import HEALTHY, Alarm, ReplayedRun
from ganwatch.core.detector import Detector
from ganwatch.core.detector_settings import discover_detectors

MAX_NON_FINITE_DELAY = 1
"""Steps within which values that are not finite must be found."""

Table = tuple[list[str], list[list[Any]]]
"""Head and rows."""
Facts = Mapping[str, Mapping[str, Any]]
"""Facts by the run's name."""


def failure_table(runs: Sequence[ReplayedRun]) -> Table:
    """Return recall, correct codes and delay of each failure."""
    head = ["FAILURE", "FOUND", "95% INTERVAL", "EXPLAINED BY THE RIGHT CODE", "95% INTERVAL", "A RIGHT CODE FIRED FIRST"]
    rows = []
    failing = [run for run in runs if is_failing(run)]
    for one in [*detection_rates_by_label(runs), detection_rates("all", failing)]:
        first = sum(is_right_first(run) for run in failing if one.label in {run.label, "all"})
        ninth = f"{statistics.quantiles(one.delays, n=10, method='inclusive')[-1]:.0f}" if len(one.delays) > 1 else ""
        delay = "" if one.median_delay is None else f"{one.median_delay:.0f}"
        rows.append([one.label, *proportion_cells(one.recall), *proportion_cells(one.correct_root), first, delay, ninth])
    return [*head, "MEDIAN DELAY OF THOSE FOUND", "9 IN 10 WITHIN"], rows


def is_right_first(run: ReplayedRun) -> bool:
    """Return True if a correct code is among the alarms that fire first once the failure may have begun."""
    detection, alarms = run.detection, alarms_after_cause(run)
    return detection is not None and detection.fired == alarms[0].fired


def alarms_after_cause(run: ReplayedRun) -> list[Alarm]:
    """Return the alarms that fire once the failure may have begun, in their order."""
    return [alarm for alarm in run.alarms if alarm.fired >= (run.onset_low or 0)]


def detector_table(runs: Sequence[ReplayedRun]) -> Table:
    """Return the correct and the false alarms of each detector."""
    rows = []
    for cls in discover_detectors():
        correct, false = alarm_proportions(cls, runs)
        if correct.total or false.count:
            rows.append([f"{cls.code} {cls.title}", *proportion_cells(correct), *proportion_cells(false)])
    return ["DETECTOR", "FIRED WHERE IT NAMES THE FAILURE", "95% INTERVAL", "FIRED ON HEALTHY RUNS", "95% INTERVAL"], rows


def alarm_proportions(cls: type[Detector], runs: Sequence[ReplayedRun]) -> tuple[Proportion, Proportion]:
    """Return the share of failing runs that a detector names, and of healthy ones, on which it fired, if its first input was measured."""
    measured = [run for run in runs if cls.inputs[0] not in run.missing_inputs.get(cls.code, ())]
    named = [run for run in measured if is_failing(run) and cls.code in run.codes]
    correct = sum(any(alarm.code == cls.code for alarm in alarms_after_cause(run)) for run in named)
    healthy = [run for run in measured if run.label == HEALTHY]
    false = sum(any(alarm.code == cls.code for alarm in run.alarms) for run in healthy)
    return Proportion(correct, len(named)), Proportion(false, len(healthy))


def proportion_cells(proportion: Proportion) -> tuple[str, str]:
    """Return count and interval as text."""
    low, high = proportion.interval
    return f"{proportion.count} of {proportion.total}", f"{low:.3f} to {high:.3f}"


def summary_lines(runs: Sequence[ReplayedRun], facts: Facts) -> list[str]:
    """Return the figures that concern more than one failure."""
    return [
        *healthy_lines(runs, facts),
        *early_lines(runs, facts),
        *collapse_lines(runs, facts),
        *non_finite_lines(runs),
        *gain_lines(runs, facts),
    ]


def healthy_lines(runs: Sequence[ReplayedRun], facts: Facts) -> Iterator[str]:
    """Yield false alarms, and the runs that are in no rate."""
    alarms = count_false_alarms(runs)
    failing = [run for run in runs if is_failing(run)]
    undetermined = [run for run in runs if not is_failing(run) and run.label != HEALTHY]
    without, caused = ([run for run in undetermined if bool(facts[run.name]["cause"]) is has_cause] for has_cause in (False, True))
    without_alarmed, caused_alarmed = (sum(bool(run.alarms) for run in group) for group in (without, caused))
    yield (
        f"{alarms.flagged.total} runs are healthy and {len(failing)} fail; the truth of {len(undetermined)} says neither, so they are in "
        f"no rate: {len(without)} without a cause, {without_alarmed} of them with an alarm, and {len(caused)} with a cause, "
        f"{caused_alarmed} of them with an alarm"
    )
    if alarms.steps:
        count, interval = proportion_cells(alarms.flagged)
        low, high = (1e5 * end / alarms.steps for end in poisson_interval(alarms.alarms))
        rate = 1e5 * alarms.alarms / alarms.steps
        yield f"healthy runs flagged: {count} ({interval})"
        yield f"false alarms in 100,000 healthy steps: {rate:.2f} ({low:.2f} to {high:.2f}; {alarms.steps:,} steps)"
    early = sum(any(alarm.fired < facts[run.name]["cause"]["step"] for alarm in run.alarms) for run in [*failing, *caused])
    yield f"runs with an alarm before their cause: {early} of {len(failing) + len(caused)}"


def early_lines(runs: Sequence[ReplayedRun], facts: Facts) -> Iterator[str]:
    """Yield how late failures are found that are there from the first step."""
    found = [run for run in runs if is_failing(run) and run.detection is not None and facts[run.name]["cause"]["step"] == 1]
    groups = ("failures that are there from the first step", found), (
        "mode collapses among them", [run for run in found if run.label == "mode-collapse"]
    )  # fmt: skip
    for title, group in groups:
        steps = [run.detection.fired for run in group if run.detection is not None]
        if steps:
            yield f"{title}: median step of the alarm of the {len(steps)} that were found {statistics.median(steps):.0f}"


def collapse_lines(runs: Sequence[ReplayedRun], facts: Facts) -> Iterator[str]:
    """Yield how often the loss of half of the modes is found while more of them are there, as far as the sampling of the truth can tell."""
    losing = [(run, half) for run in runs if is_failing(run) and (half := facts[run.name]["half_gone"]) is not None]
    for title, group in [
        ("mode collapses that lose half of the modes", [(run, half) for run, half in losing if run.label == "mode-collapse"]),
        ("other failures that do", [(run, half) for run, half in losing if run.label != "mode-collapse"]),
    ]:
        detections = [(run.detection.fired, half) for run, half in group if run.detection is not None]
        before = Proportion(sum(step <= half - TRUTH_EVERY for step, half in detections), len(group))
        meanwhile = sum(half - TRUTH_EVERY < step <= half for step, half in detections)
        delays = [run.detection.delay for run, _ in group if run.detection is not None and run.detection.delay is not None]
        late = f"; median delay of those found {statistics.median(delays):.0f} steps" if delays else ""
        found = " (".join(proportion_cells(before))
        yield f"{title}: found before in {found}), within the {TRUTH_EVERY} steps in which they do in {meanwhile} more{late}"


def non_finite_lines(runs: Sequence[ReplayedRun]) -> Iterator[str]:
    """Yield how often values that are not finite are found in time."""
    delays = [None if run.detection is None else run.detection.delay for run in runs if run.label == "non-finite"]
    in_time = sum(delay is not None and delay <= MAX_NON_FINITE_DELAY for delay in delays)
    yield f"non-finite values found within {MAX_NON_FINITE_DELAY} step: {in_time} of {len(delays)}"


def gain_lines(runs: Sequence[ReplayedRun], facts: Facts) -> Iterator[str]:
    """Yield what stopping at the first incident saves, and what it costs."""
    failing = [run for run in runs if is_failing(run) and run.onset is not None]
    if failing:
        saved = sum(run.steps - alarms[0].fired for run in failing if (alarms := alarms_after_cause(run)))
        steps, after_onset = sum(run.steps for run in failing), sum(run.steps - (run.onset or 0) for run in failing)
        yield (
            f"stopping at the first incident after the cause saves {saved / steps:.0%} of the steps of failing runs; "
            f"{after_onset / steps:.0%} of them come after the onset"
        )
    stopped = [run for run in runs if run.label == HEALTHY and run.alarms]
    ratios = [round(_distance_ratio(facts[run.name]["truth"], min(alarm.fired for alarm in run.alarms)), 2) for run in stopped]
    yield f"healthy runs stopped by it: {len(stopped)}; best distance up to then against the best of the whole run: {ratios or 'none'}"


def _distance_ratio(truth: Sequence[Mapping[str, float]], stopped: int) -> float:
    """Return the best distance up to a step divided by the best of the whole run."""
    before = [row["distance"] for row in truth if row["step"] <= stopped]
    return float(min(before, default=float("inf")) / min(row["distance"] for row in truth))
