"""A conditional generator does not produce the requested labels.

How it is detected
    Generated samples are classified by the labels of the nearest real ones, and real samples by those of the others. The share of generated
    samples that have the requested label is compared with that of the real ones, over three evaluations in a row, once the Fréchet distance
    has ceased to fall. Both tiers of quality are judged alike: the online one, every 80 steps, from the loop's own batches, and each
    evaluation. Agreement no better than chance counts while the distance still falls: over five evaluations in a row whose samples show at
    least half of the labels, over three if the labels were obeyed before, and over ten in any case. Agreement far below chance counts after
    two evaluations of one tier, because fakes then have other labels than requested. Reals that share their label with the most similar
    ones no more often than by chance have labels that tell nothing about them; this takes three labels or more, and samples that have near
    neighbours at all, unlike noise. Agreement that rises is being learned and does not count as chance.

Why it matters
    A request for one label gives samples of another; balanced conditions give no balanced samples.

Likely causes
    The discriminator gets other labels with generated samples than the generator was asked for, so that it tells them by their labels
    alone; the label does not reach the generator, or too weakly; wrong labels in the data.

What to do
    Check that the labels in the data are right and are given to both networks. Then a stronger conditioning (conditional normalisation,
    projection), or an auxiliary loss on the label.

Blind spots
    Needs labels from the loop: integers or one-hot, beside latents, and beside real samples in the discriminator's call or in the loader's
    batch. Chance is one in as many labels as there are; where one label is far more frequent than the others, it is more, and only the end
    of the improvement counts. Labels of samples that are grouped, but not by
    their labels, look like shuffled ones.

Calibration
    It is judged on the conditional trainings of `tests/wiring` (`python tests/wiring/main.py`).

References
    Shmelkov et al., 2018, arXiv:1807.09499 (how good is my GAN?); Miyato and Koyama, 2018, arXiv:1802.05637 (projection).
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from ganwatch.core.detector import Detector, DetectorResult, FailureKind, Severity, Verdict
from ganwatch.core.readings import Readings, is_finite
from ganwatch.core.statistics import Plateau, Stateful, Streak

CHANCE_SHARE = 0.25
"""Part of the way from chance to the agreement of real samples below which agreement is no better than chance."""
MAX_MISSING_SHARE = 0.5
"""Share of the labels without samples up to which the samples are good enough for their labels to be judged."""
SERIES = {
    "online": (
        "online_label_agreement/fake", "online_label_agreement_error/fake", "online_label_agreement/real", "online_frechet/fake",
        "online_modes", "online_modes_missing/fake",
    ),
    "rich": (
        "label_agreement/fake", "label_agreement_error/fake", "label_agreement/real", "frechet", "modes", "modes_missing",
    ),
}  # fmt: skip
"""Inputs of each tier of quality: agreement, its error, that of reals, distance, modes, and missing ones."""
RISE_SIGMAS = 2.5
"""Standard errors above that of ``patience`` evaluations before from which agreement is being learned."""
COMPARED = tuple(
    f"online_label_{what}/{batch}" for batch in ("fake", "real") for what in ("agreement", "agreement_error", "chance")
)
"""Agreement, its error, and what chance would give, of fakes and of reals."""
BELOW_CHANCE = 0.75
"""Agreement of fakes against chance below which they have other labels than the requested ones."""
BELOW_SIGMAS, BELOW_CONFIRMATIONS = 2.0, 2
"""Standard errors that this takes, and evaluations in a row."""
UNRELATED_SIGMAS, MAX_CHANCE = 2.0, 0.35
"""Standard errors above chance that the agreement of reals must exceed, and the chance up to which this is asked, so of three labels or
more."""
MIN_ONLINE_DISTANCE = 0.01
"""Floor, in variances of the reals, of the online distance, which is without bias and lies around 0 for equal distributions."""


class _Agreement(Stateful):
    """Agreement with the requested labels in one tier of quality, over the evaluations.

    Parameters
    ----------
    detector : WeakConditioning
        The detector whose arguments apply.
    """

    def __init__(self, detector: WeakConditioning) -> None:
        self.agreement_ratio, self.min_sigmas = detector.agreement_ratio, detector.min_sigmas
        self.patience, self.confirmations = detector.patience, detector.confirmations
        self._plateau = Plateau(detector.patience, detector.min_improvement)
        self._steps: list[int] = []
        self._weak_streak = Streak(detector.confirmations)
        self._was_obeyed = self._was_better = False
        """True if labels were obeyed at some evaluation, and if agreement was better than chance at some."""
        self._levels: list[float] = []
        """Agreement at the latest evaluations."""
        self._chance_steps: list[int] = []
        """Steps of the evaluations in a row at which agreement was no better than chance."""
        self._shown_streak = 0
        """Evaluations among them, the latest in a row, whose samples show most of the labels."""

    def update(self, readings: Readings, names: tuple[str, ...]) -> Verdict | None:
        """Take the readings of a step."""
        fake, error, real, distance, modes, missing = readings.select(names)
        if not (is_finite(fake) and is_finite(error) and is_finite(real) and is_finite(distance)):
            return None
        self._steps = [*self._steps, readings.step][-self.confirmations :]
        has_plateaued = self._plateau.update(max(distance, MIN_ONLINE_DISTANCE) if names == SERIES["online"] else distance)
        threshold = self.agreement_ratio * real
        is_weak = fake + self.min_sigmas * max(error, math.ulp(1.0)) < threshold
        weak_for_long = self._weak_streak.update(has_plateaued and is_weak)
        chance = 1.0 / modes if modes else 0.0
        chance_bound = chance + CHANCE_SHARE * (real - chance)
        self._update_chance(
            readings.step,
            is_chance=fake + self.min_sigmas / math.sqrt(self.patience) * error < chance_bound and not self._rises(fake, error),
            shows_labels=bool(modes) and missing is not None and missing <= MAX_MISSING_SHARE * (modes or 0.0),
        )
        self._was_obeyed = self._was_obeyed or fake >= threshold
        needed = self.confirmations if self._was_obeyed else self.patience
        is_ignored = self._shown_streak >= needed or len(self._chance_steps) >= 2 * self.patience
        if not (weak_for_long or is_ignored):
            return None
        first = self._chance_steps[-needed:][0] if is_ignored else self._steps[0]
        return Verdict(
            value=fake,
            threshold=chance_bound if is_ignored else threshold,
            signal=names[0],
            window=readings.step - first + 1,
            origin="the agreement of real samples",
            onset=self._find_onset() if is_ignored else None,
            explanation=f"{fake:.0%} of the generated samples have the requested label, {real:.0%} of the real ones theirs.",
        )

    def _rises(self, fake: float, error: float) -> bool:
        """Return True if agreement is clearly higher than ``patience`` evaluations before, so that it is being learned."""
        self._levels = [*self._levels, fake][-self.patience :]
        return fake > self._levels[0] + RISE_SIGMAS * error

    def _find_onset(self) -> int:
        """Return the first step if samples of most labels never had the requested one, else that of the streak's first evaluation."""
        return 1 if self._shown_streak and not self._was_better else self._chance_steps[0]

    def _update_chance(self, step: int, *, is_chance: bool, shows_labels: bool) -> None:
        """Take an evaluation into the streak of those at which agreement is no better than chance."""
        self._was_better = self._was_better or not is_chance
        self._chance_steps = [*self._chance_steps, step][-2 * self.patience :] if is_chance else []
        self._shown_streak = self._shown_streak + 1 if is_chance and shows_labels else 0

    @property
    def is_ready(self) -> bool:
        """True after enough evaluations."""
        return len(self._steps) >= self.confirmations


class _Mislabelled(Stateful):
    """Labels that are wrong rather than weakly obeyed: fakes have other ones than requested, or those of reals tell nothing about them.

    What the loop shows and what the generator gives on request are judged apart: where the discriminator gets other labels than the
    generator was asked for, the loop's own batches agree with them.
    """

    def __init__(self, confirmations: int) -> None:
        self._below = {tier: _BelowChance() for tier in SERIES}
        self._unrelated = Streak(confirmations)

    def update(self, readings: Readings) -> Verdict | None:
        """Take the readings of a step."""
        fake, fake_error, fake_chance, real, real_error, real_chance = readings.select(COMPARED)
        found = self._update_rich(readings)
        if not (is_finite(fake) and is_finite(fake_error) and is_finite(fake_chance)):
            return found
        if not (is_finite(real) and is_finite(real_error) and is_finite(real_chance)):
            return found
        is_unrelated = real_chance <= MAX_CHANCE and real < real_chance + UNRELATED_SIGMAS * real_error
        if self._unrelated.update(is_unrelated):
            text = f"{real:.0%} of the real samples have the label of the most similar ones, which is what chance gives."
            return _mislabelled(readings.step, (COMPARED[3], real, real_chance + UNRELATED_SIGMAS * real_error), 1, text)
        return self._below["online"].update(readings.step, COMPARED[0], fake, fake_error, 0.0 if is_unrelated else fake_chance) or found

    def _update_rich(self, readings: Readings) -> Verdict | None:
        fake, error, real, _, modes, missing = readings.select(SERIES["rich"])
        if not (is_finite(fake) and is_finite(error) and is_finite(real) and is_finite(modes) and is_finite(missing) and modes > 0.0):
            return None
        is_judged = missing <= MAX_MISSING_SHARE * modes and real - UNRELATED_SIGMAS * error > 1.0 / modes
        return self._below["rich"].update(readings.step, SERIES["rich"][0], fake, error, 1.0 / modes if is_judged else 0.0)


class _BelowChance(Stateful):
    """Agreement of fakes with the requested labels that is far below chance."""

    def __init__(self) -> None:
        self._streak = Streak(BELOW_CONFIRMATIONS)
        self._since: int | None = None
        """First evaluation below chance, 1 if agreement was never better than chance."""
        self._was_better = False

    def update(self, step: int, signal: str, fake: float, error: float, chance: float) -> Verdict | None:
        """Take an evaluation with what chance would give, 0 where that cannot be said."""
        bound = BELOW_CHANCE * chance
        is_below = fake + BELOW_SIGMAS * error < bound
        self._was_better = self._was_better or fake - BELOW_SIGMAS * error > chance > 0.0
        self._since = (self._since or (step if self._was_better else 1)) if is_below else None
        if not self._streak.update(is_below) or self._since is None:
            return None
        text = f"{fake:.0%} of the generated samples have the requested label, fewer than chance would give: they have other ones."
        return _mislabelled(step, (signal, fake, bound), self._since, text)


def _mislabelled(step: int, evidence: tuple[str, float, float], since: int, text: str) -> Verdict:
    signal, value, threshold = evidence
    advice = "check that each sample comes with its own label, and that both networks get the same numbers for the same labels"
    return Verdict(value, threshold, signal, max(1, step - since + 1), "agreement by chance", text, onset=since, advice=advice)


class WeakConditioning(Detector):
    """Fire when generated samples have the requested label far more seldom than real ones have theirs.

    Parameters
    ----------
    agreement_ratio : float, ratio
        Agreement of generated samples against that of real ones below which conditioning is weak.
    min_sigmas : float, standard errors
        Number of standard errors by which it must lie below.
    min_improvement : float, ratio
        Reduction of the Fréchet distance within ``patience`` evaluations that counts as improvement.
    patience : int, evaluations
    confirmations : int, evaluations
        Consecutive evaluations that must agree.

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
    kind = FailureKind.DIVERSITY
    is_optional = True
    explains = ("GW101", "GW201", "GW301")
    inputs = tuple(dict.fromkeys((*(name for names in SERIES.values() for name in names), *COMPARED)))
    required = tuple(names[:4] for names in SERIES.values())
    tunable = {
        "agreement_ratio": (0.9, 0.4),
        "min_sigmas": (2.0, 8.0),
        "min_improvement": (0.3, 0.02),
        "patience": (2, 12),
        "confirmations": (2, 8),
    }

    def __init__(
        self,
        *,
        agreement_ratio: float = 0.7,
        min_sigmas: float = 4.0,
        min_improvement: float = 0.1,
        patience: int = 5,
        confirmations: int = 3,
    ) -> None:
        self.agreement_ratio, self.min_sigmas, self.min_improvement = agreement_ratio, min_sigmas, min_improvement
        self.patience, self.confirmations = patience, confirmations
        self._tiers = {tier: _Agreement(self) for tier in SERIES}
        self._mislabelled = _Mislabelled(confirmations)

    def update(self, readings: Readings) -> DetectorResult:
        verdicts = [self._tiers[tier].update(readings, names) for tier, names in SERIES.items()]
        return next((verdict for verdict in (self._mislabelled.update(readings), *verdicts) if verdict is not None), None)

    @property
    def is_ready(self) -> bool:
        return any(tier.is_ready for tier in self._tiers.values())

    @classmethod
    def demo(cls, seed: int) -> tuple[Iterator[Readings], int]:
        """Simulate an agreement that falls to chance. Return the readings and the onset."""
        before = {"label_agreement/fake": 0.9, "label_agreement_error/fake": 0.01, "label_agreement/real": 0.95, "frechet": 1.0}
        return cls.simulate(seed, onset=300, before=before, after={"label_agreement/fake": 0.1}, noise=0.0), 300
