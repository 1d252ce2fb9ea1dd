"""What a detector is: readings in, a verdict out."""

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
    """How an incident reaches a person: woken now, or with the next look at the queue."""

    PAGE = "page"
    TICKET = "ticket"


@dataclass(frozen=True, slots=True)
class Verdict:
    """Evidence, now, that a failure is present.

    Parameters
    ----------
    value, threshold : float
        What was measured and the bound that it crossed, in the unit of ``signal``.
    signal : str
        The series that the value belongs to.
    window : int, steps
        How much evidence the verdict rests on.
    origin : str
        Where the threshold comes from, such as "the run's own healthy median".
    explanation : str
        One sentence for a person.
    onset : int or None, step
        First step of the evidence; None means ``window`` steps before now.
    """

    value: float
    threshold: float
    signal: str
    window: int
    origin: str
    explanation: str
    onset: int | None = None


@dataclass(frozen=True, slots=True)
class NotApplicable:
    """The detector cannot judge this run; ``reason`` says what it needs."""

    reason: str


Outcome = Verdict | NotApplicable | None


class Detector(Stateful, ABC):
    """Readings in, verdicts out; one failure a class, one class a file.

    A detector sees numbers only, is level-triggered (it returns a verdict at every step at which the failure is present) and is
    called only when at least one of its inputs was measured; between calls its last outcome stands. Whatever an instance keeps
    must be a number, a string, a list of those or a ``Stateful`` from ``ganwatch.core.statistics``, so that the base can save and
    restore it.

    The module's docstring is the source of the runbook: sections "How it is detected", "Why it matters", "Likely causes",
    "What to do", "Blind spots", "Calibration" and "References".
    """

    code: ClassVar[str]
    title: ClassVar[str]
    severity: ClassVar[Severity]
    inputs: ClassVar[tuple[str, ...]]
    fire_after: ClassVar[int] = 0
    """Steps for which a verdict must stand before its incident fires."""
    resolve_after: ClassVar[int] = 100
    """Steps without a verdict after which a firing incident is resolved."""
    opt_in: ClassVar[bool] = False
    """Whether most trainings rightly have nothing that it reads, so that ``status`` does not miss it."""
    causal_priority: ClassVar[int] = 0
    """Order among causes of the same hundred; a smaller one explains a larger one."""
    tunable: ClassVar[Mapping[str, tuple[float, float]]] = {}
    """Arguments that make it more sensitive or stricter: name to its most sensitive and its strictest value, the default between."""

    @abstractmethod
    def update(self, readings: Readings) -> Outcome:
        """Take the readings of one step and judge."""

    @classmethod
    @abstractmethod
    def demo(cls, seed: int) -> tuple[Iterator[Readings], int]:
        """A stream that is healthy up to its onset, and the onset."""

    @classmethod
    def guide(cls) -> dict[str, str]:
        """The sections of the module's docstring by heading, the first paragraph under ``summary``."""
        return parse_guide(inspect.getdoc(sys.modules[cls.__module__]) or "")

    @staticmethod
    def stream(
        seed: int, *, onset: int, before: Mapping[str, float], after: Mapping[str, float], length: int = 400, noise: float = 0.05
    ) -> Iterator[Readings]:
        """Readings around ``before`` up to ``onset`` and around ``before | after`` from there, with multiplicative noise."""
        rng = random.Random(seed)
        for step in range(1, onset + length + 1):
            values = dict(before) | (dict(after) if step >= onset else {})
            yield Readings(step, {name: value * rng.lognormvariate(0.0, noise) for name, value in values.items()})


def parse_guide(text: str) -> dict[str, str]:
    r"""Split a docstring into its sections: an unindented line followed by an indented block is a heading.

    >>> parse_guide("It breaks.\n\nWhy it matters\n    It is bad.\n")
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
