"""Outcome of a run: clean only if every detector that applies could judge to the end. ``Monitor.outcome`` puts it together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from ganwatch.core.coverage import Span
from ganwatch.core.derived_series import name_with_sources
from ganwatch.core.detector import Detector, DetectorResult, NotApplicable, Verdict
from ganwatch.core.names import name_failure
from ganwatch.core.plain_records import read_record

EARLY_STEPS = 200
"""Steps up to which an input that was not measured yet may still come."""
TOO_EARLY = "too early"
"""Reason of a detector that needs more readings."""
MIN_IDLE_STEPS = 50
"""Steps at the end without an update of a network from which on that is reported."""


class Conclusion(StrEnum):
    """Short form of an outcome."""

    CLEAN = "clean"
    """No incident, and every detector that applies judged to the end."""
    INCIDENTS = "incidents"
    """There was an incident."""
    NOT_JUDGED = "not judged"
    """No incident, but some detector that applies could not judge to the end."""


@dataclass(frozen=True, slots=True)
class Unjudged:
    """A detector that could not judge to the end.

    Parameters
    ----------
    code, title : str
    reason : str
        Inputs or readings that it lacks.
    last_step : int or None
        Last step that it could judge; None if there was none.
    """

    code: str
    title: str
    reason: str
    last_step: int | None = None

    def __str__(self) -> str:
        return f"{name_failure(self.title, self.code)}: {self.cause}"

    @property
    def cause(self) -> str:
        """Last step that it judged, and what it has lacked since."""
        return self.reason if self.last_step is None else f"judged until step {self.last_step}, {self.reason}"


@dataclass(frozen=True, slots=True)
class Outcome:
    """Outcome of a run up to a step.

    Parameters
    ----------
    step : int
    conclusion : Conclusion
    incidents : tuple of str
        Codes, one for each incident.
    unjudged : tuple of Unjudged
        Detectors that apply and could not judge to the end.
    failures : mapping of str to int
        Errors of ganwatch itself, by part.
    idle : mapping of str to int
        Steps at the end without an update, by network; only long ones.
    problems : tuple of str
        Reasons for which probes did not measure, and what is wrong with the set-up.
    titles : mapping of str to str
        Titles of the incidents, by code; empty in the record of an older version.
    """

    step: int = 0
    conclusion: Conclusion = Conclusion.NOT_JUDGED
    incidents: tuple[str, ...] = ()
    unjudged: tuple[Unjudged, ...] = ()
    failures: Mapping[str, int] = field(default_factory=dict)
    idle: Mapping[str, int] = field(default_factory=dict)
    problems: tuple[str, ...] = ()
    titles: Mapping[str, str] = field(default_factory=dict)

    def describe(self) -> str:
        """Describe the outcome in one line, without a claim that is not known to be true.

        >>> print(Outcome(200, Conclusion.NOT_JUDGED, unjudged=(Unjudged("GW401", "quality regression", "needs frechet"),)).describe())
        no incident was found, but not everything was judged: quality regression (GW401): needs frechet
        """
        opening = ": " if self.conclusion is Conclusion.NOT_JUDGED else "; not judged: "
        found = self.headline + (opening + self.unjudged_text if self.unjudged else "")
        return "; ".join([found, *self.faults])

    @property
    def faults(self) -> list[str]:
        """Networks without updates, parts that failed, and problems, each for people."""
        names = {"g": "the generator", "d": "the discriminator"}
        idle = [f"{names[role]} had no update in the last {steps:,} steps" for role, steps in self.idle.items()]
        failed = [f"{part} failed {count:,} time{'s' if count > 1 else ''}" for part, count in self.failures.items()]
        return [*idle, *failed, *(problem.rstrip(".") for problem in self.problems)]

    @property
    def headline(self) -> str:
        """Short form for people."""
        if self.conclusion is Conclusion.CLEAN:
            return "no incident, everything was judged"
        if self.conclusion is Conclusion.NOT_JUDGED:
            return f"no incident was found, but {'not everything' if self.unjudged else 'nothing'} was judged"
        names = [name_failure(self.titles[code], code) if code in self.titles else code for code in sorted(set(self.incidents))]
        return f"{len(self.incidents)} incident{'s' if len(self.incidents) > 1 else ''}: {', '.join(names)}"

    @property
    def unjudged_text(self) -> str:
        """Detectors that could not judge, those with the same cause together."""
        by_cause: dict[str, list[str]] = {}
        for one in sorted(self.unjudged, key=lambda one: one.code):
            by_cause.setdefault(one.cause, []).append(name_failure(one.title, one.code))
        return "; ".join(f"{', '.join(names)}: {cause}" for cause, names in by_cause.items())

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Outcome:
        """Return the outcome of ``to_plain``.

        Raises
        ------
        UserError
            A field has another type.
        """
        return read_record(cls, plain)

    def to_plain(self) -> dict[str, Any]:
        """Return JSON types."""
        lists = {"incidents": list(self.incidents), "problems": list(self.problems), "unjudged": [*map(asdict, self.unjudged)]}
        return asdict(self) | {"conclusion": str(self.conclusion)} | lists


def find_unjudged(
    detectors: Iterable[Detector],
    results: Mapping[str, DetectorResult],
    spans: Mapping[str, Span],
    step: int,
    *,
    early_steps: int = EARLY_STEPS,
) -> list[Unjudged]:
    """Return the detectors that apply to a run and cannot judge now.

    Parameters
    ----------
    detectors : iterable of Detector
    results : mapping of str to result
        Latest result of each detector that was updated, by code.
    spans : mapping of str to Span
        By series.
    step : int
        The present step.
    early_steps : int, steps
        Steps up to which an input that was not measured yet may still come; 0 for a recording.
    """
    unjudged = []
    for detector in detectors:
        if isinstance(results.get(detector.code), NotApplicable):
            continue
        missing, ended = _describe_missing(detector, spans), _ended_inputs(detector, spans, step)
        last_step = None
        if missing:
            if detector.is_optional:
                continue
            reason = TOO_EARLY if 0 < step <= early_steps else f"needs {missing}"
        elif ended:
            last = min(spans[name].last for name in ended)
            last_step = last if detector.is_ready else None
            reason = f"no {' and '.join(ended)} since" + ("" if detector.is_ready else f" step {last}")
        elif not detector.is_ready and not isinstance(results.get(detector.code), Verdict):
            reason = TOO_EARLY
        else:
            continue
        unjudged.append(Unjudged(detector.code, detector.title, reason, last_step))
    return unjudged


def _describe_missing(detector: Detector, spans: Mapping[str, Span]) -> str:
    """Describe the inputs that were never measured and without which the detector cannot judge; empty if it can."""
    if not detector.required:
        return "" if any(name in spans for name in detector.inputs) else f"one of {', '.join(detector.inputs)}"
    lacking = [[name_with_sources(name) for name in names if name not in spans] for names in detector.required]
    return ", or ".join(" and ".join(names) for names in lacking) if all(lacking) else ""


def _ended_inputs(detector: Detector, spans: Mapping[str, Span], step: int) -> list[str]:
    """Return the measured inputs that are no longer measured and without which the detector cannot judge."""
    if not detector.required:
        measured = [name for name in detector.inputs if name in spans]
        return measured if all(spans[name].has_ended(step) for name in measured) else []
    known = [names for names in detector.required if all(name in spans for name in names)]
    ended = [[name for name in names if spans[name].has_ended(step)] for names in known]
    return ended[0] if ended and all(ended) else []
