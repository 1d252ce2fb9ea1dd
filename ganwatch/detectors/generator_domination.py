"""The discriminator has stopped telling real from fake, and nothing corrects the generator.

How it is detected
    By relations that no scaling of a loss changes and that have to hold together, over a window. The energy distance between fakes and
    reals stays large and does not shrink. The discriminator's updates hardly move its weights, in relation to them or to what they did
    while it was ahead. And either it ranks no more pairs right than chance does while the fakes are diverse, since a collapsed generator
    fools one that is merely slow; or it has stopped altogether and is losing its lead while the generator goes on. At a good optimum chance
    is all that a discriminator reaches too, but the fakes are near the real data then. Where its weights do not move at all while the
    generator's do, the distance is not waited for. How much the discriminator moves does not count where nearly all pairs are ranked wrong
    for a whole window, nor where it ranks by chance for 400 steps while varied fakes are far from the reals at each of them.

Why it matters
    The generator is pushed wherever a blind discriminator gives high scores. Its loss falls and looks like progress while samples get
    worse or stay noise.

Likely causes
    A discriminator that is frozen, whose learning rate is far too low or has fallen to nothing, or whose optimizer has other parameters; a
    generator that is updated much more often or at a much higher learning rate; a gradient penalty or clipping that leaves the
    discriminator no slope.

What to do
    Check that the discriminator's parameters require gradients and that its optimizer has them. Then a higher learning rate for the
    discriminator or a lower one for the generator; more discriminator updates; more capacity for the discriminator.

Blind spots
    A discriminator that learns at its usual rate and still ranks by chance is found after 400 steps only, and not if its fakes have
    collapsed. One that no optimizer steps gives no reading; `status()` says so. One whose gradients are all zero since the start, at its
    output too, is not trained yet, by design, and is left alone; where its loss has a gradient at the output and none at the weights, reals
    and fakes are the same. Distances are taken in pixels.

Calibration
    On the final part of the corpus it fired on 24 of the 24 runs whose failure it names, and on 0 of 216 healthy ones
    (`make corpus-table`).

References
    Goodfellow et al., 2014, arXiv:1406.2661 (the discriminator near its optimum is what the generator's objective rests on); Heusel et
    al., 2017, arXiv:1706.08500 (learning rates of the two).
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator

from ganwatch.core.detector import Detector, DetectorResult, FailureKind, Severity, Verdict
from ganwatch.core.readings import Readings
from ganwatch.core.statistics import HealthyMedian, Stateful, Window

OUTMATCHED = (0.35, 0.65)
"""Share of pairs ranked right between which a discriminator sees no difference, whatever it learns."""
OUTMATCHED_DISTANCE, OUTMATCHED_WINDOW = 0.2, 400
"""Energy distance that such a discriminator must have missed at every sampled step of so many steps."""
MAX_APPROACH = 0.9
"""Distance of the second half of the window against that of the first below which fakes come nearer."""
MIN_SPREAD = 0.2
"""Pairwise distance of fakes against reals below which a discriminator that is fooled has a collapsed generator before it."""


class _Outmatched(Stateful):
    """A discriminator that learns and sees no difference for long, although fakes are varied and far from the reals all the time.

    Parameters
    ----------
    min_diversity : float, ratio
        Pairwise distance of fakes against reals at the least.
    """

    def __init__(self, min_diversity: float) -> None:
        self.min_diversity = min_diversity
        self._auc, self._distance, self._diversity = (Window(OUTMATCHED_WINDOW) for _ in range(3))

    def add(self, step: int, auc: float | None, distance: float | None, diversity: float | None) -> None:
        """Add the readings of a step."""
        for window, value in ((self._auc, auc), (self._distance, distance), (self._diversity, diversity)):
            if value is not None:
                window.add(step, value)

    def find(self, step: int) -> Verdict | None:
        """Return the verdict, if it has lasted for the whole window and fakes come no nearer."""
        auc, distance = self._auc, self._distance
        if not (auc.is_full and distance.is_full and self._diversity.is_full):
            return None
        low, high = OUTMATCHED
        first, last = (statistics.median(half) for half in (distance.values[: len(distance) // 2], distance.values[len(distance) // 2 :]))
        sees_nothing = low < auc.quantile(0.25) and auc.quantile(0.75) < high
        is_far = distance.low >= OUTMATCHED_DISTANCE and last >= MAX_APPROACH * first
        if not (sees_nothing and is_far and self._diversity.median >= self.min_diversity):
            return None
        return Verdict(
            value=auc.median,
            threshold=high,
            signal="d_auc",
            window=OUTMATCHED_WINDOW,
            origin="ranking by chance; the distance of the fakes in the same steps",
            explanation=f"D ranks {auc.median:.0%} of pairs right, which is chance, while the distance of fakes to reals is {last:.2f} and "
            f"was {first:.2f}: it sees no difference where there is one.",
            onset=max(1, step - OUTMATCHED_WINDOW + 1),
            advice="look at what D gets as real and as fake, and whether it has the capacity to tell them apart",
        )


class GeneratorDomination(Detector):
    """Fire when D ranks like chance and does not learn while fakes come no nearer to reals.

    Parameters
    ----------
    max_auc : float, in [0.5, 1)
        Share of pairs that D ranks right below which it counts as blind.
    max_auc_stopped : float, in [0.5, 1)
        The same for a D that has stopped.
    max_auc_fooled : float, in (0, 0.5)
        The same for a D that is fooled whatever it learns, in nine of ten sampled steps.
    slow_update_ratio : float, ratio
        Update-to-weight norm of D below which it learns too slowly.
    slow_ratio : float, ratio
        The same against its own healthy median, measured while D was not blind. The larger limit counts.
    stopped_ratio : float, ratio
        Part of that limit below which D does not learn at all. At a hundredth of this its weights are at rest.
    min_diversity : float, ratio
        Pairwise distance of fakes against reals from which a blind D is the cause.
    min_distance : float, in (0, 1)
        Energy distance below which the generator is good enough not to fire.
    min_improvement : float, ratio
        Reduction of the energy distance from one window to the next that counts as improvement.
    window : int, steps
        Half the length of the evidence.

    Examples
    --------
    >>> readings, onset = GeneratorDomination.demo(seed=0)
    >>> detector = GeneratorDomination()
    >>> fired = next(r.step for r in readings if detector.update(r))
    >>> onset <= fired <= onset + 250
    True
    """

    code = "GW202"
    title = "generator domination"
    severity = Severity.TICKET
    kind = FailureKind.BALANCE
    inputs = (
        "d_auc", "update_to_weight/d", "update_to_weight/g", "pairwise_ratio", "energy_distance", "zero_gradient/d", "output_gradient/d",
    )  # fmt: skip
    required = (("d_auc", "update_to_weight/d"),)
    fire_after = 40
    tunable = {
        "max_auc": (0.65, 0.5),
        "max_auc_stopped": (0.98, 0.7),
        "slow_update_ratio": (1e-3, 4e-5),
        "slow_ratio": (0.4, 0.05),
        "stopped_ratio": (0.15, 0.015),
        "min_distance": (0.03, 0.4),
        "min_improvement": (0.3, 0.03),
        "window": (60, 250),
    }

    def __init__(
        self,
        *,
        max_auc: float = 0.55,
        max_auc_stopped: float = 0.9,
        max_auc_fooled: float = 0.1,
        slow_update_ratio: float = 2e-4,
        slow_ratio: float = 0.15,
        stopped_ratio: float = 0.05,
        min_diversity: float = 0.5,
        min_distance: float = 0.1,
        min_improvement: float = 0.1,
        window: int = 100,
    ) -> None:
        self.max_auc, self.max_auc_stopped, self.max_auc_fooled = max_auc, max_auc_stopped, max_auc_fooled
        self.slow_update_ratio, self.slow_ratio, self.stopped_ratio = slow_update_ratio, slow_ratio, stopped_ratio
        self.min_diversity, self.min_distance, self.min_improvement, self.window = min_diversity, min_distance, min_improvement, window
        self._auc = Window(window)
        self._d_updates, self._g_updates = Window(window), Window(window)
        self._diversity = Window(window)
        self._distance = Window(window)
        self._distance_before = Window(window)
        self._outmatched = _Outmatched(min_diversity)
        self._healthy_d_updates = HealthyMedian(warmup=5)
        self._onset: int | None = None
        self._is_untrained: bool | None = None
        """True while D's loss has asked for nothing since the start, as where it begins later; None as long as nobody knows."""

    def update(self, readings: Readings) -> DetectorResult:
        auc, d_update, g_update, diversity, distance, zero_gradient, at_output = readings.select(self.inputs)
        if at_output is not None and at_output > 0.0:
            self._is_untrained = False
        elif zero_gradient is not None:
            self._is_untrained = zero_gradient == 1.0 and self._is_untrained is not False
        if self._is_untrained:
            return None
        for window, value in ((self._auc, auc), (self._d_updates, d_update), (self._g_updates, g_update), (self._diversity, diversity)):
            if value is not None:
                window.add(readings.step, value)
        if distance is not None:
            if self._distance.is_full:
                self._distance_before.add(readings.step, self._distance.oldest)
            self._distance.add(readings.step, distance)
        self._outmatched.add(readings.step, auc, distance, diversity)
        if not (self._auc.is_full and self._d_updates.is_full):
            return None
        ranked, d_change, g_change = self._auc.median, self._d_updates.median, self._g_updates.median
        healthy = self._healthy_d_updates
        limit = max(self.slow_update_ratio, self.slow_ratio * healthy.value if healthy.is_ready else 0.0)
        healthy.update(d_update, exclude=ranked < self.max_auc or d_change < limit)
        g_learns = g_change > self.stopped_ratio * limit
        diverse = self._diversity.is_full and self._diversity.low >= self.min_diversity
        blind = g_learns and ranked < self.max_auc and d_change < limit and diverse
        stopped = g_learns and ranked < self.max_auc_stopped and d_change < self.stopped_ratio * limit
        fooled = g_learns and self._auc.quantile(0.9) < self.max_auc_fooled and self._diversity.median >= MIN_SPREAD
        self._onset = (self._onset or max(1, readings.step - self.window // 2)) if blind or stopped or fooled else None
        now, before = self._distance.median, self._distance_before.median
        at_rest = stopped and self._d_updates.high < 0.01 * self.stopped_ratio * limit
        poor = self._distance_before.is_full and now >= self.min_distance and now >= (1.0 - self.min_improvement) * before
        if not (at_rest or (poor and (blind or stopped or fooled))):
            both_learn = min(d_change, g_change) >= self.slow_update_ratio
            return self._outmatched.find(readings.step) if both_learn else None
        return Verdict(
            value=ranked,
            threshold=self.max_auc_stopped if stopped else self.max_auc if blind else self.max_auc_fooled,
            signal="d_auc",
            window=self.window,
            origin="ranking by chance; D's updates against its weights",
            explanation=(
                f"D ranks {ranked:.0%} of pairs right, one of its updates changes {d_change:.1g} of its weights and one of G's "
                f"{g_change:.1g}, and the distance of fakes to reals went from {before:.2f} to {now:.2f} in {self.window} steps."
            ),
            onset=self._onset,
            advice=(
                "raise the discriminator's learning rate, or find out what holds its updates back"
                if blind or stopped
                else "weaken what regularises the discriminator, such as the weight of a gradient penalty"
            ),
        )

    @property
    def is_ready(self) -> bool:
        return self._auc.is_full and self._d_updates.is_full

    @classmethod
    def demo(cls, seed: int) -> tuple[Iterator[Readings], int]:
        """Simulate a discriminator that stops learning. Return the readings and the onset."""
        before = {"d_auc": 0.8, "update_to_weight/d": 1e-3, "update_to_weight/g": 1e-3, "pairwise_ratio": 0.9, "energy_distance": 0.03}
        after = {"d_auc": 0.02, "update_to_weight/d": 1e-6, "energy_distance": 0.4}
        return cls.simulate(seed, onset=500, before=before, after=after, length=600), 500
