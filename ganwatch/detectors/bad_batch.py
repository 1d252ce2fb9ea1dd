"""Batches of real data are constant, repeated or not finite.

How it is detected
    Shares within the real batch: samples that are constant, samples that repeat another one exactly, values that are NaN or infinite.
    Non-finite data counts at once; constant and repeated samples count when they stay above a share of the batch.

Why it matters
    The generator learns the faults of the data. A NaN in one sample reaches every weight within one step.

Likely causes
    Corrupt files, a transform that divides by a zero spread, a sampler that returns the same item, a cache that serves one batch
    again and again.

What to do
    Look at the pinned samples; run `ganwatch audit` on the data; repair the pipeline before anything else.

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

from ganwatch.core.detector import Detector, DetectorResult, FailureKind, Severity, Verdict
from ganwatch.core.readings import Readings
from ganwatch.core.statistics import Window


class BadBatch(Detector):
    """Fire when real batches are constant, repeated or not finite.

    Parameters
    ----------
    max_share : float, in (0, 1]
        Share of constant or repeated samples above which a batch counts as bad.
    window : int, steps
        Steps over which every reading must be bad, for constant and repeated samples.

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
    kind = FailureKind.DATA
    is_fact = True
    inputs = ("data_nonfinite/real", "data_constant/real", "data_repeated/real")
    required = (("data_nonfinite/real",),)
    tunable = {"max_share": (0.1, 0.9), "window": (10, 120)}

    def __init__(self, *, max_share: float = 0.5, window: int = 30) -> None:
        self.max_share, self.window = max_share, window
        self._constant, self._repeated = Window(window), Window(window)

    def update(self, readings: Readings) -> DetectorResult:
        nonfinite, constant, repeated = readings.select(self.inputs)
        if constant is not None:
            self._constant.add(readings.step, constant)
        if repeated is not None:
            self._repeated.add(readings.step, repeated)
        if nonfinite:
            return self._verdict("data_nonfinite/real", nonfinite, 0.0, 1, "hold NaN or infinity")
        if self._constant.is_full and self._constant.low > self.max_share:
            return self._verdict("data_constant/real", self._constant.median, self.max_share, self.window, "are constant")
        if self._repeated.is_full and self._repeated.low > self.max_share:
            return self._verdict("data_repeated/real", self._repeated.median, self.max_share, self.window, "repeat another one")
        return None

    @staticmethod
    def _verdict(signal: str, value: float, threshold: float, window: int, defect: str) -> Verdict:
        return Verdict(value, threshold, signal, window, "definition", f"{value:.1%} of the samples in the real batch {defect}.")

    @classmethod
    def demo(cls, seed: int) -> tuple[Iterator[Readings], int]:
        """Simulate real batches that begin to hold NaN. Return the readings and the onset."""
        before = {"data_nonfinite/real": 0.0, "data_constant/real": 0.0, "data_repeated/real": 0.0}
        return cls.simulate(seed, onset=200, before=before, after={"data_nonfinite/real": 0.02}), 200
