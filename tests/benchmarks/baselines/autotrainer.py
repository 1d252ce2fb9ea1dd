"""AutoTrainer: symptoms of training problems, at the thresholds of its paper and repository.

Source: Zhang, Zhai, Ma, Shen, AUTOTRAINER: an automatic DNN training problem detection and repair system, ICSE 2021;
github.com/shiningrain/AUTOTRAINER (beta_1 1e-3, beta_2 1e-4, beta_3 70, zeta 0.03, eta 0.2). It looks once an epoch, at a classifier's
accuracy among other things; here it looks at every reading of either network, and the accuracy is the share of pairs that the
discriminator ranks right. That gradients count only while the accuracy is below 70 % has no counterpart. Left out, as nothing near is
recorded: dying ReLU (70 % of the gradients exactly zero) and slow convergence (of an accuracy that should rise).
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

    Recorded is that ratio per root of the parameter count; the norm of the first layer is taken as the ratio times that of the network.
    """

    code = "BL311"
    title = "AutoTrainer: vanishing gradient"
    claims = ("vanishing-gradient",)
    severity = Severity.TICKET
    inputs = ("grad_first_to_last/g", "grad_first_to_last/d", "grad_norm/g", "grad_norm/d")

    def __init__(self, *, ratio: float = 1e-3, first: float = 1e-4) -> None:
        self.ratio, self.first = ratio, first
        self._found = [False, False]
        self._last = [0.0, 0.0]

    def update(self, readings: Readings) -> DetectorResult:
        for place, network in enumerate(NETWORKS):
            ratio, norm = readings.get(f"grad_first_to_last/{network}"), readings.get(f"grad_norm/{network}")
            if is_finite(ratio) and is_finite(norm):
                self._found[place] = ratio < self.ratio and ratio * norm < self.first
                self._last[place] = ratio
        if not any(self._found):
            return None
        place = self._found.index(True)
        explanation = f"The first layer's gradient is {self._last[place]:.2g} of the last layer's."
        return Verdict(self._last[place], self.ratio, self.inputs[place], 1, ORIGIN, explanation)

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
    """So far, local maxima of the accuracy exceed the minima beside them by 0.03 or more at a fifth of the looks or more.

    AutoTrainer judges from three tenths of the planned training on; how long a training is planned is not recorded, so from 10 looks on.
    """

    code = "BL313"
    title = "AutoTrainer: oscillating loss"
    claims = ("oscillation",)
    severity = Severity.TICKET
    inputs = ("d_auc",)

    def __init__(self, *, swing: float = 0.03, share: float = 0.2, least: int = 10) -> None:
        self.swing, self.share, self.least = swing, share, least
        self._before: list[float] = []
        """The last two looks."""
        self._maxima: list[float] = []
        """Those without a minimum to compare with yet; of these two lists one is empty."""
        self._minima: list[float] = []
        self._swings = 0
        self._looks = 0

    def update(self, readings: Readings) -> DetectorResult:
        value = readings.get("d_auc")
        if is_finite(value):
            self._look(value)
        share = self._swings / max(self._looks, 1)
        if self._looks < self.least or share < self.share:
            return None
        explanation = f"The discriminator's ranking has swung by {self.swing} or more at {share:.0%} of the looks."
        return Verdict(share, self.share, "d_auc", readings.step, ORIGIN, explanation)

    def _look(self, value: float) -> None:
        self._looks += 1
        if len(self._before) == 2:
            first, middle = self._before
            self._maxima += [middle] * (middle >= max(first, value))
            self._minima += [middle] * (middle <= min(first, value))
        self._before = [*self._before[-1:], value]
        while self._maxima and self._minima:
            self._swings += self._maxima.pop(0) - self._minima.pop(0) >= self.swing

    @classmethod
    def demo(cls, seed: int) -> tuple[Iterator[Readings], int]:
        levels = ((step, 0.8 if step < 100 or step % 2 else 0.6) for step in range(1, 401))
        return (Readings(step, {"d_auc": level}) for step, level in levels), 100
