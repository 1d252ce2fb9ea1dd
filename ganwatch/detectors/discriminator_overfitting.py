"""The discriminator knows its training data by heart.

How it is detected
    Every 100th step the discriminator scores held-out reals, as many training reals and the fakes of the step, in isolation from the
    training. It ranks training reals above held-out ones more often than chance and sampling error allow, and the mean output on held-out
    reals lies a good part of the way from training reals to fakes, at three sampled steps in a row. Both are ratios: no scaling of a loss
    or an output changes them.

Why it matters
    The gradient that the generator gets is then less and less about the data and more about single samples. Quality stops improving
    or gets worse, and in the end samples are copied.

Likely causes
    Too few training samples for the capacity of the discriminator and the length of the training; no augmentation.

What to do
    More data, or augmentation of what the discriminator sees, reals and fakes alike; stop earlier. Then a smaller discriminator, a gradient
    penalty or dropout.

Blind spots
    Needs held-out reals (`heldout=`). They have to come from the same source as the training data and be prepared alike: reals of another
    source look as if the discriminator had learned the training data by heart, and so do reals without the augmentation of the training.
    The discriminator is called in evaluation mode, which says little where it normalises by batch. Some overfitting is usual where
    data are few, and it raises no alarm.

Calibration
    On the final part of the corpus it fired on 11 of the 27 runs whose failure it names, and on 0 of 216 healthy ones
    (`make corpus-table`).

References
    Karras et al., 2020, arXiv:2006.06676 (r_v, the gap). Webster et al., 2019, arXiv:1901.03396 (overfitting of generators).
"""

from __future__ import annotations

from collections.abc import Iterator

from ganwatch.core.detector import Detector, DetectorResult, FailureKind, NotApplicable, Severity, Verdict
from ganwatch.core.readings import Readings, is_finite
from ganwatch.core.statistics import Streak


class DiscriminatorOverfitting(Detector):
    """Fire when D ranks training reals above held-out ones and scores the latter more like fakes.

    Parameters
    ----------
    min_excess : float, ratio
        Excess over one half of the share of training reals that are ranked above held-out ones.
    min_sigmas : float, standard errors
        The same excess in standard errors.
    min_gap : float, ratio
        Part of the way from training reals to fakes at which the mean output on held-out reals lies.
    confirmations : int, sampled steps
        Consecutive sampled steps that must agree.

    Examples
    --------
    >>> readings, onset = DiscriminatorOverfitting.demo(seed=0)
    >>> detector = DiscriminatorOverfitting()
    >>> fired = next(r.step for r in readings if isinstance(detector.update(r), Verdict))
    >>> onset <= fired <= onset + 300
    True
    """

    code = "GW203"
    title = "discriminator overfitting"
    severity = Severity.TICKET
    kind = FailureKind.BALANCE
    acts_slowly = True
    inputs = ("d_heldout_auc", "d_heldout_error", "d_heldout_gap", "d_auc")
    required = (("d_heldout_auc",),)
    is_optional = True
    causal_priority = 1
    tunable = {"min_excess": (0.05, 0.4), "min_sigmas": (2.0, 8.0), "min_gap": (0.2, 0.95), "confirmations": (1, 6)}

    def __init__(self, *, min_excess: float = 0.2, min_sigmas: float = 4.0, min_gap: float = 0.5, confirmations: int = 3) -> None:
        self.min_excess, self.min_sigmas, self.min_gap, self.confirmations = min_excess, min_sigmas, min_gap, confirmations
        self._streak = Streak(confirmations)
        self._steps: list[int] = []
        self._latest: list[float] = []
        """Ranking, its bound, and gap of the latest sampled step."""
        self._is_confirmed = False

    def update(self, readings: Readings) -> DetectorResult:
        auc, error, gap, _ = readings.select(self.inputs)
        if is_finite(auc) and is_finite(error) and is_finite(gap):
            bound = 0.5 + max(self.min_excess, self.min_sigmas * error)
            self._latest = [auc, bound, gap]
            self._steps = [*self._steps, readings.step][-self.confirmations :]
            self._is_confirmed = self._streak.update(auc >= bound and gap >= self.min_gap)
        if not self._latest:
            return NotApplicable("needs held-out reals: heldout=… of watch() or GanWatch")
        if not self._is_confirmed:
            return None
        auc, bound, gap = self._latest
        return Verdict(
            value=auc,
            threshold=bound,
            signal="d_heldout_auc",
            window=self._steps[-1] - self._steps[0] + 1,
            origin="held-out reals of the same step, and chance",
            explanation=f"D ranks a training real above a held-out one in {auc:.0%} of pairs, and its output on held-out reals lies "
            f"{gap:.0%} of the way from training reals to fakes.",
            onset=self._steps[0],
        )

    @property
    def is_ready(self) -> bool:
        return len(self._steps) >= self.confirmations

    @classmethod
    def demo(cls, seed: int) -> tuple[Iterator[Readings], int]:
        """Simulate a discriminator that begins to overfit. Return the readings and the onset."""
        before = {"d_heldout_auc": 0.52, "d_heldout_error": 0.03, "d_heldout_gap": 0.1, "d_auc": 0.8}
        return cls.simulate(seed, onset=300, before=before, after={"d_heldout_auc": 0.9, "d_heldout_gap": 0.9}, noise=0.02), 300
