"""Causes of failures as practitioners meet them, one class each. A class in a module of this folder is a cause by being there."""

from __future__ import annotations

from functools import cache

from corpus.wild.causes.cause import Cause

from ganwatch.core.discovery import discover

__all__ = ["Cause", "find_causes"]


@cache
def find_causes() -> dict[str, type[Cause]]:
    """Return every cause by name."""
    classes = [cls for cls in discover(__name__, Cause) if cls is not Cause and not cls.__name__.startswith("_")]
    return {cls.label(): cls for cls in classes}
