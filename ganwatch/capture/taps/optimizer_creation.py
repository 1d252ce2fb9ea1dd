"""Tap on every new optimizer: wraps the constructor of their base class while somebody listens."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from torch.optim import Optimizer

OnOptimizer = Callable[[Optimizer], None]

_listeners: list[OnOptimizer] = []
_original = Optimizer.__init__


@functools.wraps(_original)
def _init(self: Optimizer, *args: Any, **kwargs: Any) -> None:
    _original(self, *args, **kwargs)
    for listener in tuple(_listeners):
        listener(self)


def add_listener(listener: OnOptimizer) -> None:
    """Call ``listener(optimizer)`` with every new optimizer, once it has its parameters."""
    if not _listeners:
        Optimizer.__init__ = _init  # type: ignore[method-assign]
    _listeners.append(listener)


def remove_listener(listener: OnOptimizer) -> None:
    """Undo ``add_listener``."""
    _listeners.remove(listener)
    if not _listeners:
        Optimizer.__init__ = _original  # type: ignore[method-assign]
