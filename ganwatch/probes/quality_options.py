"""Checks of the options of ``Quality``, so that a wrong one fails before the first step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ganwatch.core.errors import UserError


def to_extractor(given: Any) -> Any:
    """Return an extractor, None, or the name of an extractor unchanged, and a plain callable as an extractor."""
    if given is None:
        return None
    from ganwatch.features.extractor import Extractor
    from ganwatch.features.function import CallableExtractor
    from ganwatch.features.registry import make_extractor

    if isinstance(given, str):
        make_extractor(given)
    if isinstance(given, str | Extractor):
        return given
    if not callable(given):
        raise UserError(f"extractor must be a callable, the name of one or None, got {type(given).__name__}")
    return CallableExtractor(given)


def check_targets(targets: Mapping[int, float] | None) -> None:
    """Check that targets are shares of integer labels."""
    if not targets:
        return
    from ganwatch.metrics import shares

    shares.check_targets(targets)
    if not all(isinstance(label, int) for label in targets):
        raise UserError(f"targets must have labels (int) as keys, got {', '.join(map(repr, targets))}")


def check_measures(measures: Sequence[Any]) -> None:
    """Check that measures are own measures with different names."""
    if not measures:
        return
    from ganwatch.metrics.custom_metric import CustomMetric

    for measure in measures:
        if not isinstance(measure, CustomMetric):
            raise UserError(f"measures must be OwnMeasure(function, name=…), got {type(measure).__name__}")
    names = [measure.name for measure in measures]
    if len(set(names)) < len(names):
        raise UserError(f"measures must have different names, got {', '.join(names)}")
