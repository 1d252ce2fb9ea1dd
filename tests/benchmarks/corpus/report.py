"""What today's detectors come to on the corpus, beside the rules of others: the table that is published."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from baselines_table import ANY, HEAD, baselines
from baselines_table import rows as rows_of

from ganwatch.calibration.judged import HEALTHY, Judged, Variant, judge_all
from ganwatch.calibration.rates import Share, failing, false_alarms, found, found_of, poisson
from ganwatch.commands.runs import table
from ganwatch.contracts import Detector
from ganwatch.presets import default_detectors
from ganwatch.recordings import Recording, read_recordings
from ganwatch.recordings.sources import Source, open_sources
from ganwatch.records import Readings
from ganwatch.settings import made, own_detectors, setting

STRICTER = (0.25, 0.5, 0.75, 1.0)
"""Strictness of all detectors together at which ganwatch is set beside a rule that has fewer false alarms."""
FACTORS = (0.01, 100.0)
"""By which losses and gradients are multiplied, which must not change any alarm."""
SCALED = {"loss", "grad_norm", "clipped_grad_norm", "layer_grad_norm", "output_slope"}
SOON = 1
"""Steps within which values that are not finite have to be found."""


@dataclass(frozen=True)
class Multiplied:
    """A source whose losses and gradients are so many times as large."""

    source: Source
    factor: float

    def __call__(self) -> Iterator[Recording]:
        for run in self.source():
            yield replace(run, readings=[self._multiplied(one) for one in run.readings])

    def _multiplied(self, one: Readings) -> Readings:
        values = {name: value * self.factor if name.partition("/")[0] in SCALED else value for name, value in one.values.items()}
        return Readings(one.step, values)


def report(paths: Sequence[Path], jobs: int) -> str:
    """Judge the runs of some files and describe what came of it."""
    sources = open_sources([str(path) for path in paths])
    rules = baselines()
    variants: list[Variant] = [default_detectors, *(partial(stricter, one) for one in STRICTER), *(partial(made, [rule]) for rule in rules)]
    judged = list(judge_all(sources, variants, jobs=jobs))
    own = [run[0] for run in judged]
    facts = {run.name: run.facts for path in paths for run in read_recordings(path)}
    multiplied = {
        factor: list(judge_all([Multiplied(one, factor) for one in sources], [default_detectors], jobs=jobs)) for factor in FACTORS
    }
    parts = [
        failures(own),
        "\n".join([*healthy(own), *collapses(own, facts), *at_once(own), *invariance(own, multiplied), *gain(own, facts)]),
        "\n".join(others(judged, rules)),
        "\n".join(not_found(own)),
    ]
    return "\n\n".join(parts)


def stricter(strictness: float) -> list[Detector]:
    """All detectors as strict as that."""
    classes = own_detectors()
    return made(classes, {cls.code: setting(cls, strictness) for cls in classes if cls.tunable})


def failures(judged: Sequence[Judged]) -> str:
    """Recall, the right code first, and delay, failure by failure."""
    head = ["FAILURE", "FOUND", "95% INTERVAL", "RIGHT CODE FIRST", "95% INTERVAL", "MEDIAN DELAY", "9 IN 10 WITHIN"]
    lines = []
    for one in found(judged):
        ninth = f"{statistics.quantiles(one.delays, n=10)[-1]:.0f}" if len(one.delays) > 1 else "-"
        lines.append([one.label, *shown(one.recall), *shown(one.right_first), "-" if one.delay is None else f"{one.delay:.0f}", ninth])
    return table(head, lines)


def shown(share: Share) -> tuple[str, str]:
    """Count and interval."""
    low, high = share.interval
    return f"{share.count} of {share.of}", f"{low:.3f} to {high:.3f}"


def healthy(judged: Sequence[Judged]) -> Iterator[str]:
    """False alarms."""
    alarms = false_alarms(judged)
    count, interval = shown(alarms.flagged)
    low, high = (1e5 * end / alarms.steps for end in poisson(alarms.alarms))
    yield f"healthy runs flagged: {count} ({interval})"
    rate = 1e5 * alarms.alarms / alarms.steps
    yield f"false alarms in 100,000 healthy steps: {rate:.2f} ({low:.2f} to {high:.2f}; {alarms.steps:,} steps)"
    left = sum(not failing(one) and one.label != HEALTHY for one in judged)
    yield f"in no rate: {left} of {len(judged)} runs, of which is not determined whether they are healthy"


def collapses(judged: Sequence[Judged], facts: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """Whether the loss of half of the kinds is told while more of them are there."""
    losing = [(one, half) for one in judged if failing(one) and (half := facts[one.name]["half_gone"]) is not None]
    for what, runs in [
        ("collapses half-way", [(one, half) for one, half in losing if one.label == "mode-collapse"]),
        ("failures of other kinds that end so", [(one, half) for one, half in losing if one.label != "mode-collapse"]),
    ]:
        early = Share(sum(one.hit is not None and one.hit.fired <= half for one, half in runs), len(runs))
        delays = [one.hit.delay for one, _ in runs if one.hit is not None and one.hit.delay is not None]
        late = f"; median delay {statistics.median(delays):.0f} steps" if delays else ""
        yield f"{what} found before half of the kinds are gone: {' ('.join(shown(early))}){late}"


def at_once(judged: Sequence[Judged]) -> Iterator[str]:
    """Whether values that are not finite are found in time."""
    runs = [one for one in judged if one.label == "non-finite"]
    soon = sum(one.hit is not None and one.hit.delay is not None and one.hit.delay <= SOON for one in runs)
    yield f"non-finite values found within {SOON} step: {soon} of {len(runs)}"


def invariance(judged: Sequence[Judged], multiplied: Mapping[float, Iterable[tuple[Judged, ...]]]) -> Iterator[str]:
    """Whether the scale of losses and gradients matters."""
    for factor, runs in multiplied.items():
        changed = sum(one.alarms != other.alarms for one, (other,) in zip(judged, runs, strict=True))
        yield f"runs whose alarms change where losses and gradients are multiplied by {factor:g}: {changed} of {len(judged)}"


def gain(judged: Sequence[Judged], facts: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """What it saves to stop at the first incident, and what it costs."""
    failed = [one for one in judged if failing(one) and one.onset is not None]
    firsts = [min((alarm.fired for alarm in one.alarms), default=one.steps) for one in failed]
    left, wasted = (
        sum(one.steps - first for one, first in zip(failed, firsts, strict=True)),
        sum(one.steps - (one.onset or 0) for one in failed),
    )
    steps = sum(one.steps for one in failed)
    yield (
        f"stopping at the first incident saves {left / steps:.0%} of the steps of failing runs; "
        f"{wasted / steps:.0%} of them come after the onset"
    )
    stopped = [one for one in judged if one.label == HEALTHY and one.alarms]
    lost = [round(_lost(facts[one.name]["truth"], min(alarm.fired for alarm in one.alarms)), 2) for one in stopped]
    yield f"healthy runs stopped by it: {len(stopped)}; times the distance that they would have come to: {lost or 'none'}"


def _lost(truth: Sequence[Mapping[str, float]], stopped: int) -> float:
    before = [row["distance"] for row in truth if row["step"] <= stopped]
    return float(min(before, default=float("inf")) / min(row["distance"] for row in truth))


def others(judged: Sequence[tuple[Judged, ...]], rules: Sequence[type[Detector]]) -> Iterator[str]:
    """Each rule, and ganwatch at the most sensitive of its settings that has no more false alarms than the rule."""
    own = [[run[place] for run in judged] for place in range(len(STRICTER) + 1)]
    lines = [[*row, "", ""] for row in rows_of("ganwatch", own[0], None)]
    for place, rule in enumerate(rules, len(own)):
        runs = [run[place] for run in judged]
        first, *rest = rows_of(rule.title, runs, rule.claims)
        at_most = false_alarms(runs).flagged.count
        equal = next((one for one in own if false_alarms(one).flagged.count <= at_most), None)
        beside = ["none so strict", ""] if equal is None else _compared(equal, runs)
        lines += [[*first, *beside], *([*row, "", ""] for row in rest)]
    yield table([*HEAD, "GANWATCH AT NO MORE OF THEM", "BETTER"], lines)


def _compared(own: Sequence[Judged], rule: Sequence[Judged]) -> list[str]:
    ours, theirs = (found_of(ANY, [replace(one, codes=()) for one in runs if failing(one)]).recall for runs in (own, rule))
    return [
        f"{ours.count} of {ours.of}",
        "ganwatch" if ours.count > theirs.count else "the rule" if ours.count < theirs.count else "neither",
    ]


def not_found(judged: Sequence[Judged]) -> Iterator[str]:
    """The failing runs without a right alarm, and the healthy ones with one."""
    yield "not found:"
    missed = [one for one in judged if failing(one) and one.hit is None]
    yield from (f"  {one.name} ({one.label}): {', '.join(alarm.code for alarm in one.alarms) or 'no alarm'}" for one in missed)
    yield "false alarms:"
    flagged = [one for one in judged if one.label == HEALTHY and one.alarms]
    yield from (f"  {one.name}: {', '.join(f'{alarm.code} at {alarm.fired}' for alarm in one.alarms)}" for one in flagged)
    yield "another code first:"
    wrong = [one for one in judged if failing(one) and one.hit is not None and not one.right_first]
    yield from (f"  {one.name} ({one.label}): {', '.join(f'{alarm.code} at {alarm.fired}' for alarm in one.alarms)}" for one in wrong)
