"""Results of today's detectors on the corpus, next to the rules of others: the tables that are published."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from baselines_table import HEAD, discover_baselines, table_rows
from corpus.figures import Facts, Table, detector_table, failure_table, summary_lines
from scipy.stats import binomtest

from ganwatch.calibration.rates import count_false_alarms, is_failing
from ganwatch.calibration.replayed_runs import HEALTHY, DetectorFactory, ReplayedRun, replay_runs
from ganwatch.commands._terminal import format_table
from ganwatch.core.detector import Detector
from ganwatch.core.detector_settings import arguments_at, create_detectors, discover_detectors
from ganwatch.core.readings import Readings
from ganwatch.recordings import Recording, read_recordings
from ganwatch.recordings.sources import Source, open_sources
from ganwatch.session.defaults import default_detectors

STRICTER = (0.25, 0.5, 0.75, 1.0)
"""Strictness of all detectors together at which ganwatch is compared with a rule that has fewer false alarms."""
FACTORS = (0.01, 100.0)
"""Factors of losses and gradients, which must not change any alarm."""
SIGNIFICANCE = 0.05
"""Level at which a difference counts (McNemar, 1947, exact)."""
SCALED = {"loss", "grad_norm"}
"""Recorded families that a loss scales. All others are ratios or belong to samples and weights."""


@dataclass(frozen=True)
class ScaledSource:
    """A source with all losses and gradients multiplied by a factor."""

    source: Source
    factor: float

    def __call__(self) -> Iterator[Recording]:
        for run in self.source():
            yield replace(run, readings=[self._scale(one) for one in run.readings])

    def _scale(self, one: Readings) -> Readings:
        values = {name: value * self.factor if name.partition("/")[0] in SCALED else value for name, value in one.values.items()}
        return Readings(one.step, values)


@dataclass(frozen=True)
class Report:
    """Results of replaying some runs.

    Parameters
    ----------
    own : sequence of ReplayedRun
        Runs replayed by ganwatch as shipped.
    facts : mapping of str to mapping
        Facts by the run's name.
    rules : Table
        Each rule, and ganwatch at the most sensitive of its settings that flags no more healthy runs than the rule.
    scale : sequence of str
        Effect of the scale of losses and gradients on alarms.
    """

    own: Sequence[ReplayedRun]
    facts: Facts
    rules: Table
    scale: Sequence[str]

    def __str__(self) -> str:
        """Format the report for printing."""
        parts = [
            format_table(*failure_table(self.own)),
            "\n".join([*summary_lines(self.own, self.facts), *self.scale]),
            format_table(*detector_table(self.own)),
            format_table(*self.rules),
            "\n".join(error_lines(self.own)),
        ]
        return "\n\n".join(parts)


def report(paths: Sequence[Path], jobs: int) -> Report:
    """Replay the runs of some files."""
    sources = open_sources([str(path) for path in paths])
    rules = discover_baselines()
    factories: list[DetectorFactory] = [
        default_detectors,
        *(partial(create_stricter, strictness) for strictness in STRICTER),
        *(partial(create_detectors, [rule]) for rule in rules),
    ]
    replayed = list(replay_runs(sources, factories, jobs=jobs))
    own = [run[0] for run in replayed]
    facts = {run.name: run.facts for path in paths for run in read_recordings(path)}
    scaled = {
        factor: list(replay_runs([ScaledSource(source, factor) for source in sources], [default_detectors], jobs=jobs))
        for factor in FACTORS
    }
    return Report(own, facts, rule_table(replayed, rules), list(scale_lines(own, scaled)))


def create_stricter(strictness: float) -> list[Detector]:
    """Create all detectors at a strictness."""
    classes = discover_detectors()
    return create_detectors(classes, {cls.code: arguments_at(cls, strictness) for cls in classes if cls.tunable})


def rule_table(replayed: Sequence[tuple[ReplayedRun, ...]], rules: Sequence[type[Detector]]) -> Table:
    """Return each rule, and ganwatch at the most sensitive of its settings that flags no more healthy runs than the rule."""
    own = [[run[position] for run in replayed] for position in range(len(STRICTER) + 1)]
    lines = [[*row, "", ""] for row in table_rows("ganwatch", own[0], None)]
    for position, rule in enumerate(rules, len(own)):
        runs = [run[position] for run in replayed]
        first, *rest = table_rows(rule.title, runs, rule.claims)
        max_flagged = count_false_alarms(runs).flagged.count
        equal = next((one for one in own if count_false_alarms(one).flagged.count <= max_flagged), None)
        comparison = ["none so strict", ""] if equal is None else _compare(equal, runs)
        lines += [[*first, *comparison], *([*row, "", ""] for row in rest)]
    return [*HEAD, "GANWATCH AT NO MORE OF THEM", "BETTER"], lines


def _compare(own: Sequence[ReplayedRun], rule: Sequence[ReplayedRun]) -> list[str]:
    """Return how many failing runs ganwatch finds, and which of the two finds significantly more."""
    ours, theirs = ([replace(run, codes=()).detection is not None for run in runs if is_failing(run)] for runs in (own, rule))
    more, less = (sum(a and not b for a, b in zip(these, those, strict=True)) for these, those in ((ours, theirs), (theirs, ours)))
    is_significant = more + less > 0 and binomtest(more, more + less).pvalue < SIGNIFICANCE
    return [f"{sum(ours)} of {len(ours)}", ("ganwatch" if more > less else "the rule") if is_significant else "undecided"]


def scale_lines(runs: Sequence[ReplayedRun], scaled: Mapping[float, Iterable[tuple[ReplayedRun, ...]]]) -> Iterator[str]:
    """Yield the number of runs whose alarms change with the scale of losses and gradients."""
    for factor, others in scaled.items():
        changed = sum(run.alarms != other.alarms for run, (other,) in zip(runs, others, strict=True))
        yield f"runs whose alarms change where losses and gradients are multiplied by {factor:g}: {changed} of {len(runs)}"


def error_lines(runs: Sequence[ReplayedRun]) -> Iterator[str]:
    """Yield the failing runs without a correct alarm or root, and the healthy ones with an alarm."""
    yield "not found:"
    missed = [run for run in runs if is_failing(run) and run.detection is None]
    yield from (f"  {run.name} ({run.label}): {', '.join(alarm.code for alarm in run.alarms) or 'no alarm'}" for run in missed)
    yield "false alarms:"
    flagged = [run for run in runs if run.label == HEALTHY and run.alarms]
    yield from (f"  {run.name}: {', '.join(f'{alarm.code} at {alarm.fired}' for alarm in run.alarms)}" for run in flagged)
    yield "explained by another code:"
    wrong = [run for run in runs if is_failing(run) and run.detection is not None and not run.has_correct_root]
    yield from (f"  {run.name} ({run.label}): {', '.join(f'{alarm.code} at {alarm.fired}' for alarm in run.alarms)}" for run in wrong)
