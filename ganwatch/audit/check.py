"""What a check is, and what it may look at."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from numpy.typing import NDArray

from ganwatch.audit.report import Finding, Level, Unfinished
from ganwatch.audit.survey import Survey
from ganwatch.core.detector import NotApplicable

CheckOutcome = Finding | NotApplicable | Unfinished | None


@dataclass(frozen=True, slots=True)
class Material:
    """What checks work on.

    Parameters
    ----------
    train : Survey
        The data.
    held_out : Survey, NotApplicable or None
        Data kept from training; the reason where they cannot be read; None where there are none.
    generated : (N, ...) or None
        Samples of the generator.
    generator_range : (float, float) or None
        Lowest and highest value the generator can put out.
    batch_size : int or None
        Items a training step takes.
    expired : callable
        Whether time is up; asked between chunks.
    """

    train: Survey
    held_out: Survey | NotApplicable | None
    generated: NDArray[Any] | None
    generator_range: tuple[float, float] | None
    batch_size: int | None
    expired: Callable[[], bool]


class Check(ABC):
    """One fault a class, one class a file; found by being there.

    ``examine`` gives a finding, a reason why it cannot judge, how far it came in the time, or None where all is well.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    remedy: ClassVar[str]
    order: ClassVar[int]
    """Place among the checks; cheap ones come first."""

    @abstractmethod
    def examine(self, material: Material) -> CheckOutcome:
        """Judge the material."""

    def finding(
        self, explanation: str, examples: tuple[int | str, ...] = (), *, severity: Level = Level.WARNING, remedy: str | None = None
    ) -> Finding:
        """A finding with the name, title and remedy of this check."""
        return Finding(self.name, self.title, severity, explanation, remedy or self.remedy, examples)

    @staticmethod
    def clean(survey: Survey) -> Unfinished | None:
        """The outcome where nothing was found: well only if everything that was to be read has been."""
        return None if survey.complete else Unfinished(survey.looked, survey.wanted)


def share(part: int, whole: int) -> str:
    """A count with its share.

    >>> share(3, 1200)
    '3 of 1,200 (0.25 %)'
    """
    percent = float(f"{100 * part / whole:.2g}")
    return f"{part:,} of {whole:,} ({percent:g} %)"
