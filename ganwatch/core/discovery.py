"""Discovery of detectors, probes and checks in the modules of a package."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from types import ModuleType
from typing import TypeVar

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
