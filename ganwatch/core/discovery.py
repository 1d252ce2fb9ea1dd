"""Discovery of detectors, probes, sinks and checks: in the modules of a package, and in other installed packages by entry points."""

from __future__ import annotations

import importlib
import inspect
import logging
import pkgutil
from collections.abc import Iterator
from importlib.metadata import entry_points
from types import ModuleType
from typing import Any, TypeVar

log = logging.getLogger("ganwatch")

T = TypeVar("T")


def discover(package: str | ModuleType, base: type[T]) -> list[type[T]]:
    """Return every concrete subclass of ``base`` that a module of the package defines, sorted by module name.

    Raises
    ------
    ImportError
        A module of the package cannot be imported.
    """
    root = importlib.import_module(package) if isinstance(package, str) else package
    classes: list[type[T]] = []
    for info in sorted(pkgutil.iter_modules(root.__path__), key=lambda info: info.name):
        module = importlib.import_module(f"{root.__name__}.{info.name}")
        classes += [
            cls
            for cls in vars(module).values()
            if isinstance(cls, type) and issubclass(cls, base) and cls.__module__ == module.__name__ and not inspect.isabstract(cls)
        ]
    return classes


_installed: dict[str, tuple[type[Any], ...]] = {}
"""Classes that were found before, by group: packages are not installed while a process runs."""


def discover_installed(group: str, base: type[T]) -> tuple[type[T], ...]:
    """Return the subclasses of ``base`` that other installed packages offer as entry points of a group, such as ``ganwatch.detectors``.

    An entry point that cannot be loaded or is something else is logged once and left out.

    >>> discover_installed("ganwatch.nothing", object)
    ()
    """
    if group not in _installed:
        _installed[group] = tuple(_load_entry_points(group, base))
    return _installed[group]


def _load_entry_points(group: str, base: type[T]) -> Iterator[type[T]]:
    for point in sorted(entry_points(group=group), key=lambda point: point.name):
        try:
            cls = point.load()
        except Exception:
            log.exception("entry point %s = %s of group %s cannot be loaded and is left out", point.name, point.value, group)
            continue
        if isinstance(cls, type) and issubclass(cls, base) and not inspect.isabstract(cls):
            yield cls
        else:
            log.warning(
                "entry point %s = %s of group %s must be a concrete subclass of %s, got %r; it is left out",
                point.name, point.value, group, base.__name__, cls,
            )  # fmt: skip
