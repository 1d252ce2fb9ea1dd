"""Gradients grow out of all proportion.

How it is detected
    Gradient norm of each network, as a median over a short window (so that lazy regularisation every 16th step does not count),
    against the run's own level, that of its first updates or its healthy median, whichever is lower. Where it can be seen, the
    gradient against the slope of the loss at the discriminator's output must have risen too, because a discriminator that was
    certain and no longer is gets its gradient back and explodes nothing; and neither network may be frozen, because against one that is
    gradients grow without end as well. And the update against the weights, unless these have shrunk.

Why it matters
    Adam hides it for a while. Then weights, outputs and losses leave the range in which floating point is exact, and the run ends
    in non-finite values or in noise.

Likely causes
    A learning rate that is far too high; an unbounded critic (Wasserstein without penalty, no normalisation); initial weights that
    are far too large.

What to do
    Look for outliers and unscaled values in the data first. Then a gradient penalty or spectral normalisation, clipping, a lower
    learning rate.

Blind spots
    A loop that clips shows the clip value at most: the norm then says nothing, and the update-to-weight ratio has to speak. Updates
    that replace the weights of a network a hundred times smaller than the other do not count: such weights have shrunk.

Calibration
    On the final part of the corpus it fired on 24 of the 24 runs whose failure it names, and on 1 of 216 healthy ones
    (`make corpus-table`).

References
    Pascanu et al., On the difficulty of training recurrent neural networks, 2013, arXiv:1211.5063. Wardat et al., DeepDiagnosis,
    ICSE 2022, arXiv:2112.03817 (update against weight).
"""

from __future__ import annotations

from collections.abc import Iterator

from ganwatch.core.detector import Detector, Outcome, Severity, Verdict
from ganwatch.core.readings import Readings
from ganwatch.core.statistics import HealthyMedian, Window

SHRUNK, SLIGHT = 0.1, 0.01
"""Part of their usual norm, and of that of the other network's, below which weights have shrunk."""


class ExplodingGradients(Detector):
    """Fire when a network's gradient stays far above its healthy level, or its updates rival its weights.

    Parameters
    ----------
    rise : float, ratio
        Median norm above ``rise`` times the healthy median counts as exploding. Larger is stricter.
    gain : float, ratio
        Gradient against output slope above ``gain`` times its own level: the network amplifies.
    leap : float, ratio
        Update-to-weight norm above which a step replaces what was learned.
    frozen : float, ratio
        Update-to-weight norm below which a network does not move, whatever the gradients are.
    window : int, steps
        Length of the evidence.
    warmup : int, updates
        Healthy norms to learn from first.

    Examples
    --------
    >>> readings, onset = ExplodingGradients.demo(seed=0)
    >>> detector = ExplodingGradients()
    >>> fired = next(r.step for r in readings if detector.update(r))
    >>> onset <= fired <= onset + 40
    True
    """

    code = "GW302"
    title = "exploding gradients"
    severity = Severity.PAGE
    inputs = (
        "grad_norm/g", "grad_norm/d", "update_to_weight/g", "update_to_weight/d", "grad_to_output/g", "grad_to_output/d",
        "weight_norm/g", "weight_norm/d",
    )  # fmt: skip
    tunable = {"rise": (5.0, 500.0), "gain": (2.0, 50.0), "leap": (0.1, 0.9), "window": (10, 80)}

    def __init__(
        self, *, rise: float = 50.0, gain: float = 10.0, leap: float = 0.3, frozen: float = 1e-7, window: int = 20, warmup: int = 5
    ) -> None:
        self.rise, self.gain, self.leap, self.frozen, self.window = rise, gain, leap, frozen, window
        self._healthy = [HealthyMedian(warmup=warmup), HealthyMedian(warmup=warmup)]
        self._norms = [Window(window), Window(window)]
        self._moved = [Window(3 * window // 2), Window(3 * window // 2)]
        self._healthy_gain = [HealthyMedian(warmup=3), HealthyMedian(warmup=3)]
        self._early: list[float | None] = [None, None]
        self._early_gain: list[float | None] = [None, None]
        self._gain = [Window(3 * window // 2), Window(3 * window // 2)]
        self._healthy_weight = [HealthyMedian(warmup=3), HealthyMedian(warmup=3)]
        self._weights = [0.0, 0.0]
        self._shrunk = [False, False]

    def update(self, readings: Readings) -> Outcome:
        values = readings.select(self.inputs)
        for position, network in enumerate("gd"):
            norm, moved, gain, weight = values[position::2]
            for window, value in ((self._norms[position], norm), (self._moved[position], moved), (self._gain[position], gain)):
                if value is not None:
                    window.push(readings.step, value)
            self._weighs(position, weight)
            self._early[position] = self._early[position] or self._healthy[position].settled
            self._early_gain[position] = self._early_gain[position] or self._healthy_gain[position].settled
            verdict = self._judge(network, position)
            self._healthy[position].learn(norm, unless=verdict is not None or not norm)
            self._healthy_gain[position].learn(gain, unless=verdict is not None)
            if verdict is not None:
                return verdict
        return None

    def _weighs(self, position: int, weight: float | None) -> None:
        """Note whether there is little left of the weights, so that any update is large against them."""
        if weight is not None:
            usual, self._weights[position] = self._healthy_weight[position], weight
            shrunk = usual.ready and weight < SHRUNK * usual.value
            self._shrunk[position] = shrunk or weight < SLIGHT * self._weights[1 - position]
            usual.learn(weight, unless=shrunk)

    def _judge(self, network: str, position: int) -> Verdict | None:
        norms, moved = self._norms[position], self._moved[position]
        who = {"g": "generator", "d": "discriminator"}[network]
        if moved.full and moved.low > self.leap and not self._shrunk[position]:
            return Verdict(
                value=moved.median,
                threshold=self.leap,
                signal=f"update_to_weight/{network}",
                window=self.window,
                origin="the weights of the same step",
                explanation=f"One update moves the {who}'s weights by {moved.median:.0%} of their norm.",
            )
        early, early_gain = self._early[position], self._early_gain[position]
        if early is None or not norms.full or any(each.full and each.high < self.frozen for each in self._moved):
            return None
        level = min(early, self._healthy[position].value)
        amplified = early_gain is None or self._gain[position].median > self.gain * min(early_gain, self._healthy_gain[position].value)
        if norms.median > self.rise * level and amplified:
            return Verdict(
                value=norms.median,
                threshold=self.rise * level,
                signal=f"grad_norm/{network}",
                window=self.window,
                origin="the run's own healthy median",
                explanation=f"The {who}'s gradient norm is {norms.median:.3g}, "
                f"{norms.median / max(level, 1e-30):.3g} times its healthy level.",
            )
        return None

    @classmethod
    def demo(cls, seed: int) -> tuple[Iterator[Readings], int]:
        """A stream that is healthy up to its onset, and the onset."""
        return cls.stream(seed, onset=500, before={"grad_norm/g": 1.0, "grad_norm/d": 1.0}, after={"grad_norm/d": 1e4}), 500
