"""Generated samples are copies of training samples.

How it is detected
    In features, at each evaluation: the share of generated samples whose nearest real sample is one that was trained on, and not one of
    as many that were held out. Without memorisation it is one half, however good or bad the samples are. And the share of near copies,
    which lie closer to a training sample, in units of the distance to the tenth nearest, than all but one in a hundred held-out samples
    do. A verdict needs, three evaluations in a row, a share that sampling error does not explain together with either copies or a share
    near 1. Samples must have at least half of the variety of real ones: few different ones are all near the same few real samples, on
    whichever side these are.

Why it matters
    Published samples are then training samples, with whatever is private or protected in them, and their variety is that of a small data
    set.

Likely causes
    Few training samples for the capacity of the networks and the length of the training; a discriminator that knows them by heart; the same
    samples many times over in the data.

What to do
    Look at generated samples next to their nearest training samples, and have somebody responsible for privacy look too, before anything
    leaves the house. More data, augmentation, an earlier checkpoint.

Blind spots
    Needs held-out reals (`heldout=`) of the same source. Only the first real samples of the training (512 unless `Quality(reals=…)` says
    otherwise) are compared with, so copies of others out of a large data set are not seen. Evaluations are few, as they may take 1 % of
    the time.

Calibration
    On the final part of the corpus it fired on 2 of the 22 runs whose failure it names, and on 0 of 216 healthy ones (`make corpus-table`).

References
    Meehan, Chaudhuri and Dasgupta, 2020, arXiv:2004.05675 (copying against held-out samples). Yale et al., 2019 (nearest neighbours in
    training and test data). Feng et al., 2021, arXiv:2106.01932 (when GANs replicate).
"""

from __future__ import annotations

from collections.abc import Iterator

from ganwatch.core.detector import Detector, DetectorResult, FailureKind, NotApplicable, Severity, Verdict
from ganwatch.core.readings import Readings, is_finite
from ganwatch.core.statistics import Streak


class CopiedSamples(Detector):
    """Fire when generated samples keep lying nearer to training samples than to held-out ones.

    Parameters
    ----------
    min_share_with_copies : float, in (0.5, 1)
        Share of generated samples nearer to training than to held-out samples that is enough together with near copies.
    min_share : float, in (0.5, 1)
        Share that is enough without near copies.
    min_sigmas : float, standard errors
        Excess of the share over one half.
    min_copy_share : float, ratio
        Share of near copies that counts; one in a hundred is so by chance.
    min_vendi_ratio : float, ratio
        Vendi score of generated samples against real ones below which they are too few to say anything.
    confirmations : int, evaluations
        Consecutive evaluations that must agree.

    Examples
    --------
    >>> readings, onset = CopiedSamples.demo(seed=0)
    >>> detector = CopiedSamples()
    >>> fired = next(r.step for r in readings if detector.update(r))
    >>> onset <= fired <= onset + 10
    True
    """

    code = "GW103"
    title = "memorisation"
    severity = Severity.TICKET
    kind = FailureKind.DIVERSITY
    inputs = ("memorisation", "memorisation_error", "copy_share", "frechet", "vendi_ratio")
    required = (("memorisation",),)
    is_optional = True
    causal_priority = 2
    tunable = {
        "min_share_with_copies": (0.55, 0.8),
        "min_share": (0.65, 0.98),
        "min_sigmas": (2.0, 8.0),
        "min_copy_share": (0.03, 0.3),
        "confirmations": (1, 6),
    }

    def __init__(
        self,
        *,
        min_share_with_copies: float = 0.65,
        min_share: float = 0.8,
        min_sigmas: float = 3.0,
        min_copy_share: float = 0.1,
        min_vendi_ratio: float = 0.5,
        confirmations: int = 3,
    ) -> None:
        self.min_share_with_copies, self.min_share, self.min_sigmas = min_share_with_copies, min_share, min_sigmas
        self.min_copy_share, self.min_vendi_ratio, self.confirmations = min_copy_share, min_vendi_ratio, confirmations
        self._streak = Streak(confirmations)
        self._steps: list[int] = []
        self._vendi = 1.0

    def update(self, readings: Readings) -> DetectorResult:
        share, error, copy_share, _, vendi = readings.select(self.inputs)
        if is_finite(vendi):
            self._vendi = vendi
        if not (is_finite(share) and is_finite(error) and is_finite(copy_share)):
            return None if self._steps else NotApplicable("needs held-out reals: heldout=… of watch() or GanWatch")
        self._steps = [*self._steps, readings.step][-self.confirmations :]
        min_share = self.min_share_with_copies if copy_share >= self.min_copy_share else self.min_share
        bound = max(min_share, 0.5 + self.min_sigmas * error)
        if not self._streak.update(share >= bound and self._vendi >= self.min_vendi_ratio):
            return None
        return Verdict(
            value=share,
            threshold=bound,
            signal="memorisation",
            window=self._steps[-1] - self._steps[0] + 1,
            origin="as many held-out reals of the same source",
            explanation=f"{share:.0%} of the generated samples lie nearer to a training sample than to one of as many held-out samples; "
            f"{copy_share:.0%} are near copies.",
            onset=self._steps[0],
        )

    @property
    def is_ready(self) -> bool:
        return len(self._steps) >= self.confirmations

    @classmethod
    def demo(cls, seed: int) -> tuple[Iterator[Readings], int]:
        """Simulate a generator that begins to copy. Return the readings and the onset."""
        before = {"memorisation": 0.5, "memorisation_error": 0.03, "copy_share": 0.01, "frechet": 1.0}
        return cls.simulate(seed, onset=300, before=before, after={"memorisation": 0.93, "copy_share": 0.4}, noise=0.02), 300
