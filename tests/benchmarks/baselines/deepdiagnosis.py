"""DeepDiagnosis: error conditions of a training, at the thresholds of its repository.

Source: Wardat, Dantas Cruz, Le, Rajan, DeepDiagnosis: automatically diagnosing faults and recommending actionable fixes in deep learning
programs, ICSE 2022, arXiv:2112.04036; github.com/DeepDiagnosis/ICSE2022. Left out: vanishing gradients, whose rule is that of SageMaker
Debugger; saturated activations, dead nodes and unchanged activations, because activations are not recorded; accuracy, which a GAN lacks.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from ganwatch.core.detector import Detector, DetectorResult, Severity, Verdict
from ganwatch.core.readings import Readings, is_finite

ORIGIN = "default of DeepDiagnosis"


class UpdateRatio(Detector):
    """An update against the weights, in norms, is outside of 1e-5 to 0.1: a hundredth to a hundred times 1e-3.

    The repository checks the ratio only after another symptom; here it is a symptom itself.
    """

    code = "BL321"
    title = "DeepDiagnosis: improper learning rate"
    claims = ("vanishing-gradient", "exploding-gradient")
    severity = Severity.TICKET
    inputs = ("update_to_weight/g", "update_to_weight/d")

    def __init__(self, *, low: float = 1e-5, high: float = 0.1) -> None:
        self.low, self.high = low, high

    def update(self, readings: Readings) -> DetectorResult:
        for name, value in zip(self.inputs, readings.select(self.inputs), strict=True):
            if is_finite(value) and not self.low <= value <= self.high:
                bound = self.low if value < self.low else self.high
                return Verdict(value, bound, name, 1, ORIGIN, f"An update is {value:.2g} of the weights.")
        return None

    @classmethod
    def demo(cls, seed: int) -> tuple[Iterator[Readings], int]:
        return cls.simulate(seed, onset=100, before={"update_to_weight/g": 1e-3}, after={"update_to_weight/g": 1e-7}), 100


class NumericalError(Detector):
    """A loss is NaN or infinite; or the mean of an output, of weights or of a gradient is, or is exactly zero.

    The recordings have mean outputs of the discriminator, and norms instead of the means of weights and gradients.
    """

    code = "BL322"
    title = "DeepDiagnosis: numerical error"
    claims = ("non-finite", "exploding-gradient", "vanishing-gradient")
    severity = Severity.TICKET
    inputs = (
        "loss/g", "loss/d", "d_output/real", "d_output/fake", "grad_norm/g", "grad_norm/d", "weight_norm/g", "weight_norm/d"
    )

    def update(self, readings: Readings) -> DetectorResult:
        for name, value in zip(self.inputs, readings.select(self.inputs), strict=True):
            if value is not None and (not math.isfinite(value) or (value == 0.0 and not name.startswith("loss"))):
                return Verdict(value, 0.0, name, 1, ORIGIN, f"{name} is {value}.")
        return None

    @classmethod
    def demo(cls, seed: int) -> tuple[Iterator[Readings], int]:
        return cls.simulate(seed, onset=100, before={"loss/g": 0.7, "grad_norm/g": 1.0}, after={"grad_norm/g": 0.0}), 100


class LossNotDecreasing(Detector):
    """The last five losses are the same number. A step stands for an epoch."""

    code = "BL421"
    title = "DeepDiagnosis: loss not decreasing"
    claims = ("stall", "vanishing-gradient")
    severity = Severity.TICKET
    inputs = ("loss/g", "loss/d")

    def __init__(self, *, length: int = 5) -> None:
        self.length = length
        self._recent: list[list[float]] = [[], []]

    def update(self, readings: Readings) -> DetectorResult:
        for index, value in enumerate(readings.select(self.inputs)):
            if is_finite(value):
                self._recent[index] = [*self._recent[index], value][-self.length :]
        for name, recent in zip(self.inputs, self._recent, strict=True):
            if len(recent) == self.length and len(set(recent)) == 1:
                return Verdict(recent[0], recent[0], name, self.length, ORIGIN, f"{name} has not changed for {self.length} steps.")
        return None

    @classmethod
    def demo(cls, seed: int) -> tuple[Iterator[Readings], int]:
        noisy = cls.simulate(seed, onset=100, before={"loss/g": 0.7}, after={})
        return (one if one.step < 100 else Readings(one.step, {"loss/g": 0.7}) for one in noisy), 100


class OutOfRange(Detector):
    """Targets lie outside the range of the last activation, or the outputs of a linear one span ten times the targets' range.

    Targets of a generator are the reals. The last activation is not recorded. It counts as a sigmoid if all fakes of a step are within
    0 to 1, as tanh if they are within -1 to 1, and else as linear. DeepDiagnosis checks in the first epoch, this rule at every reading.
    """

    code = "BL521"
    title = "DeepDiagnosis: out of range"
    claims = ("range-mismatch",)
    severity = Severity.TICKET
    inputs = ("data_min/real", "data_max/real", "data_min/fake", "data_max/fake")

    def __init__(self, *, factor: float = 10.0) -> None:
        self.factor = factor

    def update(self, readings: Readings) -> DetectorResult:
        low, high, lowest, highest = readings.select(self.inputs)
        if not (is_finite(low) and is_finite(high) and is_finite(lowest) and is_finite(highest)):
            return None
        if lowest < -1.0 or highest > 1.0:
            is_out, bound = highest - lowest > self.factor * (high - low), self.factor * (high - low)
        else:
            is_out, bound = low < (0.0 if lowest >= 0.0 else -1.0) or high > 1.0, 1.0
        explanation = f"Reals are between {low:.3g} and {high:.3g}, fakes between {lowest:.3g} and {highest:.3g}."
        return Verdict(high, bound, "data_max/real", 1, ORIGIN, explanation) if is_out else None

    @classmethod
    def demo(cls, seed: int) -> tuple[Iterator[Readings], int]:
        before = {"data_min/real": -0.7, "data_max/real": 0.7, "data_min/fake": -0.7, "data_max/fake": 0.7}
        return cls.simulate(seed, onset=100, before=before, after={"data_max/real": 255.0}), 100
