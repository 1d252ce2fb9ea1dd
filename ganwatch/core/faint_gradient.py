"""A generator's gradient that has died out, where nothing but its norm, the loss and the scores were measured."""

from __future__ import annotations

from ganwatch.core.detector import Verdict
from ganwatch.core.own_past import OwnPast
from ganwatch.core.readings import Readings, is_finite
from ganwatch.core.statistics import Stateful, Window

WINDOW = 200
"""Length of the evidence, in steps; the past has to be as long."""
MAX_NORM_RATIO = 0.1
"""Gradient norm against its past below which it has died out; at least 0.61 in healthy runs of the tuning part of the corpus."""
MAX_SPREAD_RATIO = 0.1
"""Spread of a series over the window against its usual spread below which the series rests."""
RESTING = ("loss/g", "d_output/fake")
"""Series that rest where a loss has saturated."""


class FaintGradient(Stateful):
    """A gradient norm far below its own past, together with a loss or scores of fakes that have come to rest.

    Neither alone is a sign: Adam rescales small gradients, and a loss rests where the training has converged.
    """

    def __init__(self) -> None:
        self._norm = OwnPast(WINDOW)
        self._values = [Window(WINDOW) for _ in RESTING]
        self._spreads = [OwnPast(WINDOW) for _ in RESTING]

    def update(self, readings: Readings) -> Verdict | None:
        """Take the readings of a step and judge."""
        is_faint = self._is_faint
        self._norm.update(readings.step, readings.get("grad_norm/g"), is_failing=is_faint)
        for series, values, spreads in zip(RESTING, self._values, self._spreads, strict=True):
            value = readings.get(series)
            if is_finite(value):
                values.add(readings.step, value)
                if values.is_full:
                    spreads.update(readings.step, values.quantile(0.9) - values.quantile(0.1), is_failing=is_faint)
        resting = [series for series, spreads in zip(RESTING, self._spreads, strict=True) if _rests(spreads)]
        if not (self._is_faint and resting):
            return None
        level, threshold = self._norm.now.quantile(0.9), MAX_NORM_RATIO * self._norm.median
        return Verdict(
            value=level,
            threshold=threshold,
            signal="grad_norm/g",
            window=WINDOW,
            origin="the run's own past",
            explanation=f"The generator's gradient norm is {level:.2g} or less over {WINDOW} steps and was {self._norm.median:.2g}, and "
            f"{' and '.join(resting)} hardly {'moves' if len(resting) == 1 else 'move'} any more. Judged without updates or layers.",
            onset=self._norm.now.first_below(threshold),
        )

    @property
    def is_ready(self) -> bool:
        """True if there is a past to judge by."""
        return self._norm.is_ready and any(spreads.is_ready for spreads in self._spreads)

    @property
    def _is_faint(self) -> bool:
        return self._norm.has_fallen_below(MAX_NORM_RATIO)


def _rests(spreads: OwnPast) -> bool:
    return spreads.is_ready and spreads.now.values[-1] < MAX_SPREAD_RATIO * spreads.median
