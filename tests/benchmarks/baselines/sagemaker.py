"""Amazon SageMaker Debugger: built-in rules at their documented defaults.

Source: docs.aws.amazon.com/sagemaker/latest/dg/debugger-built-in-rules.html, with the pages vanishing-gradient, exploding-tensor and
loss-not-decreasing. The rules have one model and one loss; here they evaluate both networks and both losses.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from ganwatch.core.detector import Detector, DetectorResult, Severity, Verdict
from ganwatch.core.readings import Readings, is_finite

ORIGIN = "default of SageMaker Debugger"


class VanishingGradient(Detector):
    """The mean of the absolute values of a gradient drops below 1e-7.

    The recordings have the norm of a network's gradient and the ratio of its first layer's to its last's. Their product, or the norm where
    that is less, is never below the mean of the first layer. So this rule fires where the original would, or later.
    """

    code = "BL301"
    title = "SageMaker Debugger: VanishingGradient"
    claims = ("vanishing-gradient",)
    severity = Severity.TICKET
    inputs = ("grad_first_to_last/g", "grad_norm/g", "grad_first_to_last/d", "grad_norm/d")

    def __init__(self, *, threshold: float = 1e-7) -> None:
        self.threshold = threshold
        self._norms = [math.inf, math.inf]

    def update(self, readings: Readings) -> DetectorResult:
        for index, network in enumerate("gd"):
            ratio, norm = readings.select(self.inputs[2 * index : 2 * index + 2])
            self._norms[index] = norm if is_finite(norm) else self._norms[index]
            first = min(ratio, 1.0) * self._norms[index] if is_finite(ratio) else self._norms[index]
            if first < self.threshold:
                explanation = f"The gradient of the first layer of {network.upper()} has a norm of at most {first:.2g}."
                return Verdict(first, self.threshold, self.inputs[2 * index], 1, ORIGIN, explanation)
        return None

    @classmethod
    def demo(cls, seed: int) -> tuple[Iterator[Readings], int]:
        before = {"grad_first_to_last/g": 0.1, "grad_norm/g": 1.0}
        return cls.simulate(seed, onset=100, before=before, after={"grad_first_to_last/g": 1e-9}), 100


class ExplodingTensor(Detector):
    """A tensor has values that are NaN or infinite (``only_nan`` is off).

    The recordings have losses and the norms of gradients and weights.
    """

    code = "BL302"
    title = "SageMaker Debugger: ExplodingTensor"
    claims = ("exploding-gradient", "non-finite")
    severity = Severity.TICKET
    inputs = ("loss/g", "loss/d", "grad_norm/g", "grad_norm/d", "weight_norm/g", "weight_norm/d")

    def update(self, readings: Readings) -> DetectorResult:
        for name, value in zip(self.inputs, readings.select(self.inputs), strict=True):
            if value is not None and not math.isfinite(value):
                return Verdict(value, math.inf, name, 1, ORIGIN, f"{name} is {value}.")
        return None

    @classmethod
    def demo(cls, seed: int) -> tuple[Iterator[Readings], int]:
        return cls.simulate(seed, onset=100, before={"loss/g": 0.7, "loss/d": 1.3}, after={"loss/d": math.nan}), 100


class LossNotDecreasing(Detector):
    """A loss is not lower than 10 steps before, checked every 10 steps (``diff_percent``, the required fall, has no default)."""

    code = "BL401"
    title = "SageMaker Debugger: LossNotDecreasing"
    claims = ("stall",)
    severity = Severity.TICKET
    inputs = ("loss/g", "loss/d")

    def __init__(self, *, num_steps: int = 10) -> None:
        self.num_steps = num_steps
        self._checked_steps = [0, 0]
        self._latest = [0.0, 0.0]
        self._previous = [0.0, 0.0]

    def update(self, readings: Readings) -> DetectorResult:
        for index, value in enumerate(readings.select(self.inputs)):
            if is_finite(value) and (not self._checked_steps[index] or readings.step - self._checked_steps[index] >= self.num_steps):
                self._previous[index] = self._latest[index] if self._checked_steps[index] else math.inf
                self._checked_steps[index], self._latest[index] = readings.step, value
        for index, name in enumerate(self.inputs):
            if self._checked_steps[index] and self._latest[index] >= self._previous[index]:
                explanation = f"{name} has not fallen in {self.num_steps} steps."
                return Verdict(self._latest[index], self._previous[index], name, self.num_steps, ORIGIN, explanation)
        return None

    @classmethod
    def demo(cls, seed: int) -> tuple[Iterator[Readings], int]:
        falling = ((step, 0.99 ** min(step, 99)) for step in range(1, 301))
        return (Readings(step, {"loss/g": loss, "loss/d": loss}) for step, loss in falling), 100
