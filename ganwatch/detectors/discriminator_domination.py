"""The discriminator has won, and the generator has stopped improving.

How it is detected
    The share of (real, fake) pairs that the discriminator ranks right does not depend on the loss. A verdict needs it to stay near 1 and,
    over the same time, an energy distance between fakes and reals that stays large, at nearly all sampled steps, and does not shrink. Or it
    needs it to stay large while the generator's updates have fallen to a fraction of what they were, or to a small one of the
    discriminator's, which goes on as before. A discriminator that is merely ahead of a generator that still improves is left alone.

    Where no distances are measured, as in runs that other tools recorded, the run's own past decides. Over a window the
    discriminator is far ahead of what it was: nine in ten of its losses are below a quarter of their past median, or nine in ten of
    its leads, the differences of its mean outputs, are above four times theirs. Over the same window the generator pays: three in
    four of its losses are above nearly all of their past, or its gradient norm has fallen to half. Once the discriminator's loss was
    negative, as a Wasserstein critic's is, scores and gradient norms alone count.

Why it matters
    The generator gets gradients that no longer tell it where to go. The losses look excellent: the discriminator's is near zero.

Likely causes
    The discriminator has too high a learning rate, too many updates or too much capacity for this generator; real and fake samples
    can be told apart by something trivial, such as their value range.

What to do
    Check that real and generated samples are scaled and augmented alike. Then a loss that does not saturate, or a gradient penalty;
    fewer discriminator updates, a lower discriminator learning rate, spectral normalisation.

Blind spots
    Needs to know which batch is real and which is generated. Distances are taken in pixels, so progress that is invisible there
    (semantics at equal pixel statistics) does not count.

    Without distances: a discriminator that has won from the first steps, since there is no past to compare with; one that has won a
    little, or against a loss that is bounded. The failure that let it win, such as values of another range, is not told apart.

Calibration
    On the final part of the corpus it fired on 7 of the 7 runs whose failure it names, and on 1 of 216 healthy ones (`make corpus-table`).

    With losses, mean outputs and gradient norms alone it fired on 0 of these 7, whose losses hardly change, on 17 of 24 with vanishing
    gradients, and on 1 of 216 healthy ones (`python tests/benchmarks/judging_with_less.py`).

References
    Arjovsky and Bottou, Towards principled methods for training GANs, 2017, arXiv:1701.04862.
"""

from __future__ import annotations

from collections.abc import Iterator

from ganwatch.core.coverage import MAX_GAPS
from ganwatch.core.detector import Detector, DetectorResult, FailureKind, Severity, Verdict
from ganwatch.core.lost_contest import INPUTS, LostContest
from ganwatch.core.readings import Readings
from ganwatch.core.statistics import HealthyMedian, Window

MAX_USUAL_UPDATE = 0.025
"""Usual update of D against its weights above which its learning rate is the first thing to change; at most 0.0219 in healthy recorded
runs (`python tests/benchmarks/healthy_levels.py`)."""


class DiscriminatorDomination(Detector):
    """Fire when D separates almost perfectly while fakes come no nearer to reals.

    Parameters
    ----------
    min_auc : float, in (0.5, 1)
        Share of pairs that D ranks right from which it counts as dominating.
    min_auc_slow : float, in (0.5, 1)
        The same while G hardly moves.
    slow_ratio : float, ratio
        Update-to-weight norm of G against its own healthy median below which G hardly moves.
    slow_ratio_to_d : float, ratio
        Update-to-weight norm of G against that of D below which G hardly moves.
    min_distance : float, in (0, 1)
        Energy distance below which the generator is good enough not to fire.
    min_improvement : float, ratio
        Reduction of the energy distance from one window to the next that counts as improvement.
    max_loss_ratio : float, ratio
        Where no distances are measured: loss of D against its own past below which D is far ahead.
    min_lead_ratio : float, ratio
        Where no distances are measured: difference of D's mean outputs against its own past above which D is far ahead.
    window : int, steps
        Half the length of the evidence.

    Examples
    --------
    >>> readings, onset = DiscriminatorDomination.demo(seed=0)
    >>> detector = DiscriminatorDomination()
    >>> fired = next(r.step for r in readings if detector.update(r))
    >>> onset <= fired <= onset + 500
    True
    """

    code = "GW201"
    title = "discriminator domination"
    severity = Severity.TICKET
    kind = FailureKind.BALANCE
    acts_slowly = True
    inputs = ("d_auc", "energy_distance", "update_to_weight/g", "update_to_weight/d", *INPUTS)
    required = (
        ("d_auc", "energy_distance"),
        ("loss/d", "loss/g"),
        ("d_output/real", "d_output/fake", "grad_norm/g"),
    )
    tunable = {
        "min_auc": (0.9, 0.999),
        "min_auc_slow": (0.5, 0.95),
        "slow_ratio": (0.3, 0.01),
        "slow_ratio_to_d": (0.1, 1e-3),
        "min_distance": (0.03, 0.4),
        "min_improvement": (0.3, 0.03),
        "max_loss_ratio": (0.5, 0.05),
        "min_lead_ratio": (3.0, 10.0),
        "window": (100, 400),
    }

    def __init__(
        self,
        *,
        min_auc: float = 0.98,
        min_auc_slow: float = 0.6,
        slow_ratio: float = 0.1,
        slow_ratio_to_d: float = 0.02,
        min_distance: float = 0.1,
        min_improvement: float = 0.1,
        max_loss_ratio: float = 0.25,
        min_lead_ratio: float = 4.0,
        window: int = 200,
    ) -> None:
        self.min_auc, self.min_auc_slow, self.slow_ratio, self.slow_ratio_to_d = min_auc, min_auc_slow, slow_ratio, slow_ratio_to_d
        self.min_distance, self.min_improvement, self.window = min_distance, min_improvement, window
        self.max_loss_ratio, self.min_lead_ratio = max_loss_ratio, min_lead_ratio
        self._auc = Window(window)
        self._distance = Window(window)
        self._distance_before = Window(window)
        self._updates = [Window(window), Window(window)]
        self._healthy_updates = [HealthyMedian(warmup=5), HealthyMedian(warmup=5)]
        self._contest = LostContest(max_loss_ratio=max_loss_ratio, min_lead_ratio=min_lead_ratio, window=window)
        self._has_distances = self._is_failing = False
        self._step = 0
        self._latest_distances: list[int] = []
        """Steps of the latest two distances, finite or not."""

    def update(self, readings: Readings) -> DetectorResult:
        values = readings.select(self.inputs[:4])
        is_new = any(value is not None for value in values)
        if is_new:
            self._add(readings.step, *values)
        self._has_distances = len(self._auc) > 0 and self._distances_go_on(readings.step)
        if not self._has_distances:
            return self._contest.update(readings)
        if not (is_new or self._is_failing):
            return None  # nothing has changed since the last result
        verdict = self._judge(self._step)
        self._is_failing = verdict is not None
        return verdict

    def _add(self, step: int, auc: float | None, distance: float | None, *updates: float | None) -> None:
        self._step = step
        if auc is not None:
            self._auc.add(step, auc)
        if distance is not None:
            self._latest_distances = [*self._latest_distances[-1:], step]
            if self._distance.is_full:
                self._distance_before.add(step, self._distance.oldest)
            self._distance.add(step, distance)
        for window, healthy, value in zip(self._updates, self._healthy_updates, updates, strict=True):
            if value is not None:
                window.add(step, value)
                healthy.update(value, exclude=healthy.is_ready and value < self.slow_ratio * healthy.value)

    def _judge(self, step: int) -> Verdict | None:
        """Judge by distances."""
        if not (self._auc.is_full and self._distance_before.is_full):
            return None
        ranked, now, before = self._auc.quantile(0.25), self._distance.median, self._distance_before.median
        slow = ranked >= self.min_auc_slow and self._generator_is_slow()
        # fakes that come near now and then are not held away
        is_far = now >= self.min_distance and self._distance.quantile(0.1) >= self.min_distance / 2.0
        if not slow and (ranked < self.min_auc or not is_far or now < (1.0 - self.min_improvement) * before):
            return None
        g_update, d_update = (window.median for window in self._updates)
        detail = f"; one update changes {g_update:.1g} of G's weights and {d_update:.1g} of D's" if slow else ""
        return Verdict(
            value=ranked,
            threshold=self.min_auc_slow if slow else self.min_auc,
            signal="d_auc",
            window=2 * self.window,
            origin="ranking of real above fake; the generator's progress over the same window",
            explanation=(
                f"D ranks {ranked:.1%} of pairs right, and the distance of fakes to reals went from {before:.2f} to {now:.2f} "
                f"in {self.window} steps{detail}."
            ),
            onset=max(1, step - self.window + 1),
            advice=_advise(g_update, d_update, slow=slow),
        )

    def _distances_go_on(self, step: int) -> bool:
        """Return True if distances are measured, and have not been missing for three windows or three times the usual."""
        latest = self._latest_distances
        return bool(latest) and step - latest[-1] <= MAX_GAPS * max(latest[-1] - latest[0], self.window)

    def _generator_is_slow(self) -> bool:
        """Return True if G hardly moved for a whole window while D moved as before."""
        (g_updates, d_updates), (g_healthy, d_healthy) = self._updates, self._healthy_updates
        if not (g_updates.is_full and d_updates.is_full and g_healthy.is_ready):
            return False
        limit = max(self.slow_ratio * g_healthy.value, self.slow_ratio_to_d * d_updates.median)
        return g_updates.high < limit and d_updates.median >= 0.5 * d_healthy.value

    @property
    def is_ready(self) -> bool:
        return self._auc.is_full and self._distance_before.is_full if self._has_distances else self._contest.is_ready

    @classmethod
    def demo(cls, seed: int) -> tuple[Iterator[Readings], int]:
        """Simulate a discriminator that begins to win. Return the readings and the onset."""
        readings = cls.simulate(
            seed,
            onset=500,
            before={"d_auc": 0.8, "energy_distance": 0.03, "update_to_weight/g": 1e-3, "update_to_weight/d": 1e-3},
            after={"d_auc": 0.999, "energy_distance": 0.5},
            length=600,
            noise=0.001,
        )
        return readings, 500


def _advise(g_update: float, d_update: float, *, slow: bool) -> str:
    """Return what to do first if the updates show it."""
    if slow:
        return f"raise the generator's learning rate, or find out what holds it back: one update changes {g_update:.1g} of its weights"
    if d_update > MAX_USUAL_UPDATE:
        return f"lower the discriminator's learning rate: one update changes {d_update:.1%} of its weights"
    return ""
