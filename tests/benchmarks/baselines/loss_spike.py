"""Loss spikes by the rule of Lightning's ``SpikeDetection`` at its defaults.

Source: lightning.ai/docs, ``lightning.pytorch.callbacks.SpikeDetection`` (window 10, warm-up 1, rtol 2.0): a loss is a spike where it is
not finite, or where it has risen and lies off the running mean of the last ten by twice that mean or more. Spikes do not enter the mean.
The original watches one loss, this one both.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator

from ganwatch.core.detector import Detector, DetectorResult, Severity, Verdict
from ganwatch.core.readings import Readings


class LossSpike(Detector):
    """A loss rises off its running mean by twice that mean or more, or is not finite."""

    code = "BL351"
    title = "Lightning: loss spike"
    claims = ("exploding-gradient", "non-finite")
    severity = Severity.TICKET
    inputs = ("loss/g", "loss/d")

    def __init__(self, *, window: int = 10, rtol: float = 2.0) -> None:
        self.window, self.rtol = window, rtol
        self._recent: list[list[float]] = [[], []]

    def update(self, readings: Readings) -> DetectorResult:
        result: DetectorResult = None
        for index, value in enumerate(readings.select(self.inputs)):
            if value is None:
                continue
            recent = self._recent[index]
            mean = statistics.fmean(recent) if recent else math.nan
            if not math.isfinite(value) or (recent and value > recent[-1] and abs(value - mean) >= abs(self.rtol * mean)):
                name, bound = self.inputs[index], mean + abs(self.rtol * mean)
                result = Verdict(value, bound, name, self.window, "default of Lightning", f"{name} is {value:.3g}.")
            else:
                self._recent[index] = [*recent, value][-self.window :]
        return result

    @classmethod
    def demo(cls, seed: int) -> tuple[Iterator[Readings], int]:
        return cls.simulate(seed, onset=100, before={"loss/g": 0.7, "loss/d": 1.3}, after={"loss/d": 50.0}), 100
