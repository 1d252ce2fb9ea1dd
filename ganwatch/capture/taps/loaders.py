"""Sees every batch that a ``DataLoader`` of this process delivers, and how long the loop waited for it."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from typing import Any

from torch.utils.data import dataloader

OnBatch = Callable[[Any, Any, float], None]
Alter = Callable[[Any, Any], Any]

_listeners: list[OnBatch] = []
_altering: list[Alter] = []
_original = dataloader._BaseDataLoaderIter.__next__  # noqa: SLF001  # all its iterators share it, and it has no public name


@functools.wraps(_original)
def _next(self: Any) -> Any:
    start = time.perf_counter()
    batch = _original(self)
    waited = time.perf_counter() - start
    for alter in tuple(_altering):
        batch = alter(self._dataset, batch)
    for listener in tuple(_listeners):
        listener(self._dataset, batch, waited)
    return batch


def listen(listener: OnBatch) -> None:
    """Call ``listener(dataset, batch, waited)`` with every batch, ``waited`` in seconds."""
    _listeners.append(listener)
    _wrap()


def unlisten(listener: OnBatch) -> None:
    """Undo ``listen``."""
    _listeners.remove(listener)
    _wrap()


def alter(function: Alter) -> None:
    """Deliver ``function(dataset, batch)`` in place of every batch, to listeners as well."""
    _altering.append(function)
    _wrap()


def leave(function: Alter) -> None:
    """Undo ``alter``."""
    _altering.remove(function)
    _wrap()


def _wrap() -> None:
    """The iterators' own method where nobody wants anything of it."""
    wanted = _next if _listeners or _altering else _original
    dataloader._BaseDataLoaderIter.__next__ = wanted  # type: ignore[method-assign]  # noqa: SLF001  # as above
