"""Gradients grow out of all proportion.

How it is detected
    Gradient norm of each network, as a median over a short window (so that lazy regularisation every 16th step does not count),
    against the run's own level, that of its first updates or its healthy median, whichever is lower, but no lower than the lowest norm of
    the last 300 steps: one that grows slowly, as those of some networks do while they learn, is no explosion. Where it can be seen, the
    gradient against the loss's gradient at the discriminator's output must have risen too, because a discriminator that was
    certain and no longer is gets its gradient back and explodes nothing; and neither network may be frozen, because against one that is
    gradients grow without end as well. And the update against the weights, unless these have shrunk. The explanation says so where the
    network's learning rate is several times its usual one. A rate that jumps far above any before it has thrown the weights about if
    updates fall to a fraction of their usual size at that rate: the network is dead before its norm is measured.

Why it matters
    Adam hides it for a while. Then weights, outputs and losses leave the range in which floating point is exact, and the run ends
    in non-finite values or in noise.

Likely causes
    A learning rate that is far too high; an unbounded critic (Wasserstein without penalty, no normalisation); initial weights that
    are far too large.

What to do
    Put back a learning rate that has changed, if the explanation names one. If none has, look for outliers and unscaled values in the
    data. Then a lower learning rate, clipping, a gradient penalty or spectral normalisation.

Blind spots
    A loop that clips shows the clip value at most: the norm then says nothing, and the update-to-weight ratio has to speak. Updates
    that replace the weights of a network a hundred times smaller than the other do not count: such weights have shrunk.

Calibration
    On the final part of the corpus it fired on 24 of the 24 runs whose failure it names, and on 1 of 216 healthy ones
    (`make corpus-table`).

References
    Pascanu et al., On the difficulty of training recurrent neural networks, 2013, arXiv:1211.5063. Wardat et al., DeepDiagnosis,
    ICSE 2022, arXiv:2112.03817 (update against weight).
"""

from __future__ import annotations

from collections.abc import Iterator

from ganwatch.core.detector import Detector, DetectorResult, FailureKind, Severity, Verdict
from ganwatch.core.readings import Readings
from ganwatch.core.statistics import HealthyMedian, Stateful, Window

MIN_RATE_RATIO = 3.0
"""Learning rate against its own usual one from which it is named as a likely cause."""
MAX_SHRUNK_RATIO = 0.1
"""Weight norm against its own usual norm below which weights have shrunk."""
MAX_SHRUNK_RATIO_TO_OTHER = 0.01
"""Weight norm against that of the other network below which weights have shrunk."""
MIN_GAIN = 0.1
"""Gradient against that at the discriminator's output below which the network amplifies nothing; at least 0.494 in healthy recorded runs
(`python tests/benchmarks/healthy_levels.py`)."""
GROWTH_STEPS = 300
"""Steps within which a norm must have grown so much."""
NAMES = {"g": "generator", "d": "discriminator"}

MIN_JUMP = 5.0
"""Learning rate against the highest one before it from which it has jumped."""
MIN_UPDATE_AFTER = 0.3
"""Update at that rate against the usual one from before below which the network is dead."""
MIN_DEAD_LOOKS = 2
"""Sampled updates in a row that must be so small."""
JUMP_STEPS = 300
"""Steps after which a rate that has jumped is the usual one."""


class _RateJump(Stateful):
    """Jump of one network's learning rate above any before it."""

    def __init__(self) -> None:
        self._rate = self._highest = 0.0
        self._update = HealthyMedian(warmup=3)
        self._since: int | None = None
        self._dead_looks = 0

    def update(self, step: int, rate: float | None, update: float | None) -> None:
        """Add the readings of a step."""
        if rate is not None:
            self._rate = rate
            has_jumped = self._highest > 0.0 and self.factor > MIN_JUMP
            self._since = (self._since or step) if has_jumped else None
            if self._since is None or step - self._since >= JUMP_STEPS:
                self._since, self._highest = None, max(self._highest, rate)
        usual = self._update.ready_value
        if update is not None and usual is not None and self._since is not None:
            self._dead_looks = self._dead_looks + 1 if update < MIN_UPDATE_AFTER * usual else 0
        self._update.update(update, exclude=self._since is not None)

    @property
    def since(self) -> int | None:
        """Step at which a jump was seen that has killed the network; None without one."""
        return self._since if self._dead_looks >= MIN_DEAD_LOOKS else None

    @property
    def rate(self) -> float:
        """Latest learning rate."""
        return self._rate

    @property
    def factor(self) -> float:
        """Learning rate against the highest one before it."""
        return self._rate / self._highest


class ExplodingGradients(Detector):
    """Fire when a network's gradient stays far above its healthy level, or its updates rival its weights.

    Parameters
    ----------
    norm_ratio : float, ratio
        Median gradient norm against its healthy level above which it explodes. Larger is stricter.
    gain_ratio : float, ratio
        Gradient against output gradient, relative to its own level, above which the network amplifies.
    max_update_ratio : float, ratio
        Update-to-weight norm above which a step replaces what was learned.
    frozen_update_ratio : float, ratio
        Update-to-weight norm below which a network is frozen, whatever its gradients are.
    window : int, steps
        Length of the evidence.
    warmup : int, updates
        Healthy norms that must come first.

    Examples
    --------
    >>> readings, onset = ExplodingGradients.demo(seed=0)
    >>> detector = ExplodingGradients()
    >>> fired = next(r.step for r in readings if detector.update(r))
    >>> onset <= fired <= onset + 40
    True
    """

    code = "GW302"
    title = "exploding gradients"
    severity = Severity.PAGE
    kind = FailureKind.NUMERICS
    inputs = (
        "grad_norm/g", "grad_norm/d", "update_to_weight/g", "update_to_weight/d", "grad_to_output/g", "grad_to_output/d",
        "weight_norm/g", "weight_norm/d", "learning_rate/g", "learning_rate/d",
    )  # fmt: skip
    required = (("grad_norm/g", "grad_norm/d"),)
    tunable = {"norm_ratio": (5.0, 500.0), "gain_ratio": (2.0, 50.0), "max_update_ratio": (0.1, 0.9), "window": (10, 80)}

    def __init__(
        self,
        *,
        norm_ratio: float = 50.0,
        gain_ratio: float = 10.0,
        max_update_ratio: float = 0.3,
        frozen_update_ratio: float = 1e-7,
        window: int = 20,
        warmup: int = 5,
    ) -> None:
        self.norm_ratio, self.gain_ratio, self.window = norm_ratio, gain_ratio, window
        self.max_update_ratio, self.frozen_update_ratio = max_update_ratio, frozen_update_ratio
        self._norms = [Window(window), Window(window)]
        self._updates = [Window(3 * window // 2), Window(3 * window // 2)]
        self._gains = [Window(3 * window // 2), Window(3 * window // 2)]
        self._healthy_norms = [HealthyMedian(warmup=warmup), HealthyMedian(warmup=warmup)]
        self._healthy_gains = [HealthyMedian(warmup=3), HealthyMedian(warmup=3)]
        self._healthy_weights = [HealthyMedian(warmup=3), HealthyMedian(warmup=3)]
        self._rates, self._healthy_rates = [0.0, 0.0], [HealthyMedian(warmup=1), HealthyMedian(warmup=1)]
        self._recent_norms = [Window(GROWTH_STEPS), Window(GROWTH_STEPS)]
        self._early_norms: list[float | None] = [None, None]
        self._early_gains: list[float | None] = [None, None]
        self._jumps = [_RateJump(), _RateJump()]
        self._weights = [0.0, 0.0]
        self._has_shrunk = [False, False]

    def update(self, readings: Readings) -> DetectorResult:
        values = readings.select(self.inputs)
        for index, network in enumerate("gd"):
            norm, update, gain, weight, rate = values[index::2]
            for window, value in ((self._norms[index], norm), (self._updates[index], update), (self._gains[index], gain)):
                if value is not None:
                    window.add(readings.step, value)
            self._update_weight(index, weight)
            self._update_rate(index, rate)
            self._jumps[index].update(readings.step, rate, update)
            self._early_norms[index] = self._early_norms[index] or self._healthy_norms[index].ready_value
            self._early_gains[index] = self._early_gains[index] or self._healthy_gains[index].ready_value
            verdict = self._evaluate(network, index)
            self._healthy_norms[index].update(norm, exclude=verdict is not None or not norm)
            self._healthy_gains[index].update(gain, exclude=verdict is not None)
            if norm and verdict is None:
                self._recent_norms[index].add(readings.step, norm)
            if verdict is not None:
                return verdict
        return None

    def _update_weight(self, index: int, weight: float | None) -> None:
        """Record whether the weights have shrunk, so that any update is large against them."""
        if weight is not None:
            healthy, self._weights[index] = self._healthy_weights[index], weight
            shrunk = healthy.is_ready and weight < MAX_SHRUNK_RATIO * healthy.value
            self._has_shrunk[index] = shrunk or weight < MAX_SHRUNK_RATIO_TO_OTHER * self._weights[1 - index]
            healthy.update(weight, exclude=shrunk)

    def _evaluate(self, network: str, index: int) -> Verdict | None:
        norms, updates, jump = self._norms[index], self._updates[index], self._jumps[index]
        if jump.since is not None:
            return Verdict(
                value=jump.rate,
                threshold=MIN_JUMP * jump.rate / jump.factor,
                signal=f"learning_rate/{network}",
                window=self.window,
                origin="its highest learning rate before",
                explanation=f"The {NAMES[network]}'s learning rate is {jump.rate:.2g}, {jump.factor:.3g} times the highest one before, "
                "and its updates are dead.",
                onset=jump.since,
                advice=f"put back the {NAMES[network]}'s learning rate",
            )
        if updates.is_full and updates.low > self.max_update_ratio and not self._has_shrunk[index]:
            return Verdict(
                value=updates.median,
                threshold=self.max_update_ratio,
                signal=f"update_to_weight/{network}",
                window=self.window,
                origin="the weights of the same step",
                explanation=f"One update changes the {NAMES[network]}'s weights by {updates.median:.0%} of their norm"
                f"{self._name_rate(index)}.",
            )
        early_norm, early_gain = self._early_norms[index], self._early_gains[index]
        frozen = any(window.is_full and window.high < self.frozen_update_ratio for window in self._updates)
        if early_norm is None or not norms.is_full or frozen:
            return None
        recent = self._recent_norms[index]
        level = max(min(early_norm, self._healthy_norms[index].value), recent.low if recent.is_full else 0.0)
        amplified = (
            early_gain is None
            or self._gains[index].median > max(self.gain_ratio * min(early_gain, self._healthy_gains[index].value), MIN_GAIN)
        )  # fmt: skip
        if norms.median > self.norm_ratio * level and amplified:
            return Verdict(
                value=norms.median,
                threshold=self.norm_ratio * level,
                signal=f"grad_norm/{network}",
                window=self.window,
                origin="the run's own healthy median",
                explanation=f"The {NAMES[network]}'s gradient norm is {norms.median:.3g}, "
                f"{norms.median / max(level, 1e-30):.3g} times its healthy level{self._name_rate(index)}.",
            )
        return None

    def _update_rate(self, index: int, rate: float | None) -> None:
        """Record the learning rate, and the usual one as long as it is that."""
        if rate is not None:
            healthy, self._rates[index] = self._healthy_rates[index], rate
            healthy.update(rate, exclude=healthy.is_ready and rate > MIN_RATE_RATIO * healthy.value)

    def _name_rate(self, index: int) -> str:
        """Describe a learning rate that has risen; empty if it has not."""
        rate, usual = self._rates[index], self._healthy_rates[index].ready_value
        has_risen = usual is not None and 0.0 < usual < rate / MIN_RATE_RATIO
        return f", and its learning rate is {rate:.2g}, {rate / usual:.3g} times the usual one" if has_risen and usual else ""

    @property
    def is_ready(self) -> bool:
        return all(norm is not None for norm in self._early_norms)

    @classmethod
    def demo(cls, seed: int) -> tuple[Iterator[Readings], int]:
        """Simulate a discriminator whose gradient explodes. Return the readings and the onset."""
        return cls.simulate(seed, onset=500, before={"grad_norm/g": 1.0, "grad_norm/d": 1.0}, after={"grad_norm/d": 1e4}), 500
