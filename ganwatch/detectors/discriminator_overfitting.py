"""The discriminator knows its training data by heart.

How it is detected
    Held-out reals are shown to the discriminator, undisturbed, every 100th step, beside as many that it was trained on and the fakes of
    the step. It ranks training reals above held-out ones more often than chance and sampling error allow, and the mean output on held-out
    reals has moved a good part of the way to that on fakes, three looks in a row. Both are ratios: no scaling of a loss or an output
    changes them.

Why it matters
    What the discriminator tells the generator is then less and less about the data and more about single samples. Quality stops improving
    or gets worse, and in the end samples are copied.

Likely causes
    Too few training samples for the capacity of the discriminator and the length of the training; no augmentation.

What to do
    More data, or augmentation of what the discriminator sees, reals and fakes alike; stop earlier. Then a smaller discriminator, a gradient
    penalty or dropout.

Blind spots
    Needs held-out reals (`heldout=`). They have to come from the same source as the training data and be prepared alike: reals of another
    kind look as if the discriminator had learned the training data by heart, and so do reals without the augmentation that the training
    has. The discriminator is called in evaluation mode, which says little where it normalises by batch. Some overfitting is usual where
    data are few, and nothing is said of it.

Calibration
    On the final part of the corpus it fired on 11 of the 27 runs whose failure it names, and on 0 of 216 healthy ones
    (`make corpus-table`).

References
    Karras et al., 2020, arXiv:2006.06676 (r_v, the gap). Webster et al., 2019, arXiv:1901.03396 (overfitting of generators).
"""

from __future__ import annotations

from collections.abc import Iterator

from ganwatch.core.detector import Detector, NotApplicable, Outcome, Severity, Verdict
from ganwatch.core.readings import Readings, finite
from ganwatch.core.statistics import Streak


class DiscriminatorOverfitting(Detector):
    """Fire when D tells training reals from held-out ones, and half takes the latter for fakes.

    Parameters
    ----------
    ahead : float, ratio
        By how much the share of training reals that are ranked above held-out ones must exceed one half.
    errors : float, standard errors
        By how many it must exceed it too.
    gap : float, ratio
        Part of the way from training reals to fakes by which the output on held-out reals must have moved.
    confirm : int, looks
        In a row that have to agree.

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
    inputs = ("d_heldout_auc", "d_heldout_error", "d_heldout_gap", "d_auc")
    causal_priority = 1
    tunable = {"ahead": (0.05, 0.4), "errors": (2.0, 8.0), "gap": (0.2, 0.95), "confirm": (1, 6)}

    def __init__(self, *, ahead: float = 0.2, errors: float = 4.0, gap: float = 0.5, confirm: int = 3) -> None:
        self.ahead, self.errors, self.gap, self.confirm = ahead, errors, gap, confirm
        self._streak = Streak(confirm)
        self._steps: list[int] = []
        self._last: list[float] = []
        """Ranking, its bound, and gap of the last look."""
        self._found = False

    def update(self, readings: Readings) -> Outcome:
        ranked, error, gap, _ = readings.select(self.inputs)
        if finite(ranked) and finite(error) and finite(gap):
            bound = 0.5 + max(self.ahead, self.errors * error)
            self._last = [ranked, bound, gap]
            self._steps = [*self._steps, readings.step][-self.confirm :]
            self._found = self._streak.extend(ranked >= bound and gap >= self.gap)
        if not self._last:
            return NotApplicable("needs held-out reals: heldout=… of watch() or GanWatch")
        if not self._found:
            return None
        ranked, bound, gap = self._last
        return Verdict(
            value=ranked,
            threshold=bound,
            signal="d_heldout_auc",
            window=self._steps[-1] - self._steps[0] + 1,
            origin="held-out reals of the same look, and chance",
            explanation=f"D ranks a training real above a held-out one in {ranked:.0%} of pairs, and its output on held-out reals has "
            f"moved {gap:.0%} of the way to that on fakes.",
            onset=self._steps[0],
        )

    @classmethod
    def demo(cls, seed: int) -> tuple[Iterator[Readings], int]:
        """A stream whose discriminator parts training reals from held-out ones, and the step at which it does."""
        before = {"d_heldout_auc": 0.52, "d_heldout_error": 0.03, "d_heldout_gap": 0.1, "d_auc": 0.8}
        return cls.stream(seed, onset=300, before=before, after={"d_heldout_auc": 0.9, "d_heldout_gap": 0.9}, noise=0.02), 300
