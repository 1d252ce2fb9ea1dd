"""Base class of detectors: readings in, a verdict out."""

from __future__ import annotations

import inspect
import random
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from typing import ClassVar

from ganwatch.core.readings import Readings
from ganwatch.core.statistics import Stateful


class Severity(StrEnum):
    """Urgency of an incident: ``page`` wakes a person, ``ticket`` waits for working hours."""

    PAGE = "page"
    TICKET = "ticket"


class FailureKind(StrEnum):
    """Kind of a failure, in causal order: an earlier kind explains a later one."""

    WIRING = "wiring"
    DATA = "data"
    NUMERICS = "numerics"
    BALANCE = "balance"
    DIVERSITY = "diversity"
    QUALITY = "quality"
    OTHER = "other"

    @property
    def order(self) -> int:
        """Place in the causal order, from 0."""
        return list(FailureKind).index(self)


@dataclass(frozen=True, slots=True)
class Verdict:
    """Evidence at this step that a failure is present.

    Parameters
    ----------
    value, threshold : float
        The measured value and the bound that it crossed, in the unit of ``signal``.
    signal : str
        The series that the value belongs to.
    window : int, steps
        Length of the evidence.
    origin : str
        Source of the threshold, such as "the run's own healthy median".
    explanation : str
        One sentence for a person.
    onset : int or None, step
        First step of the evidence. None stands for ``window`` steps before now.
    advice : str
        What to try first on this evidence; empty for the first remedy of the runbook.
    """

    value: float
    threshold: float
    signal: str
    window: int
    origin: str
    explanation: str
    onset: int | None = None
    advice: str = ""


@dataclass(frozen=True, slots=True)
class NotApplicable:
    """The detector cannot evaluate this run. ``reason`` says what it needs."""

    reason: str


DetectorResult = Verdict | NotApplicable | None
"""Result of one update. None means that there is no evidence of the failure."""


class Detector(Stateful, ABC):
    """Base class of detectors. A detector finds one failure and is one class in one file.

    A detector reads numbers only. It is level-triggered: it returns a verdict at every step at which the failure is present. It is
    updated only at steps at which at least one of its inputs was measured. Between these steps its last result holds.

    An instance keeps only numbers, strings, lists of those, or a ``Stateful`` from ``ganwatch.core.statistics``, so that the base
    class can save and restore them.

    The docstring of the module is the source of the runbook. Its sections are "How it is detected", "Why it matters",
    "Likely causes", "What to do", "Blind spots", "Calibration" and "References".
    """

    code: ClassVar[str]
    title: ClassVar[str]
    severity: ClassVar[Severity]
    kind: ClassVar[FailureKind] = FailureKind.OTHER
    """Kind of the failure, which decides what explains what."""
    inputs: ClassVar[tuple[str, ...]]
    required: ClassVar[tuple[tuple[str, ...], ...]] = ()
    """Alternative sets of inputs, one of which it needs to judge; if empty, one of the inputs is enough."""
    fire_after: ClassVar[int] = 0
    """Steps for which a verdict must last before its incident fires."""
    resolve_after: ClassVar[int] = 100
    """Steps without a verdict after which a firing incident is resolved."""
    is_optional: ClassVar[bool] = False
    """True if most trainings have no such input. Then it applies only once the input was measured."""
    causal_priority: ClassVar[int] = 0
    """Order among causes of the same kind. A smaller one explains a larger one."""
    is_fact: ClassVar[bool] = False
    """True if only a kind that is earlier in the causal order explains it, however long something else has gone on."""
    acts_slowly: ClassVar[bool] = False
    """True if the failure takes long to show in the fakes, so that it does not explain a sudden loss of diversity or quality."""
    onset_delay: ClassVar[int] = 0
    """Steps by which its onset may be found late, for a failure that is seen only after some of its course."""
    explains: ClassVar[tuple[str, ...]] = ()
    """Codes that it explains against the causal order if it came first."""
    explained_by: ClassVar[tuple[FailureKind, ...]] = tuple(FailureKind)
    """Kinds that may explain it."""
    tunable: ClassVar[Mapping[str, tuple[float, float]]] = {}
    """Arguments that make it more sensitive or stricter: name to most sensitive and strictest value, with the default between them."""

    @abstractmethod
    def update(self, readings: Readings) -> DetectorResult:
        """Take the readings of one step and evaluate them."""

    @property
    def is_ready(self) -> bool:
        """True if it has enough readings to judge; until then ``update`` returns None for lack of evidence."""
        return True

    @classmethod
    @abstractmethod
    def demo(cls, seed: int) -> tuple[Iterator[Readings], int]:
        """Return readings that are healthy up to an onset and show the failure from there, and the onset."""

    @classmethod
    def runbook_sections(cls) -> dict[str, str]:
        """Return the sections of the module's docstring by heading. The first paragraph is ``summary``."""
        return parse_sections(inspect.getdoc(sys.modules[cls.__module__]) or "")

    @classmethod
    def runbook(cls) -> str:
        """Return the path of the runbook, empty for a detector of another package."""
        return f"alerts/runbooks/{cls.code}.md" if cls.__module__.startswith("ganwatch.") else ""

    @staticmethod
    def simulate(
        seed: int, *, onset: int, before: Mapping[str, float], after: Mapping[str, float], length: int = 400, noise: float = 0.05
    ) -> Iterator[Readings]:
        """Yield readings around ``before`` up to ``onset`` and around ``before | after`` from there, with multiplicative noise."""
        rng = random.Random(seed)
        for step in range(1, onset + length + 1):
            values = dict(before) | (dict(after) if step >= onset else {})
            yield Readings(step, {name: value * rng.lognormvariate(0.0, noise) for name, value in values.items()})


def parse_sections(text: str) -> dict[str, str]:
    r"""Split a docstring into its sections. A heading is an unindented line before an indented block.

    >>> parse_sections("It breaks.\n\nWhy it matters\n    It is bad.\n")
    {'summary': 'It breaks.', 'Why it matters': 'It is bad.'}
    """
    sections: dict[str, list[str]] = {"summary": []}
    heading = "summary"
    for line, following in pairwise([*text.splitlines(), ""]):
        if line and not line[0].isspace() and following.startswith("    "):
            heading = line.strip()
            sections[heading] = []
        else:
            sections[heading].append(line.strip())
    return {heading: "\n".join(body).strip() for heading, body in sections.items()}
