"""The generator's inputs repeat each other, or their scale has changed.

How it is detected
    Within a batch of latents, the share that repeat another one exactly; continuous random numbers never do. And the standard deviation
    of the batch against its own level of before in this run. Either has to hold over a window.

Why it matters
    The generator is trained on a handful of points and cannot learn what lies between them: what is drawn from fresh latents later has
    less variety than the training showed, or is of a kind that was never corrected.

Likely causes
    A random generator that is seeded anew for every batch or in every worker; a sampler with a buffer that is not refilled; a scale or
    a truncation that was changed on one side of the code only.

What to do
    Look at where latents are drawn and seeded. Seed processes and workers apart, and draw anew for every batch.

Blind spots
    The same latents in batch after batch, with no repeat inside one, and the same ones in every process are not seen. A scale that is
    wrong from the first step has nothing to be compared with. Latents that are integers, and generators whose input is an image or that
    are called sample by sample, give nothing to judge by.

Calibration
    On the final part of the corpus it fired on 47 of the 47 runs whose failure it names, and on 0 of 216 healthy ones
    (`make corpus-table`).

References
    Goodfellow et al., 2014, arXiv:1406.2661 (independent draws from a prior are what the generator's objective is an expectation over).
"""

from __future__ import annotations

from collections.abc import Iterator

from ganwatch.core.detector import Detector, Outcome, Severity, Verdict
from ganwatch.core.readings import Readings, finite
from ganwatch.core.statistics import HealthyMedian, Window


class LatentFault(Detector):
    """Fire when latents keep repeating within a batch, or stay scaled otherwise than before.

    Parameters
    ----------
    share : float, in (0, 1]
        Of latents in a batch that repeat another one, from which on it counts.
    factor : float, ratio
        By which the scale has to have grown or shrunk against its own level.
    window : int, steps
        All readings of which must agree.

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
    inputs = ("latent_repeated", "latent_scale")
    causal_priority = 1
    tunable = {"share": (0.05, 0.95), "factor": (2.0, 20.0), "window": (20, 160)}

    def __init__(self, *, share: float = 0.25, factor: float = 4.0, window: int = 40) -> None:
        self.share, self.factor, self.window = share, factor, window
        self._repeated, self._scale = Window(window), Window(window)
        self._usual = HealthyMedian(warmup=3)

    def update(self, readings: Readings) -> Outcome:
        repeated, scale = readings.select(self.inputs)
        if finite(repeated):
            self._repeated.push(readings.step, repeated)
        if finite(scale):
            self._scale.push(readings.step, scale)
        if self._repeated.full and self._repeated.low >= self.share and self._scale.high != 0.0:
            found = self._repeated.low
            return self._verdict("latent_repeated", found, self.share, f"At least {found:.0%} of a batch's latents repeat another one.")
        if self._scale.full and self._usual.ready and self._usual.value > 0.0:
            usual, least, most = self._usual.value, self._scale.low, self._scale.high
            if least >= self.factor * usual or most <= usual / self.factor:
                limit = usual * self.factor if least >= usual else usual / self.factor
                text = f"The standard deviation of latents is {self._scale.median:.2g} and was {usual:.2g}."
                return self._verdict("latent_scale", self._scale.median, limit, text)
        off = self._usual.ready and finite(scale) and not self._usual.value / self.factor < scale < self._usual.value * self.factor
        self._usual.learn(scale, unless=off)
        return None

    def _verdict(self, signal: str, value: float, threshold: float, explanation: str) -> Verdict:
        origin = "repeats do not occur by chance" if signal == "latent_repeated" else "the run's own level before"
        return Verdict(value, threshold, signal, self.window, origin, explanation)

    @classmethod
    def demo(cls, seed: int) -> tuple[Iterator[Readings], int]:
        """A stream whose latents begin to repeat, and the step at which they do."""
        before = {"latent_repeated": 0.0, "latent_scale": 1.0}
        return cls.stream(seed, onset=300, before=before, after={"latent_repeated": 0.9}, length=200), 300
