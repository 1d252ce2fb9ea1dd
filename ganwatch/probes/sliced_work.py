"""Work that is done in slices of time between steps, so that no step stalls."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator
from typing import Generic, TypeVar

T = TypeVar("T")


class SlicedWork(Generic[T]):
    """A generator that yields where it may pause, and returns the result.

    Parameters
    ----------
    parts : generator
    clock : callable
        Monotonic time in seconds.

    Attributes
    ----------
    result : T or None
        What the generator has returned; None until then.

    Examples
    --------
    >>> def count():
    ...     yield
    ...     yield
    ...     return 3
    >>> work = SlicedWork(count(), clock=lambda: 0.0)
    >>> work.run(seconds=0.0), work.run(seconds=0.0), work.run(seconds=0.0), work.result
    (False, False, True, 3)
    """

    def __init__(self, parts: Generator[None, None, T], clock: Callable[[], float]) -> None:
        self._parts, self._clock = parts, clock
        self.result: T | None = None

    def run(self, seconds: float = math.inf) -> bool:
        """Continue by at least one part, until the time is over; return True once there is nothing left to do."""
        begun = self._clock()
        while True:
            try:
                next(self._parts)
            except StopIteration as end:
                self.result = end.value
                return True
            if self._clock() - begun >= seconds:
                return False
