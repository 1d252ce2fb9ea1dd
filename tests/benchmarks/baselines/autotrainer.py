"""AutoTrainer: symptoms of training problems, at the thresholds of its paper and repository.

Source: Zhang, Zhai, Ma, Shen, AUTOTRAINER: an automatic DNN training problem detection and repair system, ICSE 2021;
github.com/shiningrain/AUTOTRAINER (beta_1 1e-3, beta_2 1e-4, beta_3 70, zeta 0.03, eta 0.2). It evaluates once an epoch, a classifier's
accuracy among other things. Here it evaluates every reading of either network, and the accuracy is the share of pairs that the
discriminator ranks right. Its condition that gradients count only while the accuracy is below 70 % has no counterpart. Left out, because
the recordings have nothing similar: dying ReLU (70 % of the gradients exactly zero) and slow convergence (of an accuracy that should rise).
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from ganwatch.core.detector import Detector, DetectorResult, Severity, Verdict
from ganwatch.core.readings import Readings, is_finite

ORIGIN = "default of AutoTrainer"
NETWORKS = ("g", "d")


class VanishingGradient(Detector):
    """The first layer's gradient is below 1e-3 of the last layer's, and its norm below 1e-4.

    The recordings have this ratio per root of the parameter count. The norm of the first layer is taken as the ratio times that of the
    network.
    """

    code = "BL311"
    title = "AutoTrainer: vanishing gradient"
    claims = ("vanishing-gradient",)
    severity = Severity.TICKET
    inputs = ("grad_first_to_last/g", "grad_first_to_last/d", "grad_norm/g", "grad_norm/d")

    def __init__(self, *, ratio: float = 1e-3, first: float = 1e-4) -> None:
        self.ratio, self.first = ratio, first
        self._has_vanished = [False, False]
        self._ratios = [0.0, 0.0]

    def update(self, readings: Readings) -> DetectorResult:
        for index, network in enumerate(NETWORKS):
            ratio, norm = readings.get(f"grad_first_to_last/{network}"), readings.get(f"grad_norm/{network}")
            if is_finite(ratio) and is_finite(norm):
                self._has_vanished[index] = ratio < self.ratio and ratio * norm < self.first
                self._ratios[index] = ratio
        if not any(self._has_vanished):
            return None
        index = self._has_vanished.index(True)
        explanation = f"The first layer's gradient is {self._ratios[index]:.2g} of the last layer's."
        return Verdict(self._ratios[index], self.ratio, self.inputs[index], 1, ORIGIN, explanation)

    @classmethod
    def demo(cls, seed: int) -> tuple[Iterator[Readings], int]:
        before = {"grad_first_to_last/g": 0.1, "grad_norm/g": 1.0}
        return cls.simulate(seed, onset=100, before=before, after={"grad_first_to_last/g": 1e-6}), 100


class ExplodingGradient(Detector):
    """The first layer's gradient is above 70 times the last layer's; or a loss, gradient or weight is not finite, or a loss at 1e5."""

    code = "BL312"
    title = "AutoTrainer: exploding gradient"
    claims = ("exploding-gradient", "non-finite")
    severity = Severity.TICKET
    inputs = (
        "grad_first_to_last/g", "grad_first_to_last/d", "loss/g", "loss/d", "grad_norm/g", "grad_norm/d", "weight_norm/g", "weight_norm/d"
    )

    def __init__(self, *, ratio: float = 70.0, loss: float = 1e5) -> None:
        self.ratio, self.loss = ratio, loss

    def update(self, readings: Readings) -> DetectorResult:
        bounds = {"grad_first_to_last": self.ratio, "loss": self.loss}
        for name, value in zip(self.inputs, readings.select(self.inputs), strict=True):
            bound = bounds.get(name.partition("/")[0], math.inf)
            if value is not None and (not math.isfinite(value) or value > bound):
                return Verdict(value, bound, name, 1, ORIGIN, f"{name} is {value:.2g}.")
        return None

    @classmethod
    def demo(cls, seed: int) -> tuple[Iterator[Readings], int]:
        before = {"grad_first_to_last/d": 0.5, "loss/d": 1.3}
        return cls.simulate(seed, onset=100, before=before, after={"grad_first_to_last/d": 200.0}), 100


class OscillatingLoss(Detector):
    """Local maxima of the accuracy exceed the minima next to them by 0.03 or more at a fifth of the readings or more.

    AutoTrainer evaluates from three tenths of the planned training. The planned length is not recorded, so this rule does from 10 readings.
    """

    code = "BL313"
    title = "AutoTrainer: oscillating loss"
    claims = ("oscillation",)
    severity = Severity.TICKET
    inputs = ("d_auc",)

    def __init__(self, *, swing: float = 0.03, share: float = 0.2, min_readings: int = 10) -> None:
        self.swing, self.share, self.min_readings = swing, share, min_readings
        self._recent: list[float] = []
        """The latest two readings."""
        self._maxima: list[float] = []
        """Maxima without a minimum to compare with yet. One of these two lists is empty."""
        self._minima: list[float] = []
        self._swings = 0
        self._count = 0

    def update(self, readings: Readings) -> DetectorResult:
        value = readings.get("d_auc")
        if is_finite(value):
            self._add(value)
        share = self._swings / max(self._count, 1)
        if self._count < self.min_readings or share < self.share:
            return None
        explanation = f"The discriminator's ranking has swung by {self.swing} or more at {share:.0%} of the readings."
        return Verdict(share, self.share, "d_auc", readings.step, ORIGIN, explanation)

    def _add(self, value: float) -> None:
        self._count += 1
        if len(self._recent) == 2:
            first, middle = self._recent
            self._maxima += [middle] * (middle >= max(first, value))
            self._minima += [middle] * (middle <= min(first, value))
        self._recent = [*self._recent[-1:], value]
        while self._maxima and self._minima:
            self._swings += self._maxima.pop(0) - self._minima.pop(0) >= self.swing

    @classmethod
    def demo(cls, seed: int) -> tuple[Iterator[Readings], int]:
        levels = ((step, 0.8 if step < 100 or step % 2 else 0.6) for step in range(1, 401))
        return (Readings(step, {"d_auc": level}) for step, level in levels), 100
