"""What alarms on the corpus come to: recall, false alarms, delay, gain."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from corpus.design import LOOKS

from ganwatch.calibration.judged import HEALTHY, Alarm, Judged
from ganwatch.calibration.rates import Share, failing, false_alarms, found, found_of, poisson
from ganwatch.core.detector import Detector
from ganwatch.core.detector_settings import discover_detectors

SOON = 1
"""Steps within which values that are not finite have to be found."""

Table = tuple[list[str], list[list[Any]]]
"""Head and rows."""
Facts = Mapping[str, Mapping[str, Any]]


def failures(judged: Sequence[Judged]) -> Table:
    """Recall, the right code, and delay, failure by failure."""
    head = ["FAILURE", "FOUND", "95% INTERVAL", "EXPLAINED BY THE RIGHT CODE", "95% INTERVAL", "A RIGHT CODE FIRED FIRST"]
    rows = []
    failed = [run for run in judged if failing(run)]
    for one in [*found(judged), found_of("all", failed)]:
        first = sum(right_at_once(run) for run in failed if one.label in {run.label, "all"})
        ninth = f"{statistics.quantiles(one.delays, n=10, method='inclusive')[-1]:.0f}" if len(one.delays) > 1 else ""
        delay = "" if one.delay is None else f"{one.delay:.0f}"
        rows.append([one.label, *shown(one.recall), *shown(one.right_first), first, delay, ninth])
    return [*head, "MEDIAN DELAY OF THOSE FOUND", "9 IN 10 WITHIN"], rows


def right_at_once(one: Judged) -> bool:
    """Whether a right code is among the alarms that fire first once the failure may have begun."""
    hit, later = one.hit, after_cause(one)
    return hit is not None and hit.fired == later[0].fired


def after_cause(one: Judged) -> list[Alarm]:
    """The alarms that fire once the failure may have begun, in their order."""
    return [alarm for alarm in one.alarms if alarm.fired >= (one.onset_low or 0)]


def detectors(judged: Sequence[Judged]) -> Table:
    """Where each detector fires rightly and falsely."""
    rows = []
    for cls in discover_detectors():
        right, false = fired(cls, judged)
        if right.of or false.count:
            rows.append([f"{cls.code} {cls.title}", *shown(right), *shown(false)])
    return ["DETECTOR", "FIRED WHERE IT NAMES THE FAILURE", "95% INTERVAL", "FIRED ON HEALTHY RUNS", "95% INTERVAL"], rows


def fired(cls: type[Detector], judged: Sequence[Judged]) -> tuple[Share, Share]:
    """Of the failing runs that a detector names, and of the healthy ones, those on which it fired, if its first input was measured."""
    heard = [one for one in judged if cls.inputs[0] not in one.missing.get(cls.code, ())]
    named = [one for one in heard if failing(one) and cls.code in one.codes]
    right = sum(any(alarm.code == cls.code and alarm.fired >= (one.onset_low or 0) for alarm in one.alarms) for one in named)
    healthy = [one for one in heard if one.label == HEALTHY]
    false = sum(any(alarm.code == cls.code for alarm in one.alarms) for one in healthy)
    return Share(right, len(named)), Share(false, len(healthy))


def shown(share: Share) -> tuple[str, str]:
    """Count and interval."""
    low, high = share.interval
    return f"{share.count} of {share.of}", f"{low:.3f} to {high:.3f}"


def summary(judged: Sequence[Judged], facts: Facts) -> list[str]:
    """What is no matter of one failure."""
    return [*healthy_runs(judged, facts), *collapses(judged, facts), *at_once(judged), *gain(judged, facts)]


def healthy_runs(judged: Sequence[Judged], facts: Facts) -> Iterator[str]:
    """False alarms, and what is in no rate."""
    alarms = false_alarms(judged)
    failed = [one for one in judged if failing(one)]
    left = [one for one in judged if not failing(one) and one.label != HEALTHY]
    without, caused = ([one for one in left if bool(facts[one.name]["cause"]) is cause] for cause in (False, True))
    alarmed, also = (sum(bool(one.alarms) for one in runs) for runs in (without, caused))
    yield (
        f"{alarms.flagged.of} runs are healthy, {len(failed)} fail; of {len(left)} the truth says neither, and they are in no rate: "
        f"{len(without)} without a cause, of which {alarmed} have an alarm, and {len(caused)} with one, of which {also} have"
    )
    if alarms.steps:
        count, interval = shown(alarms.flagged)
        low, high = (1e5 * end / alarms.steps for end in poisson(alarms.alarms))
        rate = 1e5 * alarms.alarms / alarms.steps
        yield f"healthy runs flagged: {count} ({interval})"
        yield f"false alarms in 100,000 healthy steps: {rate:.2f} ({low:.2f} to {high:.2f}; {alarms.steps:,} steps)"
    early = sum(any(alarm.fired < facts[one.name]["cause"]["step"] for alarm in one.alarms) for one in [*failed, *caused])
    yield f"runs with an alarm before their cause: {early} of {len(failed) + len(caused)}"


def collapses(judged: Sequence[Judged], facts: Facts) -> Iterator[str]:
    """Whether the loss of half of the modes is told while more of them are there, as far as the looks of the truth can tell."""
    losing = [(one, half) for one in judged if failing(one) and (half := facts[one.name]["half_gone"]) is not None]
    for what, runs in [
        ("mode collapses that take half of the modes", [(one, half) for one, half in losing if one.label == "mode-collapse"]),
        ("other failures that do", [(one, half) for one, half in losing if one.label != "mode-collapse"]),
    ]:
        fired = [(one.hit.fired, half) for one, half in runs if one.hit is not None]
        before = Share(sum(step <= half - LOOKS for step, half in fired), len(runs))
        while_lost = sum(half - LOOKS < step <= half for step, half in fired)
        delays = [one.hit.delay for one, _ in runs if one.hit is not None and one.hit.delay is not None]
        late = f"; median delay of those found {statistics.median(delays):.0f} steps" if delays else ""
        yield f"{what}: found before in {' ('.join(shown(before))}), within the {LOOKS} steps in which they do in {while_lost} more{late}"


def at_once(judged: Sequence[Judged]) -> Iterator[str]:
    """Whether values that are not finite are found in time."""
    runs = [one for one in judged if one.label == "non-finite"]
    soon = sum(one.hit is not None and one.hit.delay is not None and one.hit.delay <= SOON for one in runs)
    yield f"non-finite values found within {SOON} step: {soon} of {len(runs)}"


def gain(judged: Sequence[Judged], facts: Facts) -> Iterator[str]:
    """What it saves to stop at the first incident, and what it costs."""
    failed = [one for one in judged if failing(one) and one.onset is not None]
    if failed:
        left = sum(one.steps - later[0].fired for one in failed if (later := after_cause(one)))
        steps, wasted = sum(one.steps for one in failed), sum(one.steps - (one.onset or 0) for one in failed)
        yield (
            f"stopping at the first incident after the cause saves {left / steps:.0%} of the steps of failing runs; "
            f"{wasted / steps:.0%} of them come after the onset"
        )
    stopped = [one for one in judged if one.label == HEALTHY and one.alarms]
    lost = [round(_lost(facts[one.name]["truth"], min(alarm.fired for alarm in one.alarms)), 2) for one in stopped]
    yield f"healthy runs stopped by it: {len(stopped)}; times the distance that they would have come to: {lost or 'none'}"


def _lost(truth: Sequence[Mapping[str, float]], stopped: int) -> float:
    before = [row["distance"] for row in truth if row["step"] <= stopped]
    return float(min(before, default=float("inf")) / min(row["distance"] for row in truth))
