"""Onset of a failure: never before the last healthy look, never outside the evidence."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from ganwatch.core.detector import Verdict

MAX_LOOKS = 64
"""Readings that are kept of each series."""


class Looks:
    """Latest readings of the series that detectors look at.

    Parameters
    ----------
    series : iterable of str

    Examples
    --------
    >>> looks = Looks(["vendi_ratio"])
    >>> for step, value in ((20, 0.9), (40, 0.8), (60, 0.1), (80, 0.1)):
    ...     looks.add(step, {"vendi_ratio": value})
    >>> looks.find_onset(Verdict(0.1, 0.3, "vendi_ratio", 80, "the run's own best", "It fell."), 80)
    41
    """

    def __init__(self, series: Iterable[str]) -> None:
        self._readings: dict[str, deque[tuple[int, float]]] = {name: deque(maxlen=MAX_LOOKS) for name in series}

    def add(self, step: int, values: Mapping[str, float]) -> None:
        """Add the readings of a step."""
        readings = self._readings
        for name, value in values.items():
            if name in readings:
                readings[name].append((step, value))

    def find_onset(self, verdict: Verdict, step: int) -> int:
        """Return the onset of a failure that a verdict at a step finds.

        It is that of the verdict, but no earlier than the step after the last reading of its signal that is on the healthy side of the
        threshold. One such reading among bad ones, or as the latest one, is taken for noise.
        """
        onset = verdict.onset if verdict.onset is not None else max(1, step - verdict.window + 1)
        if not math.isfinite(verdict.value) or verdict.value == verdict.threshold:
            return onset
        sign = 1.0 if verdict.value > verdict.threshold else -1.0
        first_bad, healthy = None, 0
        for at, value in reversed(self._readings.get(verdict.signal, ())):
            if at > step or (at < onset and not healthy):
                break
            if sign * value > sign * verdict.threshold:
                first_bad, healthy = at, 0
            else:
                healthy += 1
                if healthy == 1:
                    last_healthy = at
                if healthy == 2:
                    return onset if first_bad is None else max(onset, last_healthy + 1)
        return onset

    def is_old(self, verdict: Verdict, step: int) -> bool:
        """Return True if the signal of a verdict was measured last before its window, so that nothing is known of now."""
        looks = self._readings.get(verdict.signal)
        return looks is not None and len(looks) > 0 and step - looks[-1][0] > verdict.window

    def refine(self, verdict: Verdict, step: int) -> Verdict:
        """Return the verdict with that onset."""
        return replace(verdict, onset=self.find_onset(verdict, step))

    def state_dict(self) -> dict[str, Any]:
        """Return the readings as plain types."""
        return {name: [list(look) for look in looks] for name, looks in self._readings.items() if looks}

    def load_state_dict(self, state: Mapping[str, Iterable[tuple[int, float]]]) -> None:
        """Continue from a saved state; series that nobody looks at any more are left out."""
        for name in self._readings.keys() & state.keys():
            self._readings[name] = deque(((step, value) for step, value in state[name]), maxlen=MAX_LOOKS)
