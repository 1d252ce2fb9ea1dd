"""The generator's learning signal dies out.

How it is detected
    Ratios that no scaling of a loss changes: the gradient of the first layer against the last (depth swallows the signal), the
    update against the weights, and the gradient norm against the run's own healthy median. Two signs together, over a window, make
    a verdict; a first layer that gets less than a hundredth of what would count as a sign is enough alone, and so are weights that
    have shrunk to nothing beside the discriminator's. These also catch a run that was dead from the first step.

    Where the gradient falls only because the loss has no slope left at the output of a discriminator that ranks everything right, the
    generator passes on what it gets: that is `discriminator_domination`, and this verdict is withheld. So it is where the weights have
    leapt to several times their norm, or were thrown about by updates of more than a per cent of them and the fakes have not come near
    the real data since: what is dead then has thrown itself there, which is `mode_collapse` by a learning rate that is too high.

Why it matters
    Nothing else on the screen moves: losses look settled while the generator has stopped learning.

Likely causes
    A saturating loss (minimax) against a discriminator that is certain; many layers with saturating activations and without
    normalisation or residual connections; initial weights that are far too small.

What to do
    Check value ranges of real and generated data first. Then the loss (non-saturating, Wasserstein with penalty), then fewer
    discriminator steps, then normalisation and residual connections.

Blind spots
    Adam rescales small gradients, so a fall of the norm alone is not a verdict. A discriminator that has won looks similar from the
    generator's side: see `discriminator_domination`.

Calibration
    On the final part of the corpus it fired on 24 of the 24 runs whose failure it names, and on 0 of 216 healthy ones
    (`make corpus-table`).

References
    Arjovsky and Bottou, Towards principled methods for training GANs, 2017, arXiv:1701.04862. Zhang et al., AutoTrainer, ICSE 2021
    (first against last layer).
"""

from __future__ import annotations

from collections.abc import Iterator

from ganwatch.core.detector import Detector, Outcome, Severity, Verdict
from ganwatch.core.readings import Readings, finite
from ganwatch.core.statistics import HealthyMedian, Window

SLIGHT, KEPT = 0.01, 0.9
"""Part of the discriminator's weights, and of those of the look before, below which weights are shrinking rather than thrown about."""


class VanishingGradients(Detector):
    """Fire when the generator's learning signal stays dead.

    Parameters
    ----------
    fall : float, ratio
        Gradient norm below ``fall`` times its healthy median counts as dead. Smaller is stricter.
    depth : float, ratio
        First-to-last-layer gradient ratio below which depth swallows the signal.
    still : float, ratio
        Update-to-weight norm below which a step changes nothing.
    perfect : float, in (0.5, 1)
        Share of pairs ranked right from which on a lost slope is put down to the discriminator.
    leap : float, ratio
        Weight norm against its own healthy median from which on the generator has thrown itself where it is.
    throw : float, ratio
        Update-to-weight norm from which on one that does not shrink is thrown about.
    close : float, in (0, 1)
        Energy distance below which the fakes have come near the real data.
    shrunk : float, ratio
        Weight norm against the discriminator's below which no weights are left.
    window : int, steps
        Length of the evidence. Longer delays the verdict and lowers the false-alarm rate.

    Examples
    --------
    >>> readings, onset = VanishingGradients.demo(seed=0)
    >>> detector = VanishingGradients()
    >>> fired = next(r.step for r in readings if detector.update(r))
    >>> onset <= fired <= onset + 100
    True
    """

    code = "GW301"
    title = "vanishing gradients"
    severity = Severity.TICKET
    inputs = (
        "grad_norm/g", "grad_first_to_last/g", "update_to_weight/g", "d_auc", "weight_norm/g", "weight_norm/d", "energy_distance",
    )  # fmt: skip
    causal_priority = 1
    tunable = {"fall": (0.1, 1e-3), "depth": (1e-2, 1e-5), "still": (1e-4, 1e-7), "perfect": (0.999, 0.9), "window": (30, 240)}

    def __init__(
        self,
        *,
        fall: float = 1e-2,
        depth: float = 1e-3,
        still: float = 1e-5,
        perfect: float = 0.98,
        leap: float = 2.5,
        throw: float = 0.015,
        close: float = 0.1,
        shrunk: float = 1e-3,
        window: int = 60,
    ) -> None:
        self.fall, self.depth, self.still, self.perfect, self.leap, self.window = fall, depth, still, perfect, leap, window
        self.throw, self.close, self.shrunk = throw, close, shrunk
        self._usual_weight, self._leapt = HealthyMedian(warmup=3), False
        self._weight, self._thrown = 0.0, False
        self._left = Window(window)
        self._healthy = HealthyMedian(warmup=20)
        self._norm = Window(window)
        self._depth = Window(window)
        self._moved = Window(window)
        self._auc = Window(window)

    def update(self, readings: Readings) -> Outcome:
        norm, depth, moved, auc, weight, other, distance = readings.select(self.inputs)
        if finite(weight):
            self._leapt = self._usual_weight.ready and weight > self.leap * self._usual_weight.value
            self._usual_weight.learn(weight, unless=self._leapt)
            if finite(other):
                self._left.push(readings.step, weight / max(other, 1e-38))
            held = weight > SLIGHT * (other or 0.0) and weight > KEPT * self._weight
            self._thrown = self._thrown or (held and moved is not None and moved > self.throw)
            self._weight = weight
        if distance is not None and distance < self.close:
            self._thrown = False
        for window, value in ((self._norm, norm), (self._depth, depth), (self._moved, moved), (self._auc, auc)):
            if value is not None:
                window.push(readings.step, value)
        if not self._norm.full:
            return None
        level = self._norm.median
        fallen = self._healthy.ready and level < self.fall * self._healthy.value
        swallowed = self._depth.full and self._depth.median < self.depth
        still = self._moved.full and self._moved.median < self.still
        self._healthy.learn(norm, unless=fallen or swallowed or still)
        gone = self._left.full and self._left.median < self.shrunk
        dead = gone or (swallowed and self._depth.median < 0.01 * self.depth)
        explained = not (swallowed or gone) and self._auc.median >= self.perfect
        if self._leapt or self._thrown or explained or (fallen + swallowed + still < 2 and not dead):
            return None
        value, threshold, signal, origin = (
            (self._depth.median, self.depth, "grad_first_to_last/g", "first layer against last layer of the same step")
            if swallowed
            else (self._left.median, self.shrunk, "weight_norm/g", "the discriminator's weights")
            if gone
            else (level, self.fall * self._healthy.value, "grad_norm/g", "the run's own healthy median")
        )
        return Verdict(
            value=value,
            threshold=threshold,
            signal=signal,
            window=self.window,
            origin=origin,
            explanation=f"Of the generator's gradient {level:.2g} is left, {signal} is {value:.2g}; one update moves "
            f"{self._moved.median:.1g} of the weights.",
        )

    @classmethod
    def demo(cls, seed: int) -> tuple[Iterator[Readings], int]:
        """A stream that is healthy up to its onset, and the onset."""
        before = {"weight_norm/g": 1.0, "grad_norm/g": 1.0, "update_to_weight/g": 1e-3, "grad_first_to_last/g": 0.02}
        return cls.stream(seed, onset=500, before=before, after={"grad_norm/g": 1e-4, "update_to_weight/g": 1e-8}), 500
