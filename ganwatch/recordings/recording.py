"""One recorded run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from ganwatch.core.readings import Readings


@dataclass(frozen=True)
class Recording:
    """A run that can be judged again.

    Parameters
    ----------
    name : str
        Tells the runs of a file apart.
    readings : sequence of Readings
        In order of step. Of each, step and values belong to the recording; attempt and wall time decide nothing and are not kept.
    facts : dict
        What is known beside the readings, as JSON types: set-up, seed, truth, onset. No detector sees them.

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


def of_readings(name: str, rows: Mapping[int, Mapping[str, float]], facts: dict[str, Any]) -> Recording:
    """A recording of values by step and series, in any order of the steps."""
    return Recording(name, [Readings(step, rows[step]) for step in sorted(rows)], facts)
