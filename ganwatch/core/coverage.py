"""Records when each series was measured, so that a series that stops is noticed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ganwatch.core.pace import QUIET_FACTOR
from ganwatch.core.plain_records import read_field

MAX_GAPS = 3.0
"""Multiple of the mean distance between two readings after which a series counts as no longer measured."""
SAMPLED_GAPS = (5.0, 45.0)
"""Mean distances, in steps, of series of sampled steps, which come more seldom in quiet times (``core.pace``)."""
MAX_PATTERNS = 256
"""Most different sets of series that are told apart."""


@dataclass(frozen=True, slots=True)
class Span:
    """First and last step at which a series was measured, and the number of readings."""

    first: int
    last: int
    count: int

    def __or__(self, other: Span) -> Span:
        return Span(min(self.first, other.first), max(self.last, other.last), self.count + other.count)

    def has_ended(self, step: int) -> bool:
        """Return True if no reading came for several times the usual distance.

        >>> Span(first=20, last=100, count=5).has_ended(340), Span(first=20, last=100, count=5).has_ended(341)
        (False, True)
        >>> Span(first=1, last=100, count=100).has_ended(103), Span(first=1, last=100, count=100).has_ended(104)
        (False, True)
        """
        gap = (self.last - self.first) / (self.count - 1) if self.count > 1 else float(self.first)
        slower = QUIET_FACTOR if SAMPLED_GAPS[0] <= gap <= SAMPLED_GAPS[1] else 1
        return step - self.last > MAX_GAPS * slower * max(gap, 1.0)


class Coverage:
    """Span of every series of a run.

    Steps that measure the same series are counted together, so that a step costs one lookup.

    Examples
    --------
    >>> coverage = Coverage()
    >>> for step in range(1, 11):
    ...     coverage.add(("loss/g", "d_auc") if step % 5 == 0 else ("loss/g",), step)
    >>> coverage.spans()["d_auc"], coverage.spans()["loss/g"].count
    (Span(first=5, last=10, count=2), 10)
    """

    def __init__(self) -> None:
        self._spans: dict[tuple[str, ...], Span] = {}

    def add(self, series: tuple[str, ...], step: int) -> None:
        """Add a step at which these series were measured."""
        span = self._spans.get(series)
        if span is None and len(self._spans) >= MAX_PATTERNS:
            self._spans = {(name,): each for name, each in self.spans().items()}
        self._spans[series] = Span(step, step, 1) if span is None else Span(span.first, step, span.count + 1)

    def spans(self) -> dict[str, Span]:
        """Return the span of each series."""
        spans: dict[str, Span] = {}
        for names, span in self._spans.items():
            for name in names:
                spans[name] = spans[name] | span if name in spans else span
        return spans

    def state_dict(self) -> dict[str, list[int]]:
        """Return the spans as plain types."""
        return {name: [span.first, span.last, span.count] for name, span in self.spans().items()}

    def load_state_dict(self, state: Mapping[str, Sequence[Any]]) -> None:
        """Continue from saved spans.

        Raises
        ------
        UserError
            A span is not three integers.
        """
        spans = read_field("coverage", Mapping[str, tuple[int, int, int]], state)
        self._spans = {(name,): Span(*span) for name, span in spans.items()}
