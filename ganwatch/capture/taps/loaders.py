"""Tap on every batch that a ``DataLoader`` of this process delivers, and on the time that the loop waited for it."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from typing import Any

from torch.utils.data import dataloader

OnBatch = Callable[[Any, Any, float], None]
Transform = Callable[[Any, Any], Any]

_listeners: list[OnBatch] = []
_transforms: list[Transform] = []
_original = dataloader._BaseDataLoaderIter.__next__  # noqa: SLF001  # all its iterators share it, and it has no public name


@functools.wraps(_original)
def _next(self: Any) -> Any:
    start = time.perf_counter()
    batch = _original(self)
    waiting_time = time.perf_counter() - start
    for transform in tuple(_transforms):
        batch = transform(self._dataset, batch)
    for listener in tuple(_listeners):
        listener(self._dataset, batch, waiting_time)
    return batch


def add_listener(listener: OnBatch) -> None:
    """Call ``listener(dataset, batch, waiting_time)`` with every batch; ``waiting_time`` is in seconds."""
    _listeners.append(listener)
    _install()


def remove_listener(listener: OnBatch) -> None:
    """Undo ``add_listener``."""
    _listeners.remove(listener)
    _install()


def add_transform(transform: Transform) -> None:
    """Deliver ``transform(dataset, batch)`` in place of every batch, to the loop and to the listeners."""
    _transforms.append(transform)
    _install()


def remove_transform(transform: Transform) -> None:
    """Undo ``add_transform``."""
    _transforms.remove(transform)
    _install()


def _install() -> None:
    """Wrap the iterators' method, or restore it where nobody needs it any more."""
    method = _next if _listeners or _transforms else _original
    dataloader._BaseDataLoaderIter.__next__ = method  # type: ignore[method-assign]  # noqa: SLF001  # as above
