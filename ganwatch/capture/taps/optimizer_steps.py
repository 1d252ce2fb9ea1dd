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
    """Torch's own hooks, which others go on to add to and to take from, the listeners behind them, and what goes before or after all."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.data = getattr(optimizer, name)
        self.listeners: tuple[Any, ...] = ()
        self.first: tuple[Any, ...] = ()
        self.last: tuple[Any, ...] = ()

    def values(self) -> list[Any]:  # type: ignore[override]  # all that a step asks for, complete at once
        return [*self.first, *self.data.values(), *self.listeners, *self.last]

    def put(self, place: str, listeners: tuple[Any, ...]) -> None:
        setattr(self, place, listeners)
        setattr(optimizer, self.name, self if self.first or self.listeners or self.last else self.data)


_before, _after = _Beside("_global_optimizer_pre_hooks"), _Beside("_global_optimizer_post_hooks")
_lock = Lock()


def listen(*, after: AfterStep, before: BeforeStep | None = None) -> None:
    """Call ``before(optimizer, args, kwargs)`` ahead of every optimizer's step and ``after(optimizer, args, kwargs)`` when it is over."""
    with _lock:
        _after.put("listeners", (*_after.listeners, after))
        if before is not None:
            _before.put("listeners", (*_before.listeners, before))


def surround(*, after: AfterStep, before: BeforeStep) -> None:
    """``listen``, but before and after everybody else, whoever comes later."""
    with _lock:
        _before.put("first", (before, *_before.first))
        _after.put("last", (*_after.last, after))


def unlisten(*, after: AfterStep, before: BeforeStep | None = None) -> None:
    """Undo ``listen`` or ``surround``; what does not listen is passed over."""
    with _lock:
        for place in ("first", "listeners", "last"):
            _after.put(place, tuple(other for other in getattr(_after, place) if other != after))
            _before.put(place, tuple(other for other in getattr(_before, place) if other != before))
