"""Causes of failures as practitioners meet them, one class each. A class in a module of this folder is a cause by being there."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache

from corpus.wild.causes.cause import Cause

__all__ = ["Cause", "find_causes"]


@cache
def find_causes() -> dict[str, type[Cause]]:
    """Return every cause by name."""
    found: dict[str, type[Cause]] = {}
    for module in pkgutil.iter_modules(__path__):
        name = f"{__name__}.{module.name}"
        members = vars(importlib.import_module(name)).values()
        own = [cls for cls in members if isinstance(cls, type) and issubclass(cls, Cause) and cls.__module__ == name and cls is not Cause]
        found |= {cls.label(): cls for cls in own if not cls.__name__.startswith("_")}
    return found
