"""A conditional generator does not produce what it is asked for.

How it is detected
    Generated samples are classified by the labels of the nearest real ones, and real samples by those of the others. The share of generated
    samples that have the label asked for is compared with that of the real ones, over three evaluations in a row, once the Fréchet distance
    has ceased to fall.

Why it matters
    Whoever asks for one thing gets another; balanced conditions give no balanced samples.

Likely causes
    The label reaches the generator or the discriminator too late or too weakly; labels of generated samples are drawn differently from
    those given to the discriminator; wrong labels in the data.

What to do
    Check that the labels in the data are right and are given to both networks. Then a stronger conditioning (conditional normalisation,
    projection), or an auxiliary loss on the label.

Blind spots
    Known only where the loop gives labels, as integers beside latents and real samples. Where the labels of real samples do not follow
    from their looks either, nothing is said.

Calibration
    Not measured yet: no published runs have this failure.

References
    Shmelkov et al., 2018, arXiv:1807.09499 (how good is my GAN?); Miyato and Koyama, 2018, arXiv:1802.05637 (projection).
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from ganwatch.core.detector import Detector, Outcome, Severity, Verdict
from ganwatch.core.readings import Readings, finite
from ganwatch.core.statistics import Plateau, Streak


class WeakConditioning(Detector):
    """Fire when generated samples have the requested label far more seldom than real ones have theirs.

    Parameters
    ----------
    part : float, ratio
        Of the agreement of real samples, below which that of generated ones counts as weak.
    errors : float, standard errors
        By which it has to be below.
    gain : float, ratio
        Part of the Fréchet distance by which it has to fall within ``patience`` evaluations for the generator to be on its way still.
    patience : int, evaluations
    confirm : int, evaluations
        In a row that have to agree.

    Examples
    --------
    >>> readings, onset = WeakConditioning.demo(seed=0)
    >>> detector = WeakConditioning()
    >>> fired = next(r.step for r in readings if detector.update(r))
    >>> onset <= fired <= onset + 200
    True
    """

    code = "GW104"
    title = "weak conditioning"
    severity = Severity.TICKET
    opt_in = True
    inputs = ("label_agreement/fake", "label_agreement_error/fake", "label_agreement/real", "frechet")
    tunable = {"part": (0.9, 0.4), "errors": (2.0, 8.0), "gain": (0.3, 0.02), "patience": (2, 12), "confirm": (2, 8)}

    def __init__(self, *, part: float = 0.7, errors: float = 4.0, gain: float = 0.1, patience: int = 5, confirm: int = 3) -> None:
        self.part, self.errors, self.gain, self.patience, self.confirm = part, errors, gain, patience, confirm
        self._plateau = Plateau(patience, gain)
        self._steps: list[int] = []
        self._weak = Streak(confirm)

    def update(self, readings: Readings) -> Outcome:
        fake, error, real, distance = readings.select(self.inputs)
        if not (finite(fake) and finite(error) and finite(real) and finite(distance)):
            return None
        self._steps = [*self._steps, readings.step][-self.confirm :]
        settled = self._plateau.extend(distance)
        threshold = self.part * real
        if not self._weak.extend(settled and fake + self.errors * max(error, math.ulp(1.0)) < threshold):
            return None
        return Verdict(
            value=fake,
            threshold=threshold,
            signal="label_agreement/fake",
            window=self._steps[-1] - self._steps[0] + 1,
            origin="the agreement of real samples",
            explanation=f"{fake:.0%} of the generated samples have the label that was asked for, {real:.0%} of the real ones theirs.",
        )

    @classmethod
    def demo(cls, seed: int) -> tuple[Iterator[Readings], int]:
        """A stream in which the agreement falls to chance, and the step at which it does."""
        before = {"label_agreement/fake": 0.9, "label_agreement_error/fake": 0.01, "label_agreement/real": 0.95, "frechet": 1.0}
        return cls.stream(seed, onset=300, before=before, after={"label_agreement/fake": 0.1}, noise=0.0), 300
