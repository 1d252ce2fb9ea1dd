"""Variants of healthy trainings, one class each. A class in a module of this folder is a variant by being there."""

from __future__ import annotations

from functools import cache

from corpus.wild.healthy.variant import Variant

from ganwatch.core.discovery import discover

__all__ = ["Variant", "find_variants"]


@cache
def find_variants() -> dict[str, type[Variant]]:
    """Return every variant by name."""
    classes = [cls for cls in discover(__name__, Variant) if cls is not Variant and not cls.__name__.startswith("_")]
    return {cls.label(): cls for cls in classes}
