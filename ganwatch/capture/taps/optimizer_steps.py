"""Tap on every step of every optimizer: calls listeners before and after it.

Torch keeps such hooks in two dictionaries and iterates over them at each step. If another thread changes one meanwhile, the training
ends there with an error. So this tap does not change them: it puts a stand-in in the place of each while somebody listens.
"""

from __future__ import annotations

from collections import UserDict
from collections.abc import Callable
from threading import Lock
from typing import Any, Literal

from torch.optim import optimizer

BeforeStep = Callable[[optimizer.Optimizer, tuple[Any, ...], dict[str, Any]], tuple[tuple[Any, ...], dict[str, Any]] | None]
"""Listener before a step: gets the arguments of ``step``, and may return others to use instead."""
AfterStep = Callable[[optimizer.Optimizer, tuple[Any, ...], dict[str, Any]], None]
"""Listener after a step: gets the arguments of ``step``."""


class _HookTable(UserDict[int, Any]):
    """Stand-in for a hook dictionary of torch: torch's own hooks, which others may still add and remove, and the listeners."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.data = getattr(optimizer, name)
        self.listeners: tuple[Any, ...] = ()
        """Run after torch's own hooks."""
        self.first: tuple[Any, ...] = ()
        """Run before everything else."""
        self.last: tuple[Any, ...] = ()
        """Run after everything else."""

    def values(self) -> list[Any]:  # type: ignore[override]  # a step calls nothing else; a list cannot change under its iteration
        return [*self.first, *self.data.values(), *self.listeners, *self.last]

    def set_listeners(self, place: Literal["first", "listeners", "last"], listeners: tuple[Any, ...]) -> None:
        setattr(self, place, listeners)
        setattr(optimizer, self.name, self if self.first or self.listeners or self.last else self.data)


_before, _after = _HookTable("_global_optimizer_pre_hooks"), _HookTable("_global_optimizer_post_hooks")
_lock = Lock()


def add_listener(*, after: AfterStep, before: BeforeStep | None = None) -> None:
    """Call ``before(optimizer, args, kwargs)`` before every optimizer's step and ``after(optimizer, args, kwargs)`` after it."""
    with _lock:
        _after.set_listeners("listeners", (*_after.listeners, after))
        if before is not None:
            _before.set_listeners("listeners", (*_before.listeners, before))


def add_outermost_listener(*, after: AfterStep, before: BeforeStep) -> None:
    """Add a listener that runs before and after all others, even those that are added later."""
    with _lock:
        _before.set_listeners("first", (before, *_before.first))
        _after.set_listeners("last", (*_after.last, after))


def remove_listener(*, after: AfterStep, before: BeforeStep | None = None) -> None:
    """Undo ``add_listener`` or ``add_outermost_listener``; do nothing for functions that do not listen."""
    with _lock:
        for place in ("first", "listeners", "last"):
            _after.set_listeners(place, tuple(other for other in getattr(_after, place) if other != after))
            _before.set_listeners(place, tuple(other for other in getattr(_before, place) if other != before))
