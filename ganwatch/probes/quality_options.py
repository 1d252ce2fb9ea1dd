"""What may be asked of the measurement of quality in training; what may not is refused before the first step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ganwatch.core.errors import UserError


def checked_extractor(given: Any) -> Any:
    """The extractor as it is, where it is one, none, or the name of one; a plain callable as an extractor."""
    if given is None:
        return None
    from ganwatch.features.extractor import Extractor
    from ganwatch.features.function import FromCallable
    from ganwatch.features.registry import extractor

    if isinstance(given, str):
        extractor(given)
    if isinstance(given, str | Extractor):
        return given
    if not callable(given):
        raise UserError(f"extractor must be a callable, the name of one or None, got {type(given).__name__}")
    return FromCallable(given)


def check_targets(targets: Mapping[int, float] | None) -> None:
    """Shares of labels, or none."""
    if not targets:
        return
    from ganwatch.metrics import shares

    shares.check_targets(targets)
    if not all(isinstance(label, int) for label in targets):
        raise UserError(f"targets must have labels (int) as keys, got {', '.join(map(repr, targets))}")


def check_measures(measures: Sequence[Any]) -> None:
    """Own measures with names of their own."""
    if not measures:
        return
    from ganwatch.metrics.own import OwnMeasure

    for measure in measures:
        if not isinstance(measure, OwnMeasure):
            raise UserError(f"measures must be OwnMeasure(function, name=…), got {type(measure).__name__}")
    names = [measure.name for measure in measures]
    if len(set(names)) < len(names):
        raise UserError(f"measures must have different names, got {', '.join(names)}")
