"""Some kinds of real data are missing among the generated, or groups do not have the share that was declared.

How it is detected
    Real samples are divided into kinds, by their labels, into the groups they fall into where these are clearly apart, or else into
    clusters. A kind is missing where half of its share or less is
    generated and that is no chance (exact binomial probability, corrected over the kinds). The incident needs it three evaluations in
    a row: kinds that the generator had, unless the Fréchet distance falls back to what it was, or kinds it has not come to while that
    distance has ceased to fall. Where shares were declared, groups whose share cannot be the declared one count likewise. Where the
    resolution of the data grows, all begins anew.

Why it matters
    Outputs still vary, so nobody notices on a grid of samples; but what is rare in the data is absent from what is generated, and
    whatever is trained or decided with it inherits the gap.

Likely causes
    Rare kinds with few samples a batch; a generator with too little capacity; a truncated or averaged generator; a discriminator that
    has forgotten the kinds it no longer sees.

What to do
    Look at the real samples pinned to the incident. Sample rare kinds more often or weigh them; give the generator more capacity;
    condition on the kind, in balance.

Blind spots
    Kinds are at least twenty real samples each, so with the 512 of the default a rare one is not told apart. A kind within a cluster of
    others is not seen. Early in training missing kinds are normal and nothing is said.

Calibration
    On the final part of the corpus it fired on 7 of the 16 runs whose failure it names, and on 2 of 216 healthy ones (`make corpus-table`).
    Tests hold the rule to trainings whose generator is changed on purpose as well.

References
    Richardson and Weiss, 2018, arXiv:1805.12462 (bins whose shares differ); Yu et al., 2020, arXiv:2004.03355 (minorities are lost first).
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from ganwatch.core.detector import Detector, Outcome, Severity, Verdict
from ganwatch.core.readings import Readings, finite
from ganwatch.core.statistics import Plateau, Streak


class ModeDropping(Detector):
    """Fire when kinds stay missing that were there, or that a generator does not come to any more.

    Parameters
    ----------
    share : float, ratio
        Part of the kinds that has to be missing, rounded but never none: of some twenty clusters one or two may be missing by chance.
    gain : float, ratio
        Part of the Fréchet distance by which it has to fall within ``patience`` evaluations for the generator to be on its way still.
    patience : int, evaluations
    confirm : int, evaluations
        In a row that have to agree.
    back : float, ratio
        Part of its highest value of these by which the distance has fallen where kinds that went missing are on their way back.
    near : float, ratio
        Times its lowest value at most that the distance is then.

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
    inputs = ("modes_missing", "modes", "frechet", "groups_off_target", "reference")
    causal_priority = 1
    tunable = {"share": (0.04, 0.4), "gain": (0.3, 0.02), "patience": (2, 12), "confirm": (2, 8)}

    def __init__(
        self, *, share: float = 0.12, gain: float = 0.1, patience: int = 5, confirm: int = 3, back: float = 0.35, near: float = 4.0
    ) -> None:
        self.share, self.gain, self.patience, self.confirm = share, gain, patience, confirm
        self.back, self.near = back, near
        self._begin(1.0)

    def _begin(self, reference: float) -> None:
        """Know nothing yet of what is compared with these reals."""
        self._reference = reference
        self._plateau = Plateau(self.patience, self.gain)
        self._missing: list[float] = []
        self._distances: list[float] = []
        self._best = math.inf
        self._steps: list[int] = []
        self._fewest = -1.0
        self._lost, self._off = Streak(self.confirm), Streak(self.confirm)

    def update(self, readings: Readings) -> Outcome:
        missing, kinds, distance, off, reference = readings.select(self.inputs)
        if finite(reference) and reference != self._reference:
            self._begin(reference)
        if not (finite(missing) and finite(kinds) and finite(distance)):
            return None
        self._missing = [*self._missing, missing][-self.confirm :]
        self._steps = [*self._steps, readings.step][-self.confirm :]
        self._distances = [*self._distances, distance][-self.confirm :]
        settled = self._plateau.extend(distance)
        self._best = min(self._best, distance)
        returns = distance < (1.0 - self.back) * max(self._distances) and distance < self.near * self._best
        had = self._fewest >= 0.0 and missing > self._fewest
        many = missing >= max(1.0, float(round(self.share * kinds)))
        if len(self._missing) == self.confirm:  # so few were missing several times in a row, not by chance
            most = max(self._missing)
            self._fewest = most if self._fewest < 0.0 else min(self._fewest, most)
        lost = self._lost.extend(many and (not returns if had else settled))
        off_target = self._off.extend(finite(off) and off >= 1.0 and settled)
        if lost:
            after = "that the generator had" if had else "and the generator has ceased to improve"
            return self._verdict("modes_missing", missing, f"{missing:.0f} of {kinds:.0f} kinds of real data are missing, {after}.")
        if off_target and finite(off):
            return self._verdict("groups_off_target", off, f"{off:.0f} groups cannot have the share that was declared for them.")
        return None

    def _verdict(self, signal: str, value: float, explanation: str) -> Verdict:
        return Verdict(
            value=value,
            threshold=1.0,
            signal=signal,
            window=self._steps[-1] - self._steps[0] + 1,
            origin="real samples of the same training",
            explanation=explanation,
        )

    @classmethod
    def demo(cls, seed: int) -> tuple[Iterator[Readings], int]:
        """A stream in which three of twenty kinds vanish, and the step at which they do."""
        before = {"modes_missing": 0.0, "modes": 20.0, "frechet": 1.0}
        return cls.stream(seed, onset=300, before=before, after={"modes_missing": 3.0}, noise=0.0), 300
