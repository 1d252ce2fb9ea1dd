"""Small streaming statistics that detectors are made of. All save and restore their state as plain types."""

from __future__ import annotations

import bisect
import math
from typing import Any

LEAST = 3
"""Values that a window holds however seldom they come."""


class Stateful:
    """Saves and restores every attribute whose name starts with an underscore.

    Attributes may be numbers, strings, booleans, None, further ``Stateful`` objects, lists of those, or dicts of those by string.
    A ``Stateful`` is restored in place, so a list or dict of them must have its length and keys from the start. Configuration lives
    in attributes without an underscore and is not part of the state.
    """

    def state_dict(self) -> dict[str, Any]:
        """The state as plain types, independent of the object."""
        return {name: _plain(value) for name, value in vars(self).items() if name.startswith("_")}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a saved state. Unknown names are ignored, missing ones keep their value."""
        for name, value in state.items():
            if name in vars(self):
                setattr(self, name, _restored(vars(self)[name], value))


def _plain(value: Any) -> Any:
    if isinstance(value, Stateful):
        return value.state_dict()
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return value


def _restored(current: Any, saved: Any) -> Any:
    if isinstance(current, Stateful):
        current.load_state_dict(saved)
        return current
    if isinstance(current, list) and any(isinstance(item, Stateful) for item in current):
        return [_restored(item, value) for item, value in zip(current, saved, strict=True)]
    if isinstance(current, dict) and any(isinstance(item, Stateful) for item in current.values()):
        return {key: _restored(item, saved[key]) if key in saved else item for key, item in current.items()}
    return _plain(saved)


class Streak(Stateful):
    """Counts consecutive true updates.

    >>> streak = Streak(3)
    >>> [streak.extend(sign) for sign in (True, True, False, True, True, True)]
    [False, False, False, False, False, True]
    """

    def __init__(self, length: int) -> None:
        if length < 1:
            raise ValueError(f"length must be >= 1 (steps), got {length}")
        self.length = length
        self._count = 0

    def extend(self, sign: bool) -> bool:
        """Take one update; whether the last ``length`` were all true."""
        self._count = self._count + 1 if sign else 0
        return self._count >= self.length


class Plateau(Stateful):
    """Whether a value that should fall has ceased to: none of the last ``patience`` updates was lower by a part ``gain`` than that before.

    >>> plateau = Plateau(patience=2, gain=0.1)
    >>> [plateau.extend(value) for value in (9.0, 5.0, 3.0, 2.9, 2.8)]
    [False, False, False, False, True]
    """

    def __init__(self, patience: int, gain: float) -> None:
        if patience < 1:
            raise ValueError(f"patience must be >= 1 (updates), got {patience}")
        self.patience, self.gain = patience, gain
        self._values: list[float] = []

    def extend(self, value: float) -> bool:
        """Take one update; whether it stands still."""
        self._values = [*self._values[-self.patience :], value]
        return len(self._values) > self.patience and min(self._values[1:]) > (1.0 - self.gain) * self._values[0]


class Window(Stateful):
    """The values of the last ``size`` steps, and never fewer than the last three, with their median and other order statistics.

    A series that is read every fifth step and one that is read at each are windows of the same length in time.

    >>> window = Window(20)
    >>> for step, value in ((5, 9.0), (10, 5.0), (15, 1.0), (20, 2.0), (25, 3.0)):
    ...     window.push(step, value)
    >>> window.full, window.median, window.low, len(window)
    (True, 3.0, 1.0, 4)
    """

    def __init__(self, size: int) -> None:
        if size < 1:
            raise ValueError(f"size must be >= 1 (steps), got {size}")
        self.size = size
        self.least = min(size, LEAST)
        self._steps: list[int] = []
        self._values: list[float] = []
        self._gap = 0
        self.ordered: list[float] = []
        """The same values, sorted; follows from them and is not part of the state."""

    def push(self, step: int, value: float) -> None:
        """Add a finite value, read at a later step than the previous one; anything else is left out."""
        if not math.isfinite(value):
            return
        steps, values, value = self._steps, self._values, float(value)
        self._gap = step - steps[-1] if steps else step
        steps.append(step)
        values.append(value)
        bisect.insort(self.ordered, value)
        while len(steps) > self.least and steps[0] <= step - self.size:
            steps.pop(0)
            del self.ordered[bisect.bisect_left(self.ordered, values.pop(0))]

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a saved state."""
        super().load_state_dict(state)
        self.ordered = sorted(self._values)

    def __len__(self) -> int:
        return len(self._values)

    @property
    def full(self) -> bool:
        """Whether the values span ``size`` steps."""
        return len(self._steps) >= self.least and self._steps[-1] - self._steps[0] + self._gap >= self.size

    @property
    def values(self) -> list[float]:
        """In the order of their steps."""
        return list(self._values)

    @property
    def oldest(self) -> float:
        return self._values[0] if self._values else math.nan

    def quantile(self, q: float) -> float:
        """Order statistic at share ``q`` in [0, 1]; NaN while empty."""
        return self.ordered[min(int(q * len(self.ordered)), len(self.ordered) - 1)] if self.ordered else math.nan

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
        Values to see before ``ready``.
    capacity : int, values
        Values kept. When full, every second one is dropped and every second further one skipped, so old and recent values weigh
        the same and memory is constant.

    Examples
    --------
    >>> healthy = HealthyMedian(warmup=3)
    >>> for value in (1.0, 2.0, 3.0):
    ...     healthy.learn(value)
    >>> healthy.ready, healthy.value
    (True, 2.0)
    """

    def __init__(self, *, warmup: int, capacity: int = 256) -> None:
        if warmup < 1:
            raise ValueError(f"warmup must be >= 1 (updates), got {warmup}")
        self.warmup, self.capacity = warmup, capacity
        self._sorted: list[float] = []
        self._order: list[float] = []
        self._seen = 0
        self._stride = 1

    def learn(self, value: float | None, *, unless: bool = False) -> None:
        """Take a value into the healthy past, unless something is wrong with it."""
        if unless or value is None or not math.isfinite(value):
            return
        self._seen += 1
        if self._seen % self._stride:
            return
        self._order.append(float(value))
        bisect.insort(self._sorted, float(value))
        if len(self._order) >= self.capacity:
            self._order = self._order[::2]
            self._sorted = sorted(self._order)
            self._stride *= 2

    @property
    def ready(self) -> bool:
        return self._seen >= self.warmup

    @property
    def settled(self) -> float | None:
        """The median once warm-up is over, None before."""
        return self.value if self.ready else None

    @property
    def value(self) -> float:
        return self._sorted[len(self._sorted) // 2] if self._sorted else math.nan


class Smooth(Stateful):
    """Exponentially weighted mean, unbiased at the start.

    >>> smooth = Smooth(span=3)
    >>> smooth.push(4.0), smooth.push(4.0)
    (4.0, 4.0)
    """

    def __init__(self, *, span: int) -> None:
        if span < 1:
            raise ValueError(f"span must be >= 1 (updates), got {span}")
        self.span = span
        self._sum = 0.0
        self._weight = 0.0

    def push(self, value: float) -> float:
        """Take a value and give the mean; a value that is not finite is left out."""
        if math.isfinite(value):
            decay = 1.0 - 2.0 / (self.span + 1.0)
            self._sum = decay * self._sum + value
            self._weight = decay * self._weight + 1.0
        return self.value

    @property
    def value(self) -> float:
        return self._sum / self._weight if self._weight else math.nan
