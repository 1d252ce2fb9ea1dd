"""Tap on every new optimizer: wraps the constructor of their base class while somebody listens."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch.optim import Optimizer

from ganwatch.capture.taps.patches import Patch

OnOptimizer = Callable[[Optimizer], None]

_listeners: list[OnOptimizer] = []


def add_listener(listener: OnOptimizer) -> None:
    """Call ``listener(optimizer)`` with every new optimizer, once it has its parameters."""
    _listeners.append(listener)
    _patch.install()


def remove_listener(listener: OnOptimizer) -> None:
    """Undo ``add_listener``."""
    _listeners.remove(listener)
    if not _listeners:
        _patch.remove()


def _init(self: Optimizer, *args: Any, **kwargs: Any) -> None:
    _patch.original(self, *args, **kwargs)
    try:
        for listener in tuple(_listeners):
            listener(self)
    except Exception as error:  # noqa: BLE001  # counted and logged
        _patch.fail(error)


_patch = Patch("torch.optim:Optimizer.__init__", _init, "networks that a library creates are not found")
