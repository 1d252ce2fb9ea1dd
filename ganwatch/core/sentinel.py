"""Sentinel: says at once when losses or the spread of the fakes leave the run's own past, so that the next look comes now."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from ganwatch.core.statistics import Stateful, Window

PAST_STEPS = 200
"""Steps of the past that a value is compared with."""
MIN_PAST = 20
"""Values that the past must have."""
LEAVING_SCATTERS, FAR_SCATTERS = 5.0, 12.0
"""Distance from the median of the past, in its scatter, that two values in a row have left it at, and one alone."""
MIN_SCATTER = 0.02
"""Smallest scatter, against the median."""


class Sentinel(Stateful):
    """Compares a few series that cost nearly nothing with their own past.

    It decides only when probes look, never what is wrong. Values between two comparisons are averaged.

    Parameters
    ----------
    series : iterable of str

    Examples
    --------
    >>> sentinel = Sentinel(["loss/g"])
    >>> past = [sentinel.compare(step, {"loss/g": 1.0 + 0.1 * (step % 3)}) for step in range(5, 205, 5)]
    >>> any(past), sentinel.compare(205, {"loss/g": 3.0})
    (False, True)
    """

    def __init__(self, series: Iterable[str]) -> None:
        self._watched = {name: _Past() for name in series}

    def add(self, values: Mapping[str, float]) -> None:
        """Add the values of a step without comparing anything."""
        for name, past in self._watched.items():
            if name in values:
                past.add(values[name])

    def compare(self, step: int, values: Mapping[str, float]) -> bool:
        """Add the values of a step; return True if the mean since the latest comparison has left the past of a series."""
        self.add(values)
        leaving = [past.leaves(step) for past in self._watched.values()]  # every past takes its value
        return any(leaving)


class _Past(Stateful):
    def __init__(self) -> None:
        self._window = Window(PAST_STEPS)
        self._sum, self._count = 0.0, 0
        self._was_outside = False

    def add(self, value: float) -> None:
        self._sum, self._count = self._sum + value, self._count + 1

    def leaves(self, step: int) -> bool:
        """Take the mean of the values since the latest call as the value of a step; return True if it has left the past."""
        if not self._count:
            return False
        value, window = self._sum / self._count, self._window
        self._sum, self._count = 0.0, 0
        if not math.isfinite(value):
            return True
        scatters = self._measure_distance(value)
        leaves = scatters > FAR_SCATTERS or (scatters > LEAVING_SCATTERS and self._was_outside)
        self._was_outside = scatters > LEAVING_SCATTERS
        window.add(step, value)
        return leaves

    def _measure_distance(self, value: float) -> float:
        """Return the distance from the median of the past, in scatters of it; 0 without a past."""
        past = self._window
        if len(past) < MIN_PAST:
            return 0.0
        # from the 15th to the 85th per cent are two standard deviations of a normal distribution
        scatter = max((past.quantile(0.85) - past.quantile(0.15)) / 2.0, MIN_SCATTER * abs(past.median))
        return abs(value - past.median) / scatter if scatter > 0.0 else math.inf if value != past.median else 0.0
