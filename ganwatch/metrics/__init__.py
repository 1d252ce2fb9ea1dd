"""Metrics of sample quality, each a ``torchmetrics.Metric`` that works alone.

A metric is found by its class: every concrete ``QualityMetric`` in a module of this package is an attribute of the package. The modules,
and torch, are imported when the first class is asked for.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ganwatch.metrics.base import QualityMetric


@functools.cache
def _classes() -> dict[str, type[QualityMetric]]:
    """Return the public metrics of all modules by name."""
    from ganwatch.core.discovery import discover
    from ganwatch.metrics.base import QualityMetric

    classes = discover(__name__, QualityMetric)  # type: ignore[type-abstract]  # the base is only compared with
    return {cls.__name__: cls for cls in classes if not cls.__name__.startswith("_")}


def __getattr__(name: str) -> Any:
    if name[:1].isupper() and name in _classes():  # names of modules are lower case
        return _classes()[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(_classes())
