"""Sees every batch that a ``DataLoader`` of this process delivers, and how long the loop waited for it."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from typing import Any

from torch.utils.data import dataloader

OnBatch = Callable[[Any, Any, float], None]

_listeners: list[OnBatch] = []
_original = dataloader._BaseDataLoaderIter.__next__  # noqa: SLF001  # all its iterators share it, and it has no public name


@functools.wraps(_original)
def _next(self: Any) -> Any:
    start = time.perf_counter()
    batch = _original(self)
    waited = time.perf_counter() - start
    for listener in tuple(_listeners):
        listener(self._dataset, batch, waited)
    return batch


def listen(listener: OnBatch) -> None:
    """Call ``listener(dataset, batch, waited)`` with every batch, ``waited`` in seconds."""
    if not _listeners:
        dataloader._BaseDataLoaderIter.__next__ = _next  # type: ignore[method-assign]  # noqa: SLF001  # as above
    _listeners.append(listener)


def unlisten(listener: OnBatch) -> None:
    """Undo ``listen``."""
    _listeners.remove(listener)
    if not _listeners:
        dataloader._BaseDataLoaderIter.__next__ = _original  # type: ignore[method-assign]  # noqa: SLF001  # as above
