"""The nouns that parts of ganwatch agree on: Probe, Detector, Verdict, Incident, Sink."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import random
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import pairwise
from types import ModuleType
from typing import Any, ClassVar, TypeVar

from ganwatch.records import Readings, Run, Samples
from ganwatch.stats import Stateful


class Severity(StrEnum):
    """How an incident reaches a person: woken now, or with the next look at the queue."""

    PAGE = "page"
    TICKET = "ticket"


class State(StrEnum):
    """Life of an incident."""

    PENDING = "pending"
    FIRING = "firing"
    RESOLVED = "resolved"


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
    must be a number, a string, a list of those or a ``Stateful`` from ``ganwatch.stats``, so that the base can save and restore it.

    The module's docstring is the source of the runbook: sections "How it is detected", "Why it matters", "Likely causes",
    "What to do", "Blind spots", "Calibration" and "References".
    """

    code: ClassVar[str]
    title: ClassVar[str]
    severity: ClassVar[Severity]
    inputs: ClassVar[tuple[str, ...]]
    hold: ClassVar[int] = 0
    """Steps for which a verdict must stand before its incident fires."""
    clear: ClassVar[int] = 100
    """Steps without a verdict after which a firing incident is resolved."""
    opt_in: ClassVar[bool] = False
    """Whether most trainings rightly have nothing that it reads, so that ``status`` does not miss it."""
    rank: ClassVar[int] = 0
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


@dataclass(slots=True)
class Incident:
    """Verdicts of one detector over time.

    ``id`` is deterministic (code and ordinal within the run), so that a resumed run speaks of the same incident.
    ``cause`` is the id of the incident that explains this one, or None.
    """

    id: str
    code: str
    title: str
    severity: Severity
    state: State
    onset: int
    opened: int
    resolved: int | None = None
    cause: str | None = None
    evidence: Verdict | None = None
    likely_causes: str = ""
    remedies: str = ""
    runbook: str = ""
    fired: int | None = None
    seen: int = 0
    """Last step with a verdict."""
    extras: dict[str, Any] = field(default_factory=dict)


class Probe(ABC):
    """Tensors in, values per series out. The only part of ganwatch, beside capture, that touches tensors."""

    name: ClassVar[str]
    signals: ClassVar[tuple[str, ...]]
    """Families of the catalogue that it reads."""
    every: int = 1
    """Cadence, in steps."""
    wants_slopes: ClassVar[bool] = False
    """Whether it needs dL/d(output) of the discriminator's calls on due steps."""
    wants_calls: ClassVar[bool] = True
    """Whether it reads the networks' calls; steps at which nobody does cost next to nothing."""
    wants_arguments: ClassVar[bool] = False
    """Whether it needs what the generator was given as it was given."""
    patient: ClassVar[bool] = False
    """Whether all that it reads is still there some steps later; steps at which all are patient are read together."""

    def due(self, step: int) -> bool:
        """Whether the probe measures at this step."""
        return step % self.every == 0

    def attach(self, beside: Any) -> None:  # noqa: B027  # optional hook, empty on purpose
        """Called once, before the first step: ``beside`` calls generator and discriminator beside the training."""

    def before_update(self, update: Any) -> None:  # noqa: B027  # optional hook, empty on purpose
        """A network's optimizer is about to step: gradients are complete. Called on due steps only."""

    def after_update(self, update: Any) -> None:  # noqa: B027  # optional hook, empty on purpose
        """A network's optimizer has stepped. Called on due steps only."""

    @abstractmethod
    def read(self, step: Any) -> Mapping[str, Any]:
        """Values per series: floats, or 0-d tensors that the gatherer copies without waiting."""

    def pinned(self, code: str, step: int, incident: str) -> Samples | None:  # noqa: ARG002  # most have nothing to show
        """Samples that are evidence of an incident with this code, which has just fired."""
        return None

    def provenance(self) -> dict[str, Any]:
        """What it takes to measure the same again, as plain types, where its name does not say it."""
        return {}

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs to go on, as plain types."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:  # noqa: B027  # most keep nothing
        """Go on from a saved state."""


class Sink(ABC):
    """Where records go. Called from a background thread; may be slow, may raise."""

    name: ClassVar[str] = "sink"
    failures: int = 0
    """Errors so far that the training did not notice."""
    dropped: int = 0
    """Readings and sets of samples given up so far."""

    def start(self, run: Run) -> None:  # noqa: B027  # optional
        """A run (or a further attempt at it) begins."""

    @abstractmethod
    def readings(self, readings: Sequence[Readings]) -> None:
        """Readings in order of step."""

    @abstractmethod
    def incident(self, incident: Incident) -> None:
        """An incident was opened or changed. The same id may come again: the last one holds."""

    def restore(self, incident: Incident) -> None:  # noqa: B027  # optional
        """An earlier attempt at this run has reported this incident. Told after ``start``, with the state that holds now:
        ``pending`` where the resumed run has yet to come to it again. Nobody needs to be notified a second time.
        """

    def samples(self, samples: Samples) -> None:  # noqa: B027  # optional
        """Images of a step."""

    def sync(self) -> None:  # noqa: B027  # optional
        """A checkpoint is being saved: whatever was told so far is to be kept when this returns, because a resumed run goes on
        behind it. May wait for a few seconds, no longer.
        """

    def finish(self, state: str) -> None:  # noqa: B027  # optional
        """The run ended: ``finished``, ``failed`` or ``stopped``."""

    def close(self) -> None:  # noqa: B027  # optional
        """Write what is left and let go of files and sockets."""


T = TypeVar("T")


def discover(package: str | ModuleType, base: type[T]) -> list[type[T]]:
    """Every concrete subclass of ``base`` that a module of the package defines, sorted by module name.

    Raises
    ------
    ImportError
        A module of the package cannot be imported.
    """
    root = importlib.import_module(package) if isinstance(package, str) else package
    found: list[type[T]] = []
    for info in sorted(pkgutil.iter_modules(root.__path__), key=lambda info: info.name):
        module = importlib.import_module(f"{root.__name__}.{info.name}")
        found += [
            cls
            for cls in vars(module).values()
            if isinstance(cls, type) and issubclass(cls, base) and cls.__module__ == module.__name__ and not inspect.isabstract(cls)
        ]
    return found
