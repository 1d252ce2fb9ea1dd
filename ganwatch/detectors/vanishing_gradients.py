"""The generator's gradient dies out.

How it is detected
    Ratios that no scaling of a loss changes: the gradient of the first layer against the last (depth swallows the signal), the
    update against the weights, and the gradient norm against the run's own healthy median. Two signs together, over a window, make
    a verdict; a first layer that gets less than a hundredth of what would count as a sign is enough alone, and so are weights that
    have shrunk to nothing against the discriminator's, and a gradient of which next to nothing reaches the generator from the
    discriminator's output. These also catch a run that was dead from the first step.

    Where the gradient falls only because the loss has no gradient left at the output of a discriminator that ranks everything right, the
    generator is healthy: that is `discriminator_domination`, and this verdict is withheld. It is withheld too where the weights have
    leapt to several times their norm, or were thrown about by updates of more than a per cent of them just before the gradient died:
    such a generator has thrown itself there, which is `mode_collapse` by a learning rate that is too high. A large update explains
    nothing if the first layer got no gradient before it, if the generator learned for a window after it or its fakes have come near the
    real data since, or if the gradient is still dead 500 steps later.

    Where neither updates nor layers are measured, as in runs that other tools recorded, it takes a gradient norm below a tenth of its
    own past for 200 steps, while the generator's loss or the mean output on fakes moves less than a tenth of what is usual over as long.

Why it matters
    Nothing else changes on the dashboard: losses look settled while the generator has stopped learning.

Likely causes
    A saturating loss (minimax) against a discriminator that is certain; many layers with saturating activations and without
    normalisation or residual connections; initial weights that are far too small.

What to do
    Check value ranges of real and generated data first. Then the loss (non-saturating, Wasserstein with penalty), then fewer
    discriminator steps, then normalisation and residual connections.

Blind spots
    Adam rescales small gradients, so a fall of the norm alone is not a verdict. A discriminator that has won looks similar from the
    generator's side: see `discriminator_domination`. By the norm alone only a loss that saturates is found, and no generator that was
    dead from the first step.

Calibration
    On the final part of the corpus it fired on 24 of the 24 runs whose failure it names, and on 0 of 216 healthy ones
    (`make corpus-table`).

    With losses, mean outputs and gradient norms alone it fired on 1 of these 24, where discriminator domination (GW201) fired on 17, and
    on 0 of 216 healthy ones (`python tests/benchmarks/judging_with_less.py`).

References
    Arjovsky and Bottou, Towards principled methods for training GANs, 2017, arXiv:1701.04862. Zhang et al., AutoTrainer, ICSE 2021
    (first against last layer).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ganwatch.core.detector import Detector, DetectorResult, FailureKind, Severity, Verdict
from ganwatch.core.diversity_rules import ONE_SAMPLE
from ganwatch.core.faint_gradient import RESTING, FaintGradient
from ganwatch.core.readings import Readings, is_finite
from ganwatch.core.statistics import HealthyMedian, Window

MIN_RATIO_TO_D = 0.01
"""Generator's weight norm against the discriminator's below which weights shrink rather than being thrown about."""
MIN_RATIO_TO_PREVIOUS = 0.9
"""Weight norm against that of the sampled step before below which weights shrink rather than being thrown about."""
THROW_STEPS = 500
"""Steps after the latest large update for which it explains a gradient that has been dead ever since."""
WINDOWS_OF_LEARNING = 4
"""Windows without a sign of a dead gradient after which a large update was survived."""
DEAD_DEPTH_RATIO = 0.01
"""Part of ``min_depth_ratio`` below which the first layer's gradient is enough evidence alone."""


class VanishingGradients(Detector):
    """Fire when the generator's gradient stays dead.

    Parameters
    ----------
    min_norm_ratio : float, ratio
        Gradient norm against its healthy median below which it is dead. Smaller is stricter.
    min_depth_ratio : float, ratio
        Gradient of the first layer against the last below which depth swallows it.
    min_update_ratio : float, ratio
        Update-to-weight norm below which a step changes nothing.
    max_auc : float, in (0.5, 1)
        Share of pairs that D ranks right from which it is the cause of a lost gradient.
    weight_growth_ratio : float, ratio
        Weight norm against its own healthy median from which the generator has leapt away.
    max_update_ratio : float, ratio
        Update-to-weight norm from which weights that do not shrink are thrown about.
    near_distance : float, in (0, 1)
        Energy distance below which fakes have come near the real data.
    min_weight_ratio : float, ratio
        Weight norm against the discriminator's below which no weights are left.
    min_arrived : float, ratio
        Gradient norm against that at the discriminator's output below which next to nothing arrives; at least 0.494 in healthy
        recorded runs (`python tests/benchmarks/healthy_levels.py`).
    window : int, steps
        Length of the evidence. A longer one delays the verdict and lowers the false-alarm rate.

    Examples
    --------
    >>> readings, onset = VanishingGradients.demo(seed=0)
    >>> detector = VanishingGradients()
    >>> fired = next(r.step for r in readings if detector.update(r))
    >>> onset <= fired <= onset + 100
    True
    """

    code = "GW301"
    title = "vanishing gradients"
    severity = Severity.TICKET
    kind = FailureKind.NUMERICS
    inputs = (
        "grad_norm/g", "grad_first_to_last/g", "update_to_weight/g", "d_auc", "weight_norm/g", "weight_norm/d", "energy_distance",
        "pairwise_ratio", "grad_to_output/g", *RESTING,
    )  # fmt: skip
    required = tuple(("grad_norm/g", name) for name in ("update_to_weight/g", "grad_first_to_last/g", *RESTING))
    causal_priority = 1
    tunable = {
        "min_norm_ratio": (0.1, 1e-3),
        "min_depth_ratio": (1e-2, 1e-5),
        "min_update_ratio": (1e-4, 1e-7),
        "max_auc": (0.999, 0.9),
        "window": (30, 240),
    }

    def __init__(
        self,
        *,
        min_norm_ratio: float = 1e-2,
        min_depth_ratio: float = 1e-3,
        min_update_ratio: float = 1e-5,
        max_auc: float = 0.98,
        weight_growth_ratio: float = 2.5,
        max_update_ratio: float = 0.015,
        near_distance: float = 0.1,
        min_weight_ratio: float = 1e-3,
        min_arrived: float = 1e-4,
        window: int = 60,
    ) -> None:
        self.min_norm_ratio, self.min_depth_ratio, self.min_update_ratio, self.max_auc = (
            min_norm_ratio, min_depth_ratio, min_update_ratio, max_auc,
        )  # fmt: skip
        self.weight_growth_ratio, self.max_update_ratio, self.near_distance = weight_growth_ratio, max_update_ratio, near_distance
        self.min_weight_ratio, self.min_arrived, self.window = min_weight_ratio, min_arrived, window
        self._norm, self._depth, self._updates, self._auc = Window(window), Window(window), Window(window), Window(window)
        self._weight_to_d, self._arrived = Window(window), Window(window)
        self._healthy_norm = HealthyMedian(warmup=20)
        self._healthy_weight = HealthyMedian(warmup=3)
        self._previous_weight = 0.0
        self._has_leapt = False
        self._thrown: int | None = None
        """Step of the latest update that threw the weights about, while it explains a dead gradient."""
        self._latest_sign = 0
        self._is_one_sample = self._is_failing = False
        self._step = 0
        self._faint = FaintGradient()

    def update(self, readings: Readings) -> DetectorResult:
        values = readings.select(self.inputs[:-2])
        is_new = any(value is not None for value in values)
        if is_new:
            self._add(readings.step, values)
        if not self._has_signs:
            return self._faint.update(readings)
        if not self._norm.is_full or not (is_new or self._is_failing):
            return None
        verdict = self._find_cut() or self._judge(self._step, readings.get("grad_norm/g"))
        self._is_failing = verdict is not None
        return verdict

    def _add(self, step: int, values: Sequence[float | None]) -> None:
        norm, depth, update, auc, weight, d_weight, distance, pairwise, arrived = values
        self._step = step
        if is_finite(weight):
            self._update_weight(step, weight, d_weight)
            self._update_thrown(step, weight, d_weight, update, depth)
        if distance is not None and distance < self.near_distance:
            self._thrown = None
        depth = self._ratio_of_layers(norm, depth, pairwise)
        windows = (self._norm, norm), (self._depth, depth), (self._updates, update), (self._auc, auc), (self._arrived, arrived)
        for window, value in windows:
            if value is not None:
                window.add(step, value)

    @property
    def _has_signs(self) -> bool:
        """True if a sign other than the norm was measured."""
        return any(len(window) for window in (self._depth, self._updates, self._arrived, self._weight_to_d))

    def _find_cut(self) -> Verdict | None:
        """Find a generator that next to nothing reaches of the gradient at the discriminator's output, though it is not zero."""
        arrived = self._arrived
        if not arrived.is_full or not 0.0 < arrived.median < self.min_arrived:
            return None
        explanation = (
            f"Of the loss's gradient at D's output, a part of {arrived.median:.1g} reaches the generator, and one update changes "
            f"{self._updates.median:.1g} of its weights."
        )
        advice = "look for what makes the discriminator flat, such as the bound of weight clipping or the weight of a penalty"
        origin, onset = "the gradient at D's output", arrived.first_below(self.min_arrived)
        return Verdict(
            arrived.median, self.min_arrived, "grad_to_output/g", self.window, origin, explanation, onset=onset, advice=advice
        )

    def _judge(self, step: int, norm: float | None) -> Verdict | None:
        """Find a gradient that dies out within the generator, or falls against its own past."""
        level, healthy = self._norm.median, self._healthy_norm
        is_low = healthy.is_ready and level < self.min_norm_ratio * healthy.value
        is_swallowed = self._depth.is_full and self._depth.median < self.min_depth_ratio
        is_still = self._updates.is_full and self._updates.median < self.min_update_ratio
        healthy.update(norm, exclude=is_low or is_swallowed or is_still)
        is_gone = self._weight_to_d.is_full and self._weight_to_d.median < self.min_weight_ratio
        has_signs = is_low or is_swallowed or is_still or is_gone
        if has_signs:
            self._latest_sign = step
        if self._thrown is not None:
            learned = step - max(self._thrown, self._latest_sign) >= WINDOWS_OF_LEARNING * self.window
            self._thrown = None if learned or step - self._thrown >= THROW_STEPS else self._thrown
        is_dead = is_gone or (is_swallowed and self._depth.median < DEAD_DEPTH_RATIO * self.min_depth_ratio)
        is_explained = not (is_swallowed or is_gone) and self._auc.median >= self.max_auc
        if self._has_leapt or self._thrown is not None or is_explained or (is_low + is_swallowed + is_still < 2 and not is_dead):
            return None
        window, threshold, signal, origin = (
            (self._depth, self.min_depth_ratio, "grad_first_to_last/g", "first layer against last layer of the same step")
            if is_swallowed
            else (self._weight_to_d, self.min_weight_ratio, "weight_norm/g", "the discriminator's weights")
            if is_gone
            else (self._norm, self.min_norm_ratio * healthy.value, "grad_norm/g", "the run's own healthy median")
        )
        detail = "" if window is self._norm else f", {signal} is {window.median:.2g}"
        return Verdict(
            value=window.median,
            threshold=threshold,
            signal=signal,
            window=self.window,
            origin=origin,
            explanation=f"The generator's gradient norm is {level:.2g}{detail}, and one update changes {self._updates.median:.1g} of the "
            "weights.",
            onset=window.first_below(threshold),
            advice="" if level else "look for what leaves no gradient at D's output: a constant score, a clamp, a softmax over one output",
        )

    def _ratio_of_layers(self, norm: float | None, depth: float | None, pairwise: float | None) -> float | None:
        """Return the ratio of the layers' gradients; None behind an output that is saturated at one sample, where none has any."""
        if pairwise is not None:
            self._is_one_sample = pairwise < ONE_SAMPLE
        return None if norm == 0.0 and self._is_one_sample else depth

    def _update_weight(self, step: int, weight: float, d_weight: float | None) -> None:
        """Record whether the weights have leapt away or are gone."""
        self._has_leapt = self._healthy_weight.is_ready and weight > self.weight_growth_ratio * self._healthy_weight.value
        self._healthy_weight.update(weight, exclude=self._has_leapt)
        if is_finite(d_weight):
            self._weight_to_d.add(step, weight / max(d_weight, 1e-38))

    def _update_thrown(self, step: int, weight: float, d_weight: float | None, update: float | None, depth: float | None) -> None:
        """Record a large update that throws the weights about; it does not explain a gradient that was swallowed before."""
        keeps_norm = weight > MIN_RATIO_TO_D * (d_weight or 0.0) and weight > MIN_RATIO_TO_PREVIOUS * self._previous_weight
        was_alive = self._thrown is not None or depth is None or depth >= self.min_depth_ratio
        if keeps_norm and was_alive and update is not None and update > self.max_update_ratio:
            self._thrown = step
        self._previous_weight = weight

    @property
    def is_ready(self) -> bool:
        return self._norm.is_full if self._has_signs else self._faint.is_ready

    @classmethod
    def demo(cls, seed: int) -> tuple[Iterator[Readings], int]:
        """Simulate a generator whose gradient dies out. Return the readings and the onset."""
        before = {"weight_norm/g": 1.0, "grad_norm/g": 1.0, "update_to_weight/g": 1e-3, "grad_first_to_last/g": 0.02}
        return cls.simulate(seed, onset=500, before=before, after={"grad_norm/g": 1e-4, "update_to_weight/g": 1e-8}), 500
