"""One recorded run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from ganwatch.core.readings import Readings


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

    Raises
    ------
    ValueError
        The steps do not rise.

    Examples
    --------
    >>> Recording("first", [Readings(1, {"loss/g": 0.7})], {"label": "healthy"}).facts["label"]
    'healthy'
    """

    name: str
    readings: Sequence[Readings]
    facts: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for one, following in pairwise(self.readings):
            if following.step <= one.step:
                raise ValueError(f"readings of {self.name!r} must have rising steps, got {following.step} after {one.step}")


def recording_from_rows(name: str, rows: Mapping[int, Mapping[str, float]], facts: dict[str, Any]) -> Recording:
    """Create a recording of values by step and series, in any order of the steps."""
    return Recording(name, [Readings(step, rows[step]) for step in sorted(rows)], facts)
