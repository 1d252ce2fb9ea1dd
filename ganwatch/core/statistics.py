"""Streaming statistics of one series, from which detectors are built. All save and restore their state as plain types."""

from __future__ import annotations

import bisect
import math
from collections.abc import Mapping
from typing import Any

from ganwatch.core.errors import UserError, show_value
from ganwatch.core.saved_values import check_numbers, check_type

MIN_VALUES = 3
"""Fewest values that a window keeps, however old they are."""


class Stateful:
    """Saves and restores every attribute whose name starts with an underscore.

    Attributes may be numbers, strings, booleans, None, further ``Stateful`` objects, lists of those, or dicts of those by string.
    A ``Stateful`` is restored in place, so a list or dict of them must have its length and keys from the start. Configuration lives
    in attributes without an underscore and is not part of the state.
    """

    def state_dict(self) -> dict[str, Any]:
        """Return the state as plain types, independent of the object."""
        return {name: _plain(value) for name, value in vars(self).items() if name.startswith("_")}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a saved state. Unknown names are ignored, missing ones keep their value.

        Raises
        ------
        UserError
            A value has another type than the present one. Some of the state may have been restored.
        """
        if not isinstance(state, Mapping):
            raise UserError(f"the state of {type(self).__name__} must be a mapping, got {show_value(state)}")
        for name, value in state.items():
            if name in vars(self):
                setattr(self, name, _restore(vars(self)[name], value, f"{name} of {type(self).__name__}"))


def _plain(value: Any) -> Any:
    if isinstance(value, Stateful):
        return value.state_dict()
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return value


def _restore(current: Any, saved: Any, name: str) -> Any:
    if isinstance(current, Stateful):
        current.load_state_dict(saved)
        return current
    check_type(name, current, saved)
    if isinstance(current, list) and any(isinstance(item, Stateful) for item in current):
        if len(saved) != len(current):
            raise UserError(f"{name} must have {len(current)} values, got {len(saved)}")
        return [_restore(item, value, name) for item, value in zip(current, saved, strict=True)]
    if isinstance(current, dict) and any(isinstance(item, Stateful) for item in current.values()):
        return {key: _restore(item, saved[key], name) if key in saved else item for key, item in current.items()}
    return _plain(saved)


def _order_statistic(rising: list[float], q: float) -> float:
    """Return the value at share ``q`` of values in rising order; NaN if there are none."""
    return rising[min(int(q * len(rising)), len(rising) - 1)] if rising else math.nan


class Streak(Stateful):
    """Counter of consecutive updates at which a condition held.

    Parameters
    ----------
    length : int, updates

    Examples
    --------
    >>> streak = Streak(3)
    >>> [streak.update(condition) for condition in (True, True, False, True, True, True)]
    [False, False, False, False, False, True]
    """

    def __init__(self, length: int) -> None:
        if length < 1:
            raise ValueError(f"length must be >= 1 (updates), got {length}")
        self.length = length
        self._count = 0

    def update(self, condition: bool) -> bool:
        """Take one update. Return True if the condition held at the last ``length`` updates."""
        self._count = self._count + 1 if condition else 0
        return self._count >= self.length


class Lasting(Stateful):
    """A condition that has held at every reading of the last ``size`` steps, and since when.

    Parameters
    ----------
    size : int, steps

    Examples
    --------
    >>> lasting = Lasting(20)
    >>> for step in range(5, 45, 5):
    ...     lasting.update(step, step > 15)
    >>> lasting.holds, lasting.since
    (True, 20)
    """

    def __init__(self, size: int) -> None:
        self._window = Window(size)
        self._since = 0

    def update(self, step: int, condition: bool) -> None:
        """Take the condition of a step."""
        self._window.add(step, float(condition))
        self._since = (self._since or step) if condition else 0

    @property
    def is_ready(self) -> bool:
        """True if there are readings of ``size`` steps."""
        return self._window.is_full

    @property
    def holds(self) -> bool:
        """True if it has held at all of them."""
        return self._window.is_full and self._window.low > 0.0

    @property
    def since(self) -> int:
        """First step since which it holds at every reading; 0 if it does not."""
        return self._since


class Plateau(Stateful):
    """Detects that a value has stopped falling.

    A value has stopped falling if none of the last ``patience`` updates was lower than the one before them by a share ``min_improvement``.

    Parameters
    ----------
    patience : int, updates
    min_improvement : float, ratio
        Reduction that counts as falling.

    Examples
    --------
    >>> plateau = Plateau(patience=2, min_improvement=0.1)
    >>> [plateau.update(value) for value in (9.0, 5.0, 3.0, 2.9, 2.8)]
    [False, False, False, False, True]
    """

    def __init__(self, patience: int, min_improvement: float) -> None:
        if patience < 1:
            raise ValueError(f"patience must be >= 1 (updates), got {patience}")
        self.patience, self.min_improvement = patience, min_improvement
        self._values: list[float] = []

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a saved state."""
        super().load_state_dict(state)
        check_numbers("_values of Plateau", self._values)

    def update(self, value: float) -> bool:
        """Take one value. Return True if the value has stopped falling."""
        self._values = [*self._values[-self.patience :], value]
        return len(self._values) > self.patience and min(self._values[1:]) > (1.0 - self.min_improvement) * self._values[0]


class Window(Stateful):
    """The values of the last ``size`` steps with their median and other order statistics.

    The window never holds fewer than the last three values. A series that is read every fifth step and one that is read at each step
    have windows of the same length in time.

    Parameters
    ----------
    size : int, steps

    Examples
    --------
    >>> window = Window(20)
    >>> for step, value in ((5, 9.0), (10, 5.0), (15, 1.0), (20, 2.0), (25, 3.0)):
    ...     window.add(step, value)
    >>> window.is_full, window.median, window.low, len(window)
    (True, 3.0, 1.0, 4)
    """

    def __init__(self, size: int) -> None:
        if size < 1:
            raise ValueError(f"size must be >= 1 (steps), got {size}")
        self.size = size
        self.min_values = min(size, MIN_VALUES)
        self._steps: list[int] = []
        self._values: list[float] = []
        self._gap = 0
        self.sorted_values: list[float] = []
        """The values in rising order. They follow from the state and are not part of it."""

    def add(self, step: int, value: float) -> None:
        """Add a value that was read at a later step than the previous one. A value that is not finite is ignored."""
        if not math.isfinite(value):
            return
        steps, values, value = self._steps, self._values, float(value)
        self._gap = step - steps[-1] if steps else step
        steps.append(step)
        values.append(value)
        bisect.insort(self.sorted_values, value)
        while len(steps) > self.min_values and steps[0] <= step - self.size:
            steps.pop(0)
            del self.sorted_values[bisect.bisect_left(self.sorted_values, values.pop(0))]

    def clear(self) -> None:
        """Forget all values."""
        self._steps, self._values, self._gap, self.sorted_values = [], [], 0, []

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a saved state."""
        super().load_state_dict(state)
        check_numbers("_steps of Window", self._steps)
        check_numbers("_values of Window", self._values)
        if len(self._steps) != len(self._values):
            raise UserError(f"a Window must have one step a value, got {len(self._steps)} steps and {len(self._values)} values")
        self.sorted_values = sorted(self._values)

    def __len__(self) -> int:
        return len(self._values)

    @property
    def is_full(self) -> bool:
        """True if the values span ``size`` steps."""
        return len(self._steps) >= self.min_values and self._steps[-1] - self._steps[0] + self._gap >= self.size

    @property
    def values(self) -> list[float]:
        """The values in the order of their steps."""
        return list(self._values)

    @property
    def oldest(self) -> float:
        """The first value; NaN while empty."""
        return self._values[0] if self._values else math.nan

    def first_below(self, limit: float) -> int | None:
        """Return the step since which every value is below a limit; None if the latest one is not.

        >>> window = Window(20)
        >>> for step, value in ((5, 9.0), (10, 1.0), (15, 2.0)):
        ...     window.add(step, value)
        >>> window.first_below(3.0), window.first_below(2.0)
        (10, None)
        """
        first = None
        for step, value in zip(reversed(self._steps), reversed(self._values), strict=True):
            if value >= limit:
                break
            first = step
        return first

    def quantile(self, q: float) -> float:
        """Return the order statistic at share ``q`` in [0, 1]; NaN while empty."""
        return _order_statistic(self.sorted_values, q)

    @property
    def median(self) -> float:
        return self.quantile(0.5)

    @property
    def mean(self) -> float:
        return math.fsum(self._values) / len(self._values) if self._values else math.nan

    @property
    def low(self) -> float:
        return self.quantile(0.0)

    @property
    def high(self) -> float:
        return self.quantile(1.0)


class HealthyMedian(Stateful):
    """The median of a series while it is healthy, over a bounded, evenly thinned history.

    Parameters
    ----------
    warmup : int, updates
        Values that must come before ``is_ready``.
    capacity : int, values
        Largest history. When it is full, every second value is dropped and every second further value is skipped. So old and recent
        values weigh the same, and memory is constant.

    Examples
    --------
    >>> healthy = HealthyMedian(warmup=3)
    >>> for value in (1.0, 2.0, 3.0):
    ...     healthy.update(value)
    >>> healthy.is_ready, healthy.value
    (True, 2.0)
    """

    def __init__(self, *, warmup: int, capacity: int = 256) -> None:
        if warmup < 1:
            raise ValueError(f"warmup must be >= 1 (updates), got {warmup}")
        self.warmup, self.capacity = warmup, capacity
        self._sorted: list[float] = []
        self._history: list[float] = []
        self._count = 0
        self._stride = 1

    def update(self, value: float | None, *, exclude: bool = False) -> None:
        """Add a value to the healthy history. ``exclude`` leaves it out because the series is not healthy now."""
        if exclude or value is None or not math.isfinite(value):
            return
        self._count += 1
        if self._count % self._stride:
            return
        self._history.append(float(value))
        bisect.insort(self._sorted, float(value))
        if len(self._history) >= self.capacity:
            self._history = self._history[::2]
            self._sorted = sorted(self._history)
            self._stride *= 2

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a saved state."""
        super().load_state_dict(state)
        check_numbers("_history of HealthyMedian", self._history)
        check_numbers("_sorted of HealthyMedian", self._sorted)
        if self._stride < 1:
            raise UserError(f"_stride of HealthyMedian must be >= 1, got {self._stride}")

    @property
    def is_ready(self) -> bool:
        """True if ``warmup`` values have come."""
        return self._count >= self.warmup

    @property
    def ready_value(self) -> float | None:
        """The median once the warm-up is over, None before."""
        return self.value if self.is_ready else None

    @property
    def value(self) -> float:
        """The median so far; NaN while empty."""
        return self.quantile(0.5)

    def quantile(self, q: float) -> float:
        """Return the order statistic at share ``q`` in [0, 1]; NaN while empty."""
        return _order_statistic(self._sorted, q)
