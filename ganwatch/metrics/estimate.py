"""A measured value with its uncertainty and provenance."""

from __future__ import annotations

import dataclasses
import math
from typing import Any


@dataclasses.dataclass(frozen=True, slots=True)
class Estimate:
    """A value with its interval, and the value that two real samples would have.

    Attributes
    ----------
    value : float
        The measured value; NaN if it is unknown, for example for too few samples.
    low, high : float
        Interval that holds the true value with probability ``confidence``; NaN if it is unknown.
    null : float
        The value expected between two samples of the *real* data of the same sizes; NaN if it is unknown.
    n_real, n_fake : int, samples
        Number of samples behind the value.
    confidence : float in (0, 1)
        Probability of the interval.
    provenance : dict of plain types
        All that is needed to measure the same again: extractor, preprocessing, seed, versions.

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
        """Return plain types for JSON; a value that is not finite becomes None."""
        items = dataclasses.asdict(self).items()
        return {name: None if isinstance(value, float) and not math.isfinite(value) else value for name, value in items}
