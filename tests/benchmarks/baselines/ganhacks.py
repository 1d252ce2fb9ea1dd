"""Rules of "How to train a GAN? Tips and tricks to make GANs work", section "Track failures early".

Source: Chintala, Denton, Arjovsky, Mathieu, 2016, github.com/soumith/ganhacks, section 10: "D loss goes to 0: failure mode" and norms of
gradients "over 100". Left out: a high variance of the discriminator's loss and a generator's loss that falls steadily, because the
source gives neither a number.
"""

from __future__ import annotations

from collections.abc import Iterator

from ganwatch.core.detector import Detector, DetectorResult, Severity, Verdict
from ganwatch.core.readings import Readings, is_finite
from ganwatch.core.statistics import Window

ORIGIN = "ganhacks"


class LossAtZero(Detector):
    """The discriminator's loss goes to 0. The number is ours: a median size below 0.01 over 50 steps."""

    code = "BL231"
    title = "ganhacks: D loss goes to 0"
    claims = ("discriminator-domination",)
    severity = Severity.TICKET
    inputs = ("loss/d",)

    def __init__(self, *, zero: float = 0.01, window: int = 50) -> None:
        self.zero, self.window = zero, window
        self._size = Window(window)

    def update(self, readings: Readings) -> DetectorResult:
        loss = readings.get("loss/d")
        if loss is not None:
            self._size.add(readings.step, abs(loss))
        if not self._size.is_full or self._size.median >= self.zero:
            return None
        return Verdict(self._size.median, self.zero, "loss/d", self.window, ORIGIN, "The discriminator's loss has gone to 0.")

    @classmethod
    def demo(cls, seed: int) -> tuple[Iterator[Readings], int]:
        return cls.simulate(seed, onset=100, before={"loss/d": 1.3}, after={"loss/d": 1e-4}), 100


class LargeGradient(Detector):
    """The norm of a network's gradient is over 100."""

    code = "BL331"
    title = "ganhacks: gradient norm over 100"
    claims = ("exploding-gradient",)
    severity = Severity.TICKET
    inputs = ("grad_norm/g", "grad_norm/d")

    def __init__(self, *, bound: float = 100.0) -> None:
        self.bound = bound

    def update(self, readings: Readings) -> DetectorResult:
        for name, value in zip(self.inputs, readings.select(self.inputs), strict=True):
            if is_finite(value) and value > self.bound:
                return Verdict(value, self.bound, name, 1, ORIGIN, f"{name} is {value:.3g}.")
        return None

    @classmethod
    def demo(cls, seed: int) -> tuple[Iterator[Readings], int]:
        return cls.simulate(seed, onset=100, before={"grad_norm/g": 1.0, "grad_norm/d": 2.0}, after={"grad_norm/d": 1e3}), 100
