"""Sees every step of every optimizer, before and after it, while somebody listens.

Torch keeps such hooks in two dictionaries that each step iterates over; one that is changed meanwhile, by another thread, ends the
training there with an error. So they are not changed: each has a stand-in in its place for as long as somebody listens.
"""

from __future__ import annotations

from collections import UserDict
from collections.abc import Callable
from threading import Lock
from typing import Any

from torch.optim import optimizer

BeforeStep = Callable[[optimizer.Optimizer, tuple[Any, ...], dict[str, Any]], tuple[tuple[Any, ...], dict[str, Any]] | None]
"""Gets what ``step`` was given, and may give back what it shall be given instead."""
AfterStep = Callable[[optimizer.Optimizer, tuple[Any, ...], dict[str, Any]], None]


class _Beside(UserDict[int, Any]):
    """Torch's own hooks, which others go on to add to and to take from, and the listeners behind them."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.data = getattr(optimizer, name)
        self.listeners: tuple[Any, ...] = ()

    def values(self) -> list[Any]:  # type: ignore[override]  # all that a step asks for, complete at once
        return [*self.data.values(), *self.listeners]

    def put(self, listeners: tuple[Any, ...]) -> None:
        self.listeners = listeners
        setattr(optimizer, self.name, self if listeners else self.data)


_before, _after = _Beside("_global_optimizer_pre_hooks"), _Beside("_global_optimizer_post_hooks")
_lock = Lock()


def listen(*, after: AfterStep, before: BeforeStep | None = None) -> None:
    """Call ``before(optimizer, args, kwargs)`` ahead of every optimizer's step and ``after(optimizer, args, kwargs)`` when it is over."""
    with _lock:
        _after.put((*_after.listeners, after))
        if before is not None:
            _before.put((*_before.listeners, before))


def unlisten(*, after: AfterStep, before: BeforeStep | None = None) -> None:
    """Undo ``listen``; what does not listen is passed over."""
    with _lock:
        _after.put(tuple(other for other in _after.listeners if other != after))
        _before.put(tuple(other for other in _before.listeners if other != before))
