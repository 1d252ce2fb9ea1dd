"""Tap on every step of every optimizer: calls listeners before and after it.

Torch keeps such hooks in two dictionaries and iterates over them at each step. If another thread changes one meanwhile, the training
ends there with an error. So this tap does not change them: it puts a stand-in in the place of each while somebody listens. A torch without
these dictionaries gets hooks through its public functions.
"""

from __future__ import annotations

from collections import UserDict
from collections.abc import Callable, Iterable
from functools import partial
from itertools import chain
from threading import Lock
from typing import Any, Literal

from torch.optim import optimizer

from ganwatch.capture.taps.patches import report_missing

BeforeStep = Callable[[optimizer.Optimizer, tuple[Any, ...], dict[str, Any]], tuple[tuple[Any, ...], dict[str, Any]] | None]
"""Listener before a step: gets the arguments of ``step``, and may return others to use instead."""
AfterStep = Callable[[optimizer.Optimizer, tuple[Any, ...], dict[str, Any]], None]
"""Listener after a step: gets the arguments of ``step``."""


class _HookTable(UserDict[int, Any]):
    """Stand-in for a hook dictionary of torch: torch's own hooks, which others may still add and remove, and the listeners.

    Attributes
    ----------
    values : callable
        All a step calls. It returns what is to run, in order, and runs no Python code itself.
    """

    values: Callable[[], Iterable[Any]]  # type: ignore[assignment]  # torch only iterates over the result

    def __init__(self, hooks: Any) -> None:
        self.first: tuple[Any, ...] = ()
        """Run before everything else."""
        self.listeners: tuple[Any, ...] = ()
        """Run after torch's own hooks."""
        self.last: tuple[Any, ...] = ()
        """Run after everything else."""
        self.set_hooks(hooks)

    @property
    def is_used(self) -> bool:
        """True if somebody listens."""
        return bool(self.first or self.listeners or self.last)

    def set_hooks(self, hooks: Any) -> None:
        """Set the dictionary of torch."""
        self.data = hooks
        self._join()

    def set_listeners(self, place: Literal["first", "listeners", "last"], listeners: tuple[Any, ...]) -> None:
        """Set the listeners of one place."""
        setattr(self, place, listeners)
        self._join()

    def _join(self) -> None:
        self.values = partial(chain, self.first, self.data.values(), self.listeners, self.last)


class _HookPatch:
    """Puts a stand-in in the place of one hook dictionary; without such a dictionary, one hook of torch's public kind calls the listeners.

    Parameters
    ----------
    name : str
        Name of the dictionary in ``torch.optim.optimizer``.
    register : str
        Name of the public function beside it.
    """

    def __init__(self, name: str, register: str) -> None:
        self.name, self.register = name, register
        self._own = _HookTable({})
        """Listeners, while torch has no such dictionary."""
        self._handle: Any = None

    @property
    def table(self) -> _HookTable:
        """The stand-in, whether it is in place or not."""
        current = getattr(optimizer, self.name, None)
        if isinstance(current, _HookTable):
            return current
        if self._own.data is not current and current is not None:
            self._own.set_hooks(current)
        return self._own

    def set_listeners(self, place: Literal["first", "listeners", "last"], listeners: tuple[Any, ...]) -> None:
        table = self.table
        table.set_listeners(place, listeners)
        if hasattr(optimizer, self.name):
            setattr(optimizer, self.name, table if table.is_used else table.data)
        elif table.is_used and self._handle is None:
            self._handle = self._register_public()
        elif not table.is_used and self._handle is not None:
            self._handle.remove()
            self._handle = None

    def _register_public(self) -> Any:
        register = getattr(optimizer, self.register, None)
        if register is None:
            report_missing(f"torch.optim.optimizer:{self.name}", "updates of optimizers are not seen")
            return None
        return register(self._call_listeners)

    def _call_listeners(self, *args: Any) -> Any:
        result = None
        for listener in (*self._own.first, *self._own.listeners, *self._own.last):
            result = listener(*args) or result
        return result


_before = _HookPatch("_global_optimizer_pre_hooks", "register_optimizer_step_pre_hook")
_after = _HookPatch("_global_optimizer_post_hooks", "register_optimizer_step_post_hook")
_lock = Lock()


def add_listener(*, after: AfterStep, before: BeforeStep | None = None) -> None:
    """Call ``before(optimizer, args, kwargs)`` before every optimizer's step and ``after(optimizer, args, kwargs)`` after it."""
    with _lock:
        _after.set_listeners("listeners", (*_after.table.listeners, after))
        if before is not None:
            _before.set_listeners("listeners", (*_before.table.listeners, before))


def add_outermost_listener(*, after: AfterStep, before: BeforeStep) -> None:
    """Add a listener that runs before and after all others, even those that are added later."""
    with _lock:
        _before.set_listeners("first", (before, *_before.table.first))
        _after.set_listeners("last", (*_after.table.last, after))


def remove_listener(*, after: AfterStep, before: BeforeStep | None = None) -> None:
    """Undo ``add_listener`` or ``add_outermost_listener``; do nothing for functions that do not listen."""
    with _lock:
        for place in ("first", "listeners", "last"):
            _after.set_listeners(place, tuple(other for other in getattr(_after.table, place) if other != after))
            _before.set_listeners(place, tuple(other for other in getattr(_before.table, place) if other != before))
