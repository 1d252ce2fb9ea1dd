"""Leave-one-group-out tables of the wild part: causes, losses, networks and worlds that no setting was fitted to.

Every dimension of the design is split into groups. The settings of all detectors are fitted, as ``ganwatch calibrate`` does, to the healthy
runs outside of a group, and judged on the runs in it. So each run is judged once for each dimension, by settings that have seen no run of
its group.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from corpus.figures import Facts, Table, alarms_after_cause, proportion_cells

from ganwatch.calibration.fit import fit_settings
from ganwatch.calibration.rates import Proportion, is_failing, poisson_interval
from ganwatch.calibration.replayed_runs import HEALTHY, UNDETERMINED, ReplayedRun, replay_runs
from ganwatch.commands._terminal import format_table
from ganwatch.core.detector import Detector
from ganwatch.core.detector_settings import arguments_at, create_detectors, discover_detectors
from ganwatch.recordings import read_recordings
from ganwatch.recordings.sources import open_sources

RATE = 0.1
"""False alarms in 10,000 steps that the fitted settings may have, all detectors together."""
STRICTNESS = (1.0, 0.5, 0.0, -0.5, -1.0)
"""Settings that are fitted, from the strictest one to the most sensitive one."""
GROUPS = {"cause": 4, "loss": 2, "network": 2, "world": 2}
"""Groups of each dimension, ten in all."""
Settings = Mapping[str, Mapping[str, float]]


@dataclass(frozen=True)
class Fold:
    """One group that is left out."""

    dimension: str
    values: frozenset[str]

    def holds(self, facts: Mapping[str, Any]) -> bool:
        """Return True if a run belongs to the group."""
        return value_of(facts, self.dimension) in self.values


def value_of(facts: Mapping[str, Any], dimension: str) -> str | None:
    """Return what a run has in a dimension; None for the cause of a healthy run."""
    if dimension == "cause":
        return facts["cause"]["name"] if facts["cause"] else None
    return str(facts["setup"][dimension])


def make_folds(facts: Facts) -> list[Fold]:
    """Return the groups: the sorted values of each dimension, dealt out in turn; causes by kind, so that like ones go together."""
    folds = []
    for dimension, count in GROUPS.items():
        kinds = {value: value for one in facts.values() if (value := value_of(one, dimension)) is not None}
        if dimension == "cause":
            kinds = {one["cause"]["name"]: one["cause"]["kind"] for one in facts.values() if one["cause"]}
        groups = sorted(set(kinds.values()))
        held = ({value for value, kind in kinds.items() if kind in groups[place::count]} for place in range(count))
        folds += [Fold(dimension, frozenset(values)) for values in held]
    return folds


@dataclass(frozen=True)
class LeftOut:
    """Results on runs whose group was left out, by dimension."""

    runs: Mapping[str, Sequence[ReplayedRun]]
    facts: Facts

    def __str__(self) -> str:
        """Format the tables for printing."""
        return "\n\n".join([format_table(*self.rates()), "\n".join(self.undetermined_lines()), format_table(*self.confusion())])

    def rates(self) -> Table:
        """Return what was found, explained and flagged by the dimension that was left out."""
        head = ["LEFT OUT", "FOUND", "95% INTERVAL", "RIGHT CODE AT THE ROOT", "95% INTERVAL", "RIGHT CODE FIRST", "HEALTHY FLAGGED",
                "95% INTERVAL", "FALSE ALARMS IN 100,000 STEPS"]  # fmt: skip
        return head, [[dimension, *self._cells(runs)] for dimension, runs in self.runs.items()]

    def _cells(self, runs: Sequence[ReplayedRun]) -> list[str]:
        failing, healthy = [run for run in runs if is_failing(run)], [run for run in runs if run.label == HEALTHY]
        found, first = ([run for run in failing if holds(run)] for holds in (lambda run: run.detection is not None, notifies_first))
        root, flagged = [run for run in failing if run.has_correct_root], [run for run in healthy if run.alarms]
        shares = [proportion_cells(Proportion(len(some), len(failing))) for some in (found, root, first)]
        return [*shares[0], *shares[1], shares[2][0], *proportion_cells(Proportion(len(flagged), len(healthy))), rate_cell(healthy)]

    def undetermined_lines(self) -> Iterator[str]:
        """Yield the figures where runs whose truth says neither count against ganwatch: as missed, or as flagged if something fired."""
        runs = self.runs["world"]
        unclear = [run for run in runs if run.label == UNDETERMINED]
        caused = [run for run in unclear if self.facts[run.name]["cause"]]
        others = [run for run in unclear if not self.facts[run.name]["cause"]]
        failing, healthy = [run for run in runs if is_failing(run)], [run for run in runs if run.label == HEALTHY]
        found = Proportion(sum(run.detection is not None for run in failing), len(failing) + len(caused))
        flagged = Proportion(sum(bool(run.alarms) for run in (*healthy, *others)), len(healthy) + len(others))
        yield f"runs whose truth says neither: {len(unclear)} of {len(runs)}, {len(caused)} of them with a cause"
        yield f"found, if those with a cause count as missed: {' ('.join(proportion_cells(found))})"
        yield f"flagged, if those without one count as healthy: {' ('.join(proportion_cells(flagged))})"

    def confusion(self) -> Table:
        """Return each cause with the codes at the root of its runs, where worlds are left out."""
        rows: dict[str, dict[str, int]] = {}
        for run in self.runs["world"]:
            if is_failing(run):
                roots = [alarm.code for alarm in alarms_after_cause(run) if alarm.cause is None]
                of_cause = rows.setdefault(self.facts[run.name]["cause"]["name"], {})
                code = roots[0] if roots else "nothing"
                of_cause[code] = of_cause.get(code, 0) + 1
        counted = [[cause, ", ".join(f"{code} {count}" for code, count in sorted(of.items()))] for cause, of in sorted(rows.items())]
        return ["CAUSE", "CODES AT THE ROOT, AND RUNS"], counted


def notifies_first(run: ReplayedRun) -> bool:
    """Return True if the first alarm after the cause has a right code."""
    alarms = alarms_after_cause(run)
    first = [alarm.code for alarm in alarms if alarm.fired == alarms[0].fired]
    return bool(alarms) and any(code in run.codes for code in first)


def rate_cell(healthy: Sequence[ReplayedRun]) -> str:
    """Return the false alarms in 100,000 healthy steps with their exact interval."""
    alarms, steps = sum(len(run.alarms) for run in healthy), sum(run.judged_steps for run in healthy)
    if not steps:
        return ""
    low, high = (1e5 * end / steps for end in poisson_interval(alarms))
    return f"{1e5 * alarms / steps:.2f} ({low:.2f} to {high:.2f}; {steps:,} steps)"


def judge_left_out(paths: Sequence[Path], jobs: int) -> LeftOut:
    """Fit and judge every fold of some packed files."""
    facts = {run.name: run.facts for path in paths for run in read_recordings(path)}
    sources = open_sources([str(path) for path in paths])
    classes = discover_detectors()
    grids = [tuple(each[0] for each in replay_runs(sources, [partial(create_at, strictness)], jobs=jobs)) for strictness in STRICTNESS]
    folds = make_folds(facts)
    settings = [fit_fold(fold, grids, facts, classes) for fold in folds]
    factories: list[Callable[[], list[Detector]]] = [partial(create_detectors, classes, one) for one in settings]
    judged = list(replay_runs(sources, factories, jobs=jobs))
    runs: dict[str, list[ReplayedRun]] = {dimension: [] for dimension in GROUPS}
    for one in judged:
        for fold, run in zip(folds, one, strict=True):
            if fold.holds(facts[run.name]):
                runs[fold.dimension].append(run)
    return LeftOut(runs, facts)


def create_at(strictness: float) -> list[Detector]:
    """Create all detectors at a strictness."""
    classes = discover_detectors()
    return create_detectors(classes, {cls.code: arguments_at(cls, strictness) for cls in classes if cls.tunable})


def fit_fold(fold: Fold, grids: Sequence[Sequence[ReplayedRun]], facts: Facts, classes: Sequence[type[Detector]]) -> Settings:
    """Return the settings that are fitted to the healthy runs outside of a fold."""
    healthy = [[run for run in grid if run.label == HEALTHY and not fold.holds(facts[run.name])] for grid in grids]
    counts = {}
    for cls in classes:
        per_setting = [[sum(alarm.code == cls.code for alarm in run.alarms) for run in runs] for runs in healthy]
        counts[cls.code] = per_setting if cls.tunable else [per_setting[STRICTNESS.index(0.0)]]
    fit = fit_settings(counts, [run.judged_steps for run in healthy[0]], RATE, default_position=STRICTNESS.index(0.0))
    return {cls.code: arguments_at(cls, STRICTNESS[fit.positions[cls.code]]) for cls in classes if cls.tunable}
