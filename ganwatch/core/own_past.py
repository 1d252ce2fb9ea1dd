"""The latest values of a series next to those of the same run before them."""

from __future__ import annotations

from ganwatch.core.readings import is_finite
from ganwatch.core.statistics import HealthyMedian, Stateful, Window


class OwnPast(Stateful):
    """The values of the last ``size`` steps, and the healthy values before them.

    A value becomes part of the past when it leaves the window, so that a failure is not compared with itself. It is ready when the past
    is as long as the window.

    Parameters
    ----------
    size : int, steps

    Examples
    --------
    >>> past = OwnPast(20)
    >>> for step in range(5, 70, 5):
    ...     past.update(step, 8.0 if step <= 45 else 2.0)
    >>> past.is_ready, past.now.median, past.median
    (True, 2.0, 8.0)
    """

    def __init__(self, size: int) -> None:
        self._now = Window(size)
        self._before = HealthyMedian(warmup=self._now.min_values)
        self._first: int | None = None
        self._step = self._failing_until = 0

    def update(self, step: int, value: float | None, *, is_failing: bool = False) -> None:
        """Take the value of a step. What is in the window while the run is failing never becomes part of the past."""
        if not is_finite(value):
            return
        self._first, self._step = self._first or step, step
        if is_failing:
            self._failing_until = step + self.now.size
        if self.now.is_full:
            self._before.update(self.now.oldest, exclude=step < self._failing_until)
        self.now.add(step, value)

    @property
    def now(self) -> Window:
        """The values of the last ``size`` steps."""
        return self._now

    @property
    def is_ready(self) -> bool:
        """True if there are a full window and a past of the same length."""
        return self._first is not None and self._before.is_ready and self._step - self._first + 1 >= 2 * self.now.size

    @property
    def median(self) -> float:
        """Median of the past; NaN while empty."""
        return self._before.value

    def quantile(self, q: float) -> float:
        """Return the order statistic of the past at share ``q`` in [0, 1]; NaN while empty."""
        return self._before.quantile(q)

    def has_fallen_below(self, ratio: float) -> bool:
        """Return True if nine in ten values of the window are below a part of the past median."""
        return self.is_ready and self.now.quantile(0.9) < ratio * self.median

    def has_grown_above(self, ratio: float) -> bool:
        """Return True if nine in ten values of the window are beyond a multiple of the past median, on its side of zero."""
        return self.is_ready and self.median != 0.0 and self.least / self.median > ratio

    @property
    def least(self) -> float:
        """The value of the window that nine in ten exceed, seen from zero to the side of the past; NaN while empty."""
        return self.now.quantile(0.1) if self.median > 0.0 else self.now.quantile(0.9)
