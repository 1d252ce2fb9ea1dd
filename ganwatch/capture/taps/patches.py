"""Registry of everything in torch that ganwatch replaces while somebody listens; each replacement fails alone.

What a version of torch lacks is reported, and the other taps go on. So are errors of a tap while the training runs.
"""

from __future__ import annotations

import functools
import importlib
import logging
import re
from collections import Counter
from collections.abc import Callable
from typing import Any

from ganwatch.core.guard import Guard

log = logging.getLogger("ganwatch")

_guard = Guard()


class Patch:
    """One attribute of torch and the function that takes its place from ``install`` to ``remove``.

    Parameters
    ----------
    path : str
        Module and attribute, such as ``torch.utils.data.dataloader:_BaseDataLoaderIter.__next__``.
    replacement : callable
        Calls ``original``.
    loses : str
        Knowledge that ganwatch lacks without it, for a person.

    Attributes
    ----------
    original : callable
        Function of torch, once ``install`` found it.
    """

    def __init__(self, path: str, replacement: Callable[..., Any], loses: str) -> None:
        self.path, self.replacement, self.loses = path, replacement, loses
        self.original: Callable[..., Any] = _not_installed
        self._owner: Any = None
        self._name = re.split(r"[:.]", path)[-1]
        self._is_covered = False
        """True if somebody else's function, which calls the replacement, was in its place when it was to be removed."""

    def install(self) -> bool:
        """Put the replacement in place; return False if torch has no such attribute."""
        if self._owner is None:
            self._owner = self._find_owner()
        current = getattr(self._owner, self._name, None)
        if current is None:
            report_missing(self.path, self.loses)
            return False
        if current is self.replacement or self._is_covered:
            return True
        if current is not self.original:
            self.original = current
            functools.update_wrapper(self.replacement, current)
        setattr(self._owner, self._name, self.replacement)
        return True

    def remove(self) -> None:
        """Restore the attribute, unless somebody else has replaced it meanwhile."""
        current = getattr(self._owner, self._name, None)
        if current is self.replacement:
            setattr(self._owner, self._name, self.original)
        self._is_covered = current is not self.replacement and current is not self.original and self.original is not _not_installed

    def fail(self, error: Exception) -> None:
        """Count an error of the tap, and log the first one."""
        _guard.note(f"tap on {self.path}", error, self.loses)

    def _find_owner(self) -> Any:
        """Return the module or class that has the attribute; None if torch has none."""
        module, _, attributes = self.path.partition(":")
        try:
            return functools.reduce(getattr, attributes.split(".")[:-1], importlib.import_module(module))
        except (ImportError, AttributeError):
            return None


def report_missing(path: str, loses: str) -> None:
    """Count that torch has no such attribute, and log it once."""
    if not _guard.errors[f"tap on {path}"]:
        log.warning("this version of torch has no %s: %s", path, loses)
        _guard.errors[f"tap on {path}"] = 1


def failures() -> Counter[str]:
    """Return the number of errors of each tap with errors."""
    return +_guard.errors


def _not_installed(*_: Any, **__: Any) -> Any:
    raise RuntimeError("the patch is not installed")
