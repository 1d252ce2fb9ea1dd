"""Base class of a check, and the data that it works on."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from numpy.typing import NDArray

from ganwatch.audit.report import Finding, Level, Unfinished
from ganwatch.audit.survey import Survey
from ganwatch.core.detector import NotApplicable

CheckResult = Finding | NotApplicable | Unfinished | None


@dataclass(frozen=True, slots=True)
class CheckInput:
    """Surveys, samples and settings that every check may use.

    Parameters
    ----------
    train : Survey
        Training data.
    held_out : Survey, NotApplicable or None
        Data kept from training; the reason if they cannot be read; None without any.
    generated : (N, ...) or None
        Samples of the generator.
    generator_range : (float, float) or None
        Lowest and highest value that the generator can output.
    batch_size : int or None
        Items of a training step.
    is_expired : callable
        Returns True once the time budget is spent; called between chunks.
    """

    train: Survey
    held_out: Survey | NotApplicable | None
    generated: NDArray[Any] | None
    generator_range: tuple[float, float] | None
    batch_size: int | None
    is_expired: Callable[[], bool]


class Check(ABC):
    """Check for one fault of the data: one class a file, discovered by its module.

    ``examine`` returns a finding, the reason why the check does not apply, the progress if the time was too short, or None if it passes.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    remedy: ClassVar[str]
    order: ClassVar[int]
    """Position among the checks; cheap ones come first."""

    @abstractmethod
    def examine(self, check_input: CheckInput) -> CheckResult:
        """Look for the fault."""

    def finding(
        self, explanation: str, examples: tuple[int | str, ...] = (), *, severity: Level = Level.WARNING, remedy: str | None = None
    ) -> Finding:
        """Return a finding with the name, title and remedy of this check."""
        return Finding(self.name, self.title, severity, explanation, remedy or self.remedy, examples)

    @staticmethod
    def pass_if_complete(survey: Survey) -> Unfinished | None:
        """Return the result without a finding: the check passes only if the survey read all that it was to read."""
        return None if survey.is_complete else Unfinished(survey.read_count, survey.sample_size)


def format_share(part: int, whole: int) -> str:
    """Format a count with its share.

    >>> format_share(3, 1200)
    '3 of 1,200 (0.25 %)'
    """
    percent = float(f"{100 * part / whole:.2g}")
    return f"{part:,} of {whole:,} ({percent:g} %)"
