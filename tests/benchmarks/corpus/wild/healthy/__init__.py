"""Variants of healthy trainings, one class each. A class in a module of this folder is a variant by being there."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache

from corpus.wild.healthy.variant import Variant

__all__ = ["Variant", "find_variants"]


@cache
def find_variants() -> dict[str, type[Variant]]:
    """Return every variant by name."""
    found: dict[str, type[Variant]] = {}
    for module in pkgutil.iter_modules(__path__):
        name = f"{__name__}.{module.name}"
        members = vars(importlib.import_module(name)).values()
        own = [cls for cls in members if isinstance(cls, type) and issubclass(cls, Variant) and cls.__module__ == name]
        found |= {cls.label(): cls for cls in own if cls is not Variant}
    return found
