"""One recorded run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from ganwatch.core.errors import UserError, show_value
from ganwatch.core.readings import MAX_STEP, Readings

MAX_READINGS = 4_000_000
"""Most readings of a run that are read."""
MAX_STEPS = 1_000_000
"""Most steps with readings of a run that are read."""
FACT_TYPES: dict[str, tuple[type, ...]] = {
    "label": (str,), "onset": (int,), "onset_low": (int,), "codes": (list, tuple), "unused": (list, tuple)
}  # fmt: skip
"""Types of the facts that rates are computed from; each may be None."""


class DamagedSourceError(UserError):
    """A source of which parts could not be read; the other runs were yielded before.

    Parameters
    ----------
    damage : sequence of str
        A line for each part.
    """

    def __init__(self, damage: Sequence[str]) -> None:
        super().__init__("\n".join(damage))
        self._damage = list(damage)

    @property
    def lines(self) -> list[str]:
        """The parts that could not be read."""
        return self._damage

    def __reduce__(self) -> tuple[type[DamagedSourceError], tuple[list[str]]]:
        return type(self), (self._damage,)


@dataclass(frozen=True)
class Recording:
    """A run that can be replayed.

    Parameters
    ----------
    name : str
        Unique within a file.
    readings : sequence of Readings
        In the order of their steps. Steps and values are recorded; attempt and wall time have no effect on detectors and are not.
    facts : dict
        Further facts as JSON types: set-up, seed, truth, onset. No detector sees them.
    damage : tuple of str
        Parts of the source that could not be read, a line each.

    Raises
    ------
    ValueError
        The steps do not rise, or a fact that rates are computed from has another type.

    Examples
    --------
    >>> Recording("first", [Readings(1, {"loss/g": 0.7})], {"label": "healthy"}).facts["label"]
    'healthy'
    """

    name: str
    readings: Sequence[Readings]
    facts: dict[str, Any] = field(default_factory=dict)
    damage: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name, types in FACT_TYPES.items():
            value = self.facts.get(name)
            if not (value is None or isinstance(value, types)) or isinstance(value, bool):
                raise ValueError(f"fact {name!r} of {self.name!r} must be of type {types[0].__name__}, got {show_value(value)}")
            if isinstance(value, list | tuple) and not all(isinstance(item, str) for item in value):
                raise ValueError(f"fact {name!r} of {self.name!r} must be a list of texts, got {show_value(value)}")
        for one, following in pairwise(self.readings):
            if following.step <= one.step:
                raise ValueError(f"readings of {self.name!r} must have rising steps, got {following.step} after {one.step}")


class Rows:
    """Values by step and series, in any order of the steps, within the bounds of this module."""

    def __init__(self) -> None:
        self._rows: dict[int, dict[str, float]] = {}
        self._count = 0

    def __len__(self) -> int:
        """Return the number of steps."""
        return len(self._rows)

    def add(self, step: int, series: str, value: float) -> None:
        """Set a value; the later of two for one step and series wins.

        Raises
        ------
        UserError
            There are too many readings, or the step is negative or too large.
        """
        if not 0 <= step <= MAX_STEP:
            raise UserError(f"step must be in 0…{MAX_STEP:,}, got {step}")
        self._count += 1
        if self._count > MAX_READINGS or len(self._rows) > MAX_STEPS:
            raise UserError(f"a run must have at most {MAX_READINGS:,} readings at {MAX_STEPS:,} steps, got more")
        self._rows.setdefault(step, {})[series] = value

    def to_recording(self, name: str, facts: dict[str, Any], damage: Sequence[str] = ()) -> Recording:
        """Create the recording."""
        return Recording(name, [Readings(step, self._rows[step]) for step in sorted(self._rows)], facts, tuple(damage))
