"""Series that follow from others, for runs in which they were not measured, such as those of other tools.

A derived value is given to the detectors alone. What is stored and shown stays what was measured.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DerivedSeries:
    """A series that follows from others of the same step.

    Parameters
    ----------
    name : str
    sources : tuple of str
        Series that it follows from.
    derive : callable
        Returns its value from theirs, in their order.
    assumption : str
        What has to hold for it; empty if nothing has to.
    """

    name: str
    sources: tuple[str, ...]
    derive: Callable[..., float]
    assumption: str = ""

    def __str__(self) -> str:
        assumption = f", {self.assumption}" if self.assumption else ""
        return f"{self.name} was not measured and follows from {' and '.join(self.sources)}{assumption}."


def find_margin(real: float, fake: float, real_spread: float, fake_spread: float) -> float:
    """Return the difference of two means in pooled standard deviations.

    >>> find_margin(2.0, -1.0, 1.0, 1.0)
    3.0
    """
    return (real - fake) / max(math.hypot(real_spread, fake_spread) / math.sqrt(2.0), 1e-12)


def find_auc(margin: float) -> float:
    """Return the share of pairs ranked right of two normal distributions of one spread, by the distance of their means in spreads.

    >>> find_auc(0.0), round(find_auc(2.0), 3), round(find_auc(-2.0), 3)
    (0.5, 0.921, 0.079)
    """
    return 0.5 * (1.0 + math.erf(margin / 2.0))


DERIVED = (
    DerivedSeries("d_margin", ("d_output/real", "d_output/fake", "d_output_spread/real", "d_output_spread/fake"), find_margin),
    DerivedSeries("d_auc", ("d_margin",), find_auc, "as for scores that are normally distributed"),
)
"""Every derived series, each after those that it follows from."""


def derive_missing(values: Mapping[str, float], measured: Container[str]) -> dict[str, float]:
    """Return the values of a step that follow from others, of series that the run has never measured.

    >>> derive_missing({"d_margin": 0.0}, {"d_margin"}), derive_missing({"d_margin": 0.0}, {"d_margin", "d_auc"})
    ({'d_auc': 0.5}, {})
    """
    derived: dict[str, float] = {}
    for series in DERIVED:
        if series.name not in measured:
            sources = [derived[name] if name in derived else values.get(name) for name in series.sources]
            if None not in sources:
                derived[series.name] = series.derive(*sources)
    return derived


def name_with_sources(name: str) -> str:
    """Return the name of a series, with those that it follows from where it is not measured.

    >>> name_with_sources("d_auc"), name_with_sources("loss/g")
    ('d_auc (or d_margin)', 'loss/g')
    """
    sources = next((series.sources for series in DERIVED if series.name == name), ())
    return f"{name} (or {' and '.join(sources)})" if sources else name
