"""Batches of real data are constant, repeated or not finite.

How it is detected
    Shares within the real batch: samples that are constant, samples that repeat another one exactly, values that are NaN or infinite.
    Non-finite data counts at once; constant and repeated samples count when they stay above a share of the batch.

Why it matters
    The generator learns what it is shown. A NaN in one sample reaches every weight within one step.

Likely causes
    Corrupt files, a transform that divides by a zero spread, a sampler that returns the same item, a cache that serves one batch
    again and again.

What to do
    Look at the pinned samples; run `ganwatch audit` on the data; mend the pipeline before anything else.

Blind spots
    Repeats are compared exactly, so copies with noise or augmentation pass. Data whose samples are legitimately constant (blank
    tiles) reaches the bound only where they are the majority.

Calibration
    On the final part of the corpus it fired on 26 of the 27 runs whose failure it names, and on 0 of 216 healthy ones
    (`make corpus-table`).

References
    Breck et al., The ML test score, 2017.
"""

from __future__ import annotations

from collections.abc import Iterator

from ganwatch.core.detector import Detector, Outcome, Severity, Verdict
from ganwatch.core.readings import Readings
from ganwatch.core.statistics import Window


class BadBatch(Detector):
    """Fire when real batches hold what no training should see.

    Parameters
    ----------
    share : float, in (0, 1]
        Of constant or repeated samples, above which a batch counts as bad.
    window : int, steps
        All readings of which must be bad, for constant and repeated samples.

    Examples
    --------
    >>> readings, onset = BadBatch.demo(seed=0)
    >>> detector = BadBatch()
    >>> next(r.step for r in readings if detector.update(r)) == onset
    True
    """

    code = "GW502"
    title = "bad input batch"
    severity = Severity.TICKET
    inputs = ("data_nonfinite/real", "data_constant/real", "data_repeated/real")
    tunable = {"share": (0.1, 0.9), "window": (10, 120)}

    def __init__(self, *, share: float = 0.5, window: int = 30) -> None:
        self.share, self.window = share, window
        self._constant, self._repeated = Window(window), Window(window)

    def update(self, readings: Readings) -> Outcome:
        nonfinite, constant, repeated = readings.select(self.inputs)
        if constant is not None:
            self._constant.push(readings.step, constant)
        if repeated is not None:
            self._repeated.push(readings.step, repeated)
        if nonfinite:
            return self._verdict("data_nonfinite/real", nonfinite, 0.0, 1, "hold values that are not finite")
        if self._constant.full and self._constant.low > self.share:
            return self._verdict("data_constant/real", self._constant.median, self.share, self.window, "are constant")
        if self._repeated.full and self._repeated.low > self.share:
            return self._verdict("data_repeated/real", self._repeated.median, self.share, self.window, "repeat another one")
        return None

    @staticmethod
    def _verdict(signal: str, value: float, threshold: float, window: int, what: str) -> Verdict:
        return Verdict(value, threshold, signal, window, "definition", f"Of the samples in the real batch {value:.1%} {what}.")

    @classmethod
    def demo(cls, seed: int) -> tuple[Iterator[Readings], int]:
        """A stream that is healthy up to its onset, and the onset."""
        before = {"data_nonfinite/real": 0.0, "data_constant/real": 0.0, "data_repeated/real": 0.0}
        return cls.stream(seed, onset=200, before=before, after={"data_nonfinite/real": 0.02}), 200
