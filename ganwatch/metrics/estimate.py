"""A measured value with what is needed to trust it."""

from __future__ import annotations

import dataclasses
import math
from typing import Any


@dataclasses.dataclass(frozen=True, slots=True)
class Estimate:
    """A value, how uncertain it is, and what two real samples would give.

    Attributes
    ----------
    value : float
        The measure; NaN where it is unknown, for example for too few samples.
    low, high : float
        Interval that holds the true value with probability ``confidence``; NaN where it is unknown.
    null : float
        The value expected between two samples of the *real* data of the same sizes; NaN where it is unknown.
    n_real, n_fake : int, samples
        How many samples the value rests on.
    confidence : float in (0, 1)
        Probability of the interval.
    provenance : dict of plain types
        What it takes to measure the same again: extractor, preprocessing, seed, versions.

    Examples
    --------
    >>> Estimate(2.0, 1.5, 2.5, float("nan"), n_real=100, n_fake=50).as_dict()["null"] is None
    True
    """

    value: float
    low: float
    high: float
    null: float
    n_real: int
    n_fake: int
    confidence: float = 0.95
    provenance: dict[str, Any] = dataclasses.field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Plain types for JSON; what is not finite is None."""
        items = dataclasses.asdict(self).items()
        return {name: None if isinstance(value, float) and not math.isfinite(value) else value for name, value in items}
