"""The training has produced NaN or infinity.

How it is detected
    Every loss, every gradient norm, the weights' norm and the generated batch are checked for values that are not finite. One is
    enough: a non-finite weight never recovers. The real batch of the first such step is checked too: where it holds such values
    itself, the fault is the data's (`bad_batch`), and this verdict follows only if it outlasts them.

Why it matters
    Every further step is wasted, and a checkpoint that is saved from here on is worthless.

Likely causes
    Logarithm of a probability that underflows to zero (a loss on probabilities instead of logits); division by a norm without an
    epsilon; half precision without a scaler; gradients that exploded before.

What to do
    Go back to the last checkpoint with finite weights. Compute the loss on logits (softplus, `binary_cross_entropy_with_logits`), add
    the epsilon, lower the learning rate, clip.

Blind spots
    A loop that checks for itself and skips such steps is found only if its loss was back-propagated.

Calibration
    On the final part of the corpus it fired on 46 of the 46 runs whose failure it names, and on 0 of 216 healthy ones
    (`make corpus-table`). By definition no false alarm: a value is finite or it is not. Delay: one step for losses and gradients.

References
    Wardat et al., DeepDiagnosis, ICSE 2022, arXiv:2112.03817.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from ganwatch.core.detector import Detector, DetectorResult, FailureKind, Severity, Verdict
from ganwatch.core.readings import Readings


class NonFinite(Detector):
    """Fire at the first value that is not finite, unless the real data caused it.

    Parameters
    ----------
    grace_period : int, steps
        Steps without a verdict after real data that was not finite. Values that are not finite afterwards will not recover.

    Examples
    --------
    >>> readings, onset = NonFinite.demo(seed=0)
    >>> detector = NonFinite()
    >>> next(r.step for r in readings if detector.update(r)) == onset
    True
    """

    code = "GW303"
    title = "non-finite values"
    severity = Severity.PAGE
    kind = FailureKind.NUMERICS
    inputs = (
        "loss/d",  # D is updated first: what is not finite in its loss reaches that of G within the same step
        "loss/g",
        "grad_norm/g",
        "grad_norm/d",
        "weight_norm/g",
        "weight_norm/d",
        "d_output/fake",
        "data_nonfinite/fake",
        "data_nonfinite/real",
    )
    causal_priority = 2
    is_fact = True

    def __init__(self, *, grace_period: int = 60) -> None:
        self.grace_period = grace_period
        self._onset: int | None = None
        self._real_share: float | None = None
        self._bad_data_step: int | None = None

    def update(self, readings: Readings) -> DetectorResult:
        *numbers, fake, real = readings.select(self.inputs)
        if real:
            self._bad_data_step = readings.step
        signal = "data_nonfinite/fake" if fake else None
        for name, value in zip(self.inputs, numbers, strict=False):
            if value is not None and not math.isfinite(value):
                signal = name
                break
        if signal is None:
            self._onset = None
            return None
        if self._onset is None:
            self._onset, self._real_share = readings.step, real
        if self._bad_data_step is not None and readings.step - self._bad_data_step < self.grace_period:
            return None
        if self._bad_data_step is not None and self._bad_data_step >= self._onset:
            origin = f" and stays so after real data of step {self._bad_data_step} that was not finite."
        elif self._real_share is None:
            origin = "; it is unknown whether the data caused it."
        else:
            origin = " although the real batch was finite."
        return Verdict(
            value=readings.values[signal],
            threshold=0.0,
            signal=signal,
            window=1,
            origin="definition",
            explanation=f"{signal} is {readings.values[signal]:g}{origin}",
            onset=self._onset,
        )

    @classmethod
    def demo(cls, seed: int) -> tuple[Iterator[Readings], int]:
        """Simulate a loss that becomes NaN. Return the readings and the onset."""
        return cls.simulate(seed, onset=200, before={"loss/g": 0.7, "loss/d": 1.2}, after={"loss/d": math.nan}), 200
