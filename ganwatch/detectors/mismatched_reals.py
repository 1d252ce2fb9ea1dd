"""Held-out reals are of kinds that the training data lack.

How it is detected
    In features, once enough training reals have come: the share of held-out reals (`heldout=`) that are far from every training real, and
    the share that lies in cells of the data most of whose reals are far. Far is farther than the nearest other sample is for all but one
    in twenty, within as many held-out and within as many training reals, so augmented training reals make nothing far. Of one source
    about one in twenty is far, in every cell alike. A verdict needs both shares, the first beyond its standard error.

Why it matters
    The generator can not learn kinds that it is not shown, and what is measured against held-out reals, such as overfitting and
    memorisation, compares two different sets of data.

Likely causes
    A filter, a class or a folder that one split has and the other has not; data sorted by label and split without shuffling; a sampler
    that draws from a part of the data; another crop or preprocessing of one split.

What to do
    Compare the labels, sources and transforms of both splits. Shuffle before splitting. Give `heldout=` data of the same source and
    preprocessing as the training's.

Blind spots
    Needs held-out reals of the same mean and spread as the training's; ganwatch warns and compares nothing where these differ. Only the
    first training reals are compared (512 unless `Quality(reals=…)` says otherwise), so data in a fixed order look as if kinds were
    missing. One or two missing kinds of ten are too few, as are fewer than a hundred held-out reals, and the features must separate the
    kinds. Kinds that only the training has are not looked for.

Calibration
    It is judged on the trainings of `tests/wiring` (`python tests/wiring/main.py`).

References
    Gretton et al., A kernel two-sample test, JMLR 2012 (the question). Henze, A multivariate two-sample test based on the number of
    nearest neighbor type coincidences, 1988.
"""

from __future__ import annotations

from collections.abc import Iterator

from ganwatch.core.detector import Detector, DetectorResult, FailureKind, NotApplicable, Severity, Verdict
from ganwatch.core.readings import Readings, is_finite


class MismatchedReals(Detector):
    """Fire when many held-out reals are of kinds that the training reals lack.

    Parameters
    ----------
    min_far_share : float, in (0, 1)
        Share of held-out reals far from every training real from which the two differ.
    min_lacking_share : float, in (0, 1)
        Share of held-out reals in cells most of whose reals are far.
    min_sigmas : float, standard errors
        Number of standard errors by which the share of far ones must exceed one in twenty.

    Examples
    --------
    >>> readings, onset = MismatchedReals.demo(seed=0)
    >>> detector = MismatchedReals()
    >>> next(r.step for r in readings if detector.update(r)) == onset
    True
    """

    code = "GW008"
    title = "mismatched reals"
    severity = Severity.TICKET
    kind = FailureKind.WIRING
    causal_priority = 8
    is_optional = True
    inputs = ("heldout_far", "heldout_far_error", "heldout_lacking", "frechet")
    required = (("heldout_far",),)
    tunable = {"min_far_share": (0.1, 0.5), "min_lacking_share": (0.1, 0.6), "min_sigmas": (2.0, 8.0)}

    def __init__(self, *, min_far_share: float = 0.15, min_lacking_share: float = 0.25, min_sigmas: float = 4.0) -> None:
        self.min_far_share, self.min_lacking_share, self.min_sigmas = min_far_share, min_lacking_share, min_sigmas
        self._has_measured = False

    def update(self, readings: Readings) -> DetectorResult:
        far, error, lacking, _ = readings.select(self.inputs)
        if not (is_finite(far) and is_finite(error) and is_finite(lacking)):
            return None if self._has_measured else NotApplicable("needs held-out reals: heldout=… of watch() or GanWatch")
        self._has_measured = True
        bound = max(self.min_far_share, 0.05 + self.min_sigmas * error)
        if far < bound or lacking < self.min_lacking_share:
            return None
        return Verdict(
            value=far,
            threshold=bound,
            signal="heldout_far",
            window=1,
            origin="distances within each of the two sets",
            explanation=f"{far:.0%} of the held-out reals are far from every training real, and {lacking:.0%} are of kinds that the "
            "training lacks.",
        )

    @property
    def is_ready(self) -> bool:
        return self._has_measured

    @classmethod
    def demo(cls, seed: int) -> tuple[Iterator[Readings], int]:
        """Simulate reals that begin to differ. Return the readings and the onset."""
        before = {"heldout_far": 0.05, "heldout_far_error": 0.015, "heldout_lacking": 0.0}
        return cls.simulate(seed, onset=200, before=before, after={"heldout_far": 0.45, "heldout_lacking": 0.3}), 200
