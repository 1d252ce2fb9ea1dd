"""What today's detectors come to on the corpus, beside the rules of others: the table that is published."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from baselines_table import HEAD, baselines
from baselines_table import rows as rows_of
from corpus.figures import Facts, Table, detectors, failures, summary
from scipy.stats import binomtest

from ganwatch.calibration.judged import HEALTHY, Judged, Variant, judge_all
from ganwatch.calibration.rates import failing, false_alarms
from ganwatch.commands._terminal import format_table
from ganwatch.core.detector import Detector
from ganwatch.core.detector_settings import arguments_at, create_detectors, discover_detectors
from ganwatch.core.readings import Readings
from ganwatch.recordings import Recording, read_recordings
from ganwatch.recordings.sources import Source, open_sources
from ganwatch.session.defaults import default_detectors

STRICTER = (0.25, 0.5, 0.75, 1.0)
"""Strictness of all detectors together at which ganwatch is set beside a rule that has fewer false alarms."""
FACTORS = (0.01, 100.0)
"""By which losses and gradients are multiplied, which must not change any alarm."""
CHANCE = 0.05
"""Level at which one counts as better (McNemar, 1947, exact)."""
SCALED = {"loss", "grad_norm"}
"""Of what is recorded, the families that a loss scales; the others are ratios or belong to samples and weights."""


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


@dataclass(frozen=True)
class Report:
    """What came of judging some runs.

    Parameters
    ----------
    own : sequence of Judged
        By ganwatch as it is shipped.
    facts : mapping of str to mapping
        Of each run.
    rules : Table
        Each rule, and ganwatch at the most sensitive of its settings that flags no more healthy runs than the rule.
    scale : sequence of str
        Whether the scale of losses and gradients matters.
    """

    own: Sequence[Judged]
    facts: Facts
    rules: Table
    scale: Sequence[str]

    def __str__(self) -> str:
        """As it is printed."""
        parts = [
            format_table(*failures(self.own)),
            "\n".join([*summary(self.own, self.facts), *self.scale]),
            format_table(*detectors(self.own)),
            format_table(*self.rules),
            "\n".join(not_found(self.own)),
        ]
        return "\n\n".join(parts)


def report(paths: Sequence[Path], jobs: int) -> Report:
    """Judge the runs of some files."""
    sources = open_sources([str(path) for path in paths])
    rules = baselines()
    variants: list[Variant] = [default_detectors, *(partial(stricter, one) for one in STRICTER), *(partial(create_detectors, [rule]) for rule in rules)]
    judged = list(judge_all(sources, variants, jobs=jobs))
    own = [run[0] for run in judged]
    facts = {run.name: run.facts for path in paths for run in read_recordings(path)}
    multiplied = {
        factor: list(judge_all([Multiplied(one, factor) for one in sources], [default_detectors], jobs=jobs)) for factor in FACTORS
    }
    return Report(own, facts, others(judged, rules), list(invariance(own, multiplied)))


def stricter(strictness: float) -> list[Detector]:
    """All detectors as strict as that."""
    classes = discover_detectors()
    return create_detectors(classes, {cls.code: arguments_at(cls, strictness) for cls in classes if cls.tunable})


def others(judged: Sequence[tuple[Judged, ...]], rules: Sequence[type[Detector]]) -> Table:
    """Each rule, and ganwatch at the most sensitive of its settings that flags no more healthy runs than the rule."""
    own = [[run[place] for run in judged] for place in range(len(STRICTER) + 1)]
    lines = [[*row, "", ""] for row in rows_of("ganwatch", own[0], None)]
    for place, rule in enumerate(rules, len(own)):
        runs = [run[place] for run in judged]
        first, *rest = rows_of(rule.title, runs, rule.claims)
        at_most = false_alarms(runs).flagged.count
        equal = next((one for one in own if false_alarms(one).flagged.count <= at_most), None)
        beside = ["none so strict", ""] if equal is None else _compared(equal, runs)
        lines += [[*first, *beside], *([*row, "", ""] for row in rest)]
    return [*HEAD, "GANWATCH AT NO MORE OF THEM", "BETTER"], lines


def _compared(own: Sequence[Judged], rule: Sequence[Judged]) -> list[str]:
    """How many failing runs ganwatch finds, and which finds more of them, unless the runs that only one finds could be chance."""
    ours, theirs = ([replace(one, codes=()).hit is not None for one in runs if failing(one)] for runs in (own, rule))
    more, less = (sum(a and not b for a, b in zip(these, those, strict=True)) for these, those in ((ours, theirs), (theirs, ours)))
    told = more + less > 0 and binomtest(more, more + less).pvalue < CHANCE
    return [f"{sum(ours)} of {len(ours)}", ("ganwatch" if more > less else "the rule") if told else "undecided"]


def invariance(judged: Sequence[Judged], multiplied: Mapping[float, Iterable[tuple[Judged, ...]]]) -> Iterator[str]:
    """Whether the scale of losses and gradients matters."""
    for factor, runs in multiplied.items():
        changed = sum(one.alarms != other.alarms for one, (other,) in zip(judged, runs, strict=True))
        yield f"runs whose alarms change where losses and gradients are multiplied by {factor:g}: {changed} of {len(judged)}"


def not_found(judged: Sequence[Judged]) -> Iterator[str]:
    """The failing runs without a right alarm, and the healthy ones with one."""
    yield "not found:"
    missed = [one for one in judged if failing(one) and one.hit is None]
    yield from (f"  {one.name} ({one.label}): {', '.join(alarm.code for alarm in one.alarms) or 'no alarm'}" for one in missed)
    yield "false alarms:"
    flagged = [one for one in judged if one.label == HEALTHY and one.alarms]
    yield from (f"  {one.name}: {', '.join(f'{alarm.code} at {alarm.fired}' for alarm in one.alarms)}" for one in flagged)
    yield "explained by another code:"
    wrong = [one for one in judged if failing(one) and one.hit is not None and not one.right_first]
    yield from (f"  {one.name} ({one.label}): {', '.join(f'{alarm.code} at {alarm.fired}' for alarm in one.alarms)}" for one in wrong)
