"""Some modes of the real data are missing among the generated samples, or groups do not have their declared share.

How it is detected
    Real samples are divided into modes: by their labels, into the groups they fall into where these are clearly apart, or else into
    clusters. Both tiers of quality are judged alike: the online one, every 80 steps, from the loop's own fakes
    (`online_share_missing/fake`), where a mode is missing that has a quarter of its share or less, and each evaluation (`modes_missing`),
    where half is enough; neither by chance. The incident needs missing modes three times in a row, in the online tier five times if they
    are few: modes that the generator had, unless the Fréchet distance falls back to what it was, or modes it has not come to while that
    distance has ceased to fall. Modes that were had are lost only if the online distance is twice what it was at best. Where shares were
    declared, groups whose share cannot be the declared one count likewise. Where the resolution of the data grows, the detector starts from
    the beginning.

Why it matters
    Outputs still vary, so nobody notices on a grid of samples. But rare modes of the data are absent among the generated samples, and
    whatever is trained or decided with these inherits the gap.

Likely causes
    Rare modes with few samples a batch; a generator with too little capacity; a truncated or averaged generator; a discriminator that
    has forgotten the modes it no longer sees; data that have lost them, which has an incident of its own.

What to do
    Look at the real samples pinned to the incident. Sample rare modes more often or weigh them; give the generator more capacity;
    condition on the mode, in balance.

Blind spots
    Modes are at least twenty real samples each, so with the default of 512 a rare one is not told apart. A mode within a cluster of
    others is not seen. Early in training missing modes are normal and raise no alarm.

Calibration
    On the final part of the corpus it fired on 7 of the 16 runs whose failure it names, and on 2 of 216 healthy ones (`make corpus-table`).
    Tests hold the rule to trainings whose generator is changed on purpose as well.

References
    Richardson and Weiss, 2018, arXiv:1805.12462 (bins whose shares differ); Yu et al., 2020, arXiv:2004.03355 (minorities are lost first).
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from ganwatch.core.detector import Detector, DetectorResult, FailureKind, Severity, Verdict
from ganwatch.core.readings import Readings, is_finite
from ganwatch.core.statistics import Plateau, Stateful, Streak

SERIES = {
    "online": ("online_share_missing/fake", "online_modes_missing/fake", "online_modes", "online_frechet/fake", "online_reference"),
    "rich": ("modes_missing", "modes_missing", "modes", "frechet", "reference"),
}
"""Inputs of each tier of quality: what is judged, missing modes, all modes, distance, and number of the reference."""
MANY = 2.0
"""Missing share against the smallest that counts, below which the online tier needs ``FEW_CONFIRMATIONS`` evaluations in a row."""
FEW_CONFIRMATIONS = 5
MIN_RISE = 0.02
"""Rise of the missing share above its lowest from which the generator had more modes, about the share of one cluster."""
ONLINE_RECOVERY_RATIO = 0.2
"""The like of ``recovery_ratio`` for the online distance, which is steadier."""
MIN_GROWTH = 2.0
"""Online distance against its lowest value of the run up to which no modes that the generator had are lost: it would be worse without."""
MIN_ONLINE_DISTANCE = 0.01
"""Floor, in variances of the reals, of the online distance, which is without bias and lies around 0 for equal distributions."""


class _MissingModes(Stateful):
    """Missing modes of one tier of quality, over the evaluations.

    Parameters
    ----------
    tier : {"online", "rich"}
    detector : ModeDropping
        The detector whose arguments apply.
    """

    def __init__(self, tier: str, detector: ModeDropping) -> None:
        self.tier, self.series, self.confirmations = tier, SERIES[tier], detector.confirmations
        self.min_missing_share, self.min_lost_share = detector.min_missing_share, detector.min_lost_share
        self.patience, self.min_improvement = detector.patience, detector.min_improvement
        self.recovery_ratio = ONLINE_RECOVERY_RATIO if tier == "online" else detector.recovery_ratio
        self.max_recovery_distance_ratio = detector.max_recovery_distance_ratio
        self._start(1.0)

    def _start(self, reference: float) -> None:
        """Start from the beginning with another reference."""
        self._reference = reference
        self._plateau = Plateau(self.patience, self.min_improvement)
        self._levels: list[float] = []
        self._distances: list[float] = []
        self._steps: list[int] = []
        self._lowest_distance = math.inf
        self._lowest_level = -1.0
        self._streak, self._few_streak = Streak(self.confirmations), Streak(max(self.confirmations, FEW_CONFIRMATIONS))
        self._has_plateaued = False

    def update(self, readings: Readings) -> Verdict | None:
        """Take the readings of a step. Return a verdict on modes that the generator had, or that it will hardly come to."""
        level, missing, modes, distance, reference = readings.select(self.series)
        if is_finite(reference) and reference != self._reference:
            self._start(reference)
        if not (is_finite(level) and is_finite(missing) and is_finite(modes) and is_finite(distance)):
            return None
        had_more = self._lowest_level >= 0.0 and level > self._lowest_level + (MIN_RISE if self.tier == "online" else 0.0)
        recovers = self._add(readings.step, level, distance)
        lasts = not recovers if had_more else self._has_plateaued
        if not self._is_confirmed(level if lasts else 0.0, modes) or (had_more and self._is_no_worse(distance)):
            return None
        where = "the loop's own batches" if self.tier == "online" else "generated samples"
        reason = "the generator had them" if had_more else "the generator has stopped improving"
        what = f"{missing:.0f} of {modes:.0f} modes of the real data are missing in {where}; {reason}."
        return self.verdict(self.series[0], level, self.min_lost_share if self.tier == "online" else 1.0, what)

    def _is_confirmed(self, level: float, modes: float) -> bool:
        """Return True if enough evaluations in a row lack enough; where few modes are missing, the online tier needs more of them."""
        if self.tier == "rich":
            return self._streak.update(level >= max(1.0, float(round(self.min_missing_share * modes))))
        many, few = self._streak.update(level >= MANY * self.min_lost_share), self._few_streak.update(level >= self.min_lost_share)
        return many or few

    def _is_no_worse(self, distance: float) -> bool:
        """Return True if the loop's own batches are about as near to the reals as ever, so that samples moved within a mode at most."""
        return self.tier == "online" and distance < MIN_GROWTH * self._lowest_distance

    def _add(self, step: int, level: float, distance: float) -> bool:
        """Add an evaluation; return True if the distance falls back to what it was."""
        distance = max(distance, MIN_ONLINE_DISTANCE) if self.tier == "online" else distance
        last = 1 - self.confirmations
        self._levels, self._steps = [*self._levels[last:], level], [*self._steps[last:], step]
        self._distances = [*self._distances[last:], distance]
        self._has_plateaued = self._plateau.update(distance)
        self._lowest_distance = min(self._lowest_distance, distance)
        if self.is_ready:  # what was missing several times in a row is not chance
            most = max(self._levels)
            self._lowest_level = most if self._lowest_level < 0.0 else min(self._lowest_level, most)
        is_close = distance < self.max_recovery_distance_ratio * self._lowest_distance
        return distance < (1.0 - self.recovery_ratio) * max(self._distances) and is_close

    @property
    def is_ready(self) -> bool:
        """True after enough evaluations."""
        return len(self._steps) >= self.confirmations

    @property
    def has_plateaued(self) -> bool:
        """True if the distance has ceased to fall."""
        return self._has_plateaued

    def verdict(self, signal: str, value: float, threshold: float, explanation: str) -> Verdict:
        """Return a verdict from the evaluations that agree."""
        return Verdict(
            value=value,
            threshold=threshold,
            signal=signal,
            window=self._steps[-1] - self._steps[0] + 1,
            origin="real samples of the same training",
            explanation=explanation,
        )


class ModeDropping(Detector):
    """Fire when modes that were there stay missing, or when the generator has stopped improving without them.

    Parameters
    ----------
    min_missing_share : float, ratio
        Share of the modes that must be missing in an evaluation, rounded but at least one. Of some twenty clusters one or two may be
        missing by chance.
    min_lost_share : float, ratio
        Share of the reals whose modes must be missing in the loop's own batches.
    min_improvement : float, ratio
        Reduction of the Fréchet distance within ``patience`` evaluations that counts as improvement.
    patience : int, evaluations
    confirmations : int, evaluations
        Consecutive evaluations that must agree.
    recovery_ratio : float, ratio
        Reduction of the distance from its highest value of these evaluations from which missing modes count as coming back.
    max_recovery_distance_ratio : float, ratio
        Distance against its lowest value of the run below which that holds.

    Examples
    --------
    >>> readings, onset = ModeDropping.demo(seed=0)
    >>> detector = ModeDropping()
    >>> fired = next(r.step for r in readings if detector.update(r))
    >>> onset <= fired <= onset + 200
    True
    """

    code = "GW102"
    title = "mode dropping"
    severity = Severity.TICKET
    kind = FailureKind.DIVERSITY
    inputs = (*SERIES["online"], *SERIES["rich"][1:], "groups_off_target")
    required = (SERIES["online"][:4], SERIES["rich"][1:4])
    causal_priority = 1
    tunable = {
        "min_missing_share": (0.04, 0.4),
        "min_lost_share": (0.04, 0.3),
        "min_improvement": (0.3, 0.02),
        "patience": (2, 12),
        "confirmations": (2, 8),
    }

    def __init__(
        self,
        *,
        min_missing_share: float = 0.12,
        min_lost_share: float = 0.08,
        min_improvement: float = 0.1,
        patience: int = 5,
        confirmations: int = 3,
        recovery_ratio: float = 0.35,
        max_recovery_distance_ratio: float = 4.0,
    ) -> None:
        self.min_missing_share, self.min_lost_share, self.min_improvement = min_missing_share, min_lost_share, min_improvement
        self.patience, self.confirmations = patience, confirmations
        self.recovery_ratio, self.max_recovery_distance_ratio = recovery_ratio, max_recovery_distance_ratio
        self._tiers = {tier: _MissingModes(tier, self) for tier in SERIES}
        self._off_target_streak = Streak(confirmations)

    def update(self, readings: Readings) -> DetectorResult:
        verdicts = [tier.update(readings) for tier in self._tiers.values()]
        return next((verdict for verdict in verdicts if verdict is not None), self._evaluate_groups(readings))

    def _evaluate_groups(self, readings: Readings) -> Verdict | None:
        off_target, evaluations = readings.values.get("groups_off_target"), self._tiers["rich"]
        if not is_finite(off_target):
            return None
        if not self._off_target_streak.update(off_target >= 1.0 and evaluations.has_plateaued):
            return None
        return evaluations.verdict("groups_off_target", off_target, 1.0, f"{off_target:.0f} groups cannot have their declared share.")

    @property
    def is_ready(self) -> bool:
        return any(state.is_ready for state in self._tiers.values())

    @classmethod
    def demo(cls, seed: int) -> tuple[Iterator[Readings], int]:
        """Simulate three of twenty modes vanishing. Return the readings and the onset."""
        before = {"modes_missing": 0.0, "modes": 20.0, "frechet": 1.0}
        return cls.simulate(seed, onset=300, before=before, after={"modes_missing": 3.0}, noise=0.0), 300
