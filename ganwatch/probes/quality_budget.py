"""Time budget of an expensive probe: a share of the training's own time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any


class TimeBudget:
    """Limits evaluations to a share of the time since the first step.

    Parameters
    ----------
    share : float in (0, 1]
    clock : callable
        Monotonic time in seconds.

    Attributes
    ----------
    spent : float, seconds
        Time that evaluations have taken so far.
    """

    def __init__(self, share: float, clock: Callable[[], float]) -> None:
        self.share, self.spent = share, 0.0
        self._clock = clock
        self._first: float | None = None
        self._now = 0.0
        self._last_cost = 0.0
        self._earlier = 0.0
        """Seconds of earlier attempts."""

    def start_step(self) -> None:
        """Read the clock; the training's time counts from the first call."""
        self._now = self._clock()
        self._first = self._now if self._first is None else self._first

    @property
    def is_exhausted(self) -> bool:
        """True if another evaluation, at the cost of the last one, would exceed the share."""
        assert self._first is not None
        elapsed = self._earlier + self._now - self._first
        return self.spent + self._last_cost > self.share * elapsed

    def begin(self) -> None:
        """Begin an evaluation, whose cost is that of all blocks from here on."""
        self._last_cost = 0.0

    @contextmanager
    def charge(self) -> Iterator[None]:
        """Charge the time of a block to the evaluation."""
        begun = self._clock()
        try:
            yield
        finally:
            taken = self._clock() - begun
            self._last_cost += taken
            self.spent += taken

    def state_dict(self) -> dict[str, Any]:
        """Return the times as plain types."""
        elapsed = 0.0 if self._first is None else self._clock() - self._first
        return {"spent": self.spent, "last_cost": self._last_cost, "elapsed": self._earlier + elapsed}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue with the times of an earlier attempt."""
        self.spent, self._last_cost, self._earlier = state["spent"], state["last_cost"], state["elapsed"]
