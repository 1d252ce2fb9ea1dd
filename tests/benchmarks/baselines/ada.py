"""Adaptive discriminator augmentation: the control signal of StyleGAN2-ADA.

Source: Karras, Aittala, Hellsten, Laine, Lehtinen, Aila, Training generative adversarial networks with limited data, NeurIPS 2020,
arXiv:2006.06676: r_t = E[sign D(real)] over four consecutive batches of training reals, with 0.6 as its target; above that the
discriminator counts as overfitting.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator
from statistics import NormalDist

from ganwatch.core.detector import Detector, DetectorResult, Severity, Verdict
from ganwatch.core.readings import Readings, is_finite

MIN_AUC_MARGIN = 0.05
"""Distance of the share of correctly ranked pairs from chance, from which it determines the width of outputs."""
MAX_AUC = 0.9999
"""Largest share of correctly ranked pairs that a batch tells from all of them."""


class SignOfReals(Detector):
    """The mean sign of the discriminator's outputs on reals is above 0.6.

    The sign is not recorded. It is computed from the means of the outputs and the share of correctly ranked pairs, for outputs with normal
    distributions of one width. Steps at which pairs are hardly ranked do not determine the width and are left out. The paper's losses are
    on logits; the sign is taken about 0 whatever the loss.
    """

    code = "BL241"
    title = "ADA: mean sign of D on reals"
    claims = ("discriminator-overfitting",)
    severity = Severity.TICKET
    inputs = ("d_output/real", "d_output/fake", "d_auc")

    def __init__(self, *, target: float = 0.6, batches: int = 4) -> None:
        self.target, self.batches = target, batches
        self._steps: list[int] = []
        self._signs: list[float] = []

    def update(self, readings: Readings) -> DetectorResult:
        real, fake, auc = readings.select(self.inputs)
        if is_finite(real) and is_finite(fake) and is_finite(auc) and abs(auc - 0.5) >= MIN_AUC_MARGIN and (real > fake) == (auc > 0.5):
            margin = NormalDist().inv_cdf(min(max(auc, 1.0 - MAX_AUC), MAX_AUC)) * math.sqrt(2.0)
            sign = math.erf(real * margin / (real - fake) / math.sqrt(2.0)) if real != fake else math.nan
            if math.isfinite(sign):
                self._signs = [*self._signs, sign][-self.batches :]
                self._steps = [*self._steps, readings.step][-self.batches :]
        if len(self._signs) < self.batches or statistics.fmean(self._signs) <= self.target:
            return None
        explanation = f"The mean sign of the discriminator on reals is about {statistics.fmean(self._signs):.2f}."
        window = self._steps[-1] - self._steps[0] + 1
        return Verdict(statistics.fmean(self._signs), self.target, "d_output/real", window, "target of StyleGAN2-ADA", explanation)

    @classmethod
    def demo(cls, seed: int) -> tuple[Iterator[Readings], int]:
        before = {"d_output/real": 0.2, "d_output/fake": -0.2, "d_auc": 0.64}
        return cls.simulate(seed, onset=100, before=before, after={"d_output/real": 4.0, "d_output/fake": -4.0, "d_auc": 1.0}), 100
