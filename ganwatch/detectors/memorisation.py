"""Generated samples are copies of training samples.

How it is detected
    In features, at each evaluation: the share of generated samples whose nearest real sample is one that was trained on, and not one of
    as many that were held out. Without memorisation it is one half, however good or bad the samples are. And the share of near copies,
    which lie closer to a training sample, in units of the distance to the tenth nearest, than all but one in a hundred held-out samples
    do. A verdict needs, three evaluations in a row, a share that sampling error does not explain together with either copies or a share
    near 1.

Why it matters
    What is published are training samples, with whatever is private or protected in them; and the variety is that of a small data set.

Likely causes
    Few training samples for the capacity of the networks and the length of the training; a discriminator that knows them by heart; the same
    samples many times over in the data.

What to do
    Look at generated samples beside their nearest training samples, and have somebody responsible for privacy look too, before anything
    leaves the house. More data, augmentation, an earlier checkpoint.

Blind spots
    Needs held-out reals (`heldout=`) of the same source. Only the first real samples of the training (512 unless `Quality(reals=…)` says
    otherwise) are compared with, so copies of others out of a large data set are not seen. Evaluations are few, as they may take 1 % of
    the time.

Calibration
    On the final part of the corpus it fired on 4 of the 22 runs whose failure it names, and on 0 of 216 healthy ones (`make corpus-table`).

References
    Meehan, Chaudhuri and Dasgupta, 2020, arXiv:2004.05675 (copying against held-out samples). Yale et al., 2019 (nearest neighbours in
    training and test data). Feng et al., 2021, arXiv:2106.01932 (when GANs replicate).
"""

from __future__ import annotations

from collections.abc import Iterator

from ganwatch.core.detector import Detector, NotApplicable, Outcome, Severity, Verdict
from ganwatch.core.readings import Readings, finite
from ganwatch.core.statistics import Streak


class CopiedSamples(Detector):
    """Fire when generated samples keep lying nearer to training samples than to held-out ones.

    Parameters
    ----------
    nearer, nearest : float, in (0.5, 1)
        Share of generated samples nearer to training than to held-out samples that is suspect where there are copies, and that is enough
        alone.
    errors : float, standard errors
        By which it has to exceed one half too.
    copies : float, ratio
        Share of near copies that counts; one in a hundred is so by chance.
    confirm : int, evaluations
        In a row that have to agree.

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
    inputs = ("memorisation", "memorisation_error", "copy_share", "frechet")
    causal_priority = 2
    tunable = {"nearer": (0.55, 0.8), "nearest": (0.65, 0.98), "errors": (2.0, 8.0), "copies": (0.03, 0.3), "confirm": (1, 6)}

    def __init__(self, *, nearer: float = 0.65, nearest: float = 0.8, errors: float = 3.0, copies: float = 0.1, confirm: int = 3) -> None:
        self.nearer, self.nearest, self.errors, self.copies, self.confirm = nearer, nearest, errors, copies, confirm
        self._streak = Streak(confirm)
        self._steps: list[int] = []

    def update(self, readings: Readings) -> Outcome:
        share, error, copies, _ = readings.select(self.inputs)
        if not (finite(share) and finite(error) and finite(copies)):
            return None if self._steps else NotApplicable("needs held-out reals: heldout=… of watch() or GanWatch")
        self._steps = [*self._steps, readings.step][-self.confirm :]
        bound = max(self.nearer if copies >= self.copies else self.nearest, 0.5 + self.errors * error)
        if not self._streak.extend(share >= bound):
            return None
        return Verdict(
            value=share,
            threshold=bound,
            signal="memorisation",
            window=self._steps[-1] - self._steps[0] + 1,
            origin="as many held-out reals of the same source",
            explanation=f"{share:.0%} of the generated samples lie nearer to a training sample than to one of as many held-out samples; "
            f"{copies:.0%} are near copies.",
            onset=self._steps[0],
        )

    @classmethod
    def demo(cls, seed: int) -> tuple[Iterator[Readings], int]:
        """A stream whose generator begins to copy, and the step at which it does."""
        before = {"memorisation": 0.5, "memorisation_error": 0.03, "copy_share": 0.01, "frechet": 1.0}
        return cls.stream(seed, onset=300, before=before, after={"memorisation": 0.93, "copy_share": 0.4}, noise=0.02), 300
