"""The generator's inputs repeat each other, or their scale has changed.

How it is detected
    Within a batch of latents, the share that repeat another one exactly. It counts if the values are continuous, because then no value
    ever equals another one: labels, one-hot vectors, masks and edge maps consist of few values and repeat by design. Latents that are one
    and the same number throughout. And the standard deviation of the batch against its own level of before in this run. Each has to hold
    over a window.

Why it matters
    The generator is trained on a handful of points and cannot learn what lies between them: samples from fresh latents have
    less variety than those of the training, or faults that were never corrected.

Likely causes
    A random generator that is seeded anew for every batch or in every worker; a sampler with a buffer that is not refilled; a scale or
    a truncation that was changed on one side of the code only.

What to do
    Look at where latents are drawn and seeded. Give each process and worker its own seed, and draw new latents for every batch.

Blind spots
    The same latents in batch after batch, with no repeat inside one, are another failure (GW005), and the same ones in every process are
    not seen. A scale that is wrong from the first step has nothing to be compared with. Repeats of latents with one value each, or with
    few different values (bits, whole numbers, half precision in hundreds of dimensions), are taken to be by design. Latents
    of an integer type, and generators that are called sample by sample, give no readings.

Calibration
    On the final part of the corpus it fired on 47 of the 47 runs whose failure it names, and on 0 of 216 healthy ones
    (`make corpus-table`).

References
    Goodfellow et al., 2014, arXiv:1406.2661 (independent draws from a prior are what the generator's objective is an expectation over).
"""

from __future__ import annotations

from collections.abc import Iterator

from ganwatch.core.detector import Detector, DetectorResult, FailureKind, Severity, Verdict
from ganwatch.core.readings import Readings, is_finite
from ganwatch.core.statistics import HealthyMedian, Window


class LatentFault(Detector):
    """Fire when continuous latents keep repeating within a batch, when all are one constant, or when their scale stays changed.

    Parameters
    ----------
    min_repeated_share : float, in (0, 1]
        Share of latents in a batch that repeat another one from which it counts.
    min_continuity : float, in (0, 1)
        Share of the values of different latents that must be new for the latents to count as continuous.
    scale_ratio : float, > 0, ratio
        Factor by which the scale must have grown or shrunk against its own level.
    window : int, steps
        Steps over which every reading must agree.

    Examples
    --------
    >>> readings, onset = LatentFault.demo(seed=0)
    >>> detector = LatentFault()
    >>> fired = next(r.step for r in readings if detector.update(r))
    >>> onset <= fired <= onset + 60
    True
    """

    code = "GW504"
    title = "latent fault"
    severity = Severity.TICKET
    kind = FailureKind.DATA
    inputs = ("latent_repeated", "latent_scale", "latent_continuity")
    required = (("latent_repeated",),)
    causal_priority = 1
    is_fact = True
    tunable = {"min_repeated_share": (0.05, 0.95), "scale_ratio": (2.0, 20.0), "window": (20, 160)}

    def __init__(
        self, *, min_repeated_share: float = 0.25, min_continuity: float = 0.5, scale_ratio: float = 4.0, window: int = 40
    ) -> None:
        if not scale_ratio > 0.0:
            raise ValueError(f"scale_ratio must be > 0 (ratio), got {scale_ratio}")
        self.min_repeated_share, self.min_continuity = min_repeated_share, min_continuity
        self.scale_ratio, self.window = scale_ratio, window
        self._repeated, self._scale = Window(window), Window(window)
        self._healthy_scale = HealthyMedian(warmup=3)

    def update(self, readings: Readings) -> DetectorResult:
        repeated, scale, continuity = readings.select(self.inputs)
        if is_finite(repeated):
            is_by_design = is_finite(continuity) and continuity <= self.min_continuity
            self._repeated.add(readings.step, 0.0 if is_by_design else repeated)
        if is_finite(scale):
            self._scale.add(readings.step, scale)
        if self._scale.is_full and self._scale.high == 0.0:
            return self._verdict("latent_scale", 0.0, 0.0, "All values of all latents in a batch are the same number.")
        if self._repeated.is_full and self._repeated.low >= self.min_repeated_share:
            share = self._repeated.low
            text = f"At least {share:.0%} of a batch's latents repeat another one."
            return self._verdict("latent_repeated", share, self.min_repeated_share, text)
        healthy, ratio = self._healthy_scale, self.scale_ratio
        if self._scale.is_full and healthy.is_ready and healthy.value > 0.0:
            usual, low, high = healthy.value, self._scale.low, self._scale.high
            if low >= ratio * usual or high <= usual / ratio:
                limit = usual * ratio if low >= usual else usual / ratio
                text = f"The standard deviation of latents is {self._scale.median:.2g} and was {usual:.2g}."
                return self._verdict("latent_scale", self._scale.median, limit, text)
        changed = healthy.is_ready and is_finite(scale) and not healthy.value / ratio < scale < healthy.value * ratio
        healthy.update(scale, exclude=changed)
        return None

    def _verdict(self, signal: str, value: float, threshold: float, explanation: str) -> Verdict:
        origin = "the run's own level before" if threshold and signal == "latent_scale" else "repeats do not occur by chance"
        return Verdict(value, threshold, signal, self.window, origin, explanation)

    @property
    def is_ready(self) -> bool:
        return self._repeated.is_full

    @classmethod
    def demo(cls, seed: int) -> tuple[Iterator[Readings], int]:
        """Simulate latents that begin to repeat. Return the readings and the onset."""
        before = {"latent_repeated": 0.0, "latent_scale": 1.0}
        return cls.simulate(seed, onset=300, before=before, after={"latent_repeated": 0.9}, length=200), 300
