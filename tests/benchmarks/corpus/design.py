"""Design of the corpus: a fractional design over worlds, losses, networks, norms, failures and onsets."""

from __future__ import annotations

import itertools
from dataclasses import asdict, dataclass
from typing import Any

from ganwatch.drill.injection import injections

LOSSES = ("minimax", "non-saturating", "hinge", "least-squares", "wgan-gp", "relativistic")
NETWORKS = {"ring": ("mlp", "residual"), "grid": ("mlp", "residual"), "digits": ("conv", "residual", "mlp")}
NORMS = (("none", "none"), ("batch", "none"), ("none", "spectral"), ("batch", "spectral"))
FAILURES = tuple(injections())
DATA_CAUSES = ("rare-modes", "few-samples")
"""Causes that are in the data from the first step."""
VARIANTS = ("plain", "lazy-r1", "warm-restarts", "lr-steps", "growing-batch", "growing-resolution", "slow-start", "small-batch")
"""Variants of healthy runs."""
WORLDS = ("ring", "grid", "digits", "stacked")
STEPS = {"ring": 1400, "grid": 3200, "digits": 1200, "stacked": 2000}
FIRST_ONSET = {"ring": 850, "grid": 2200, "digits": 650, "stacked": 1500}
"""First step at which a cause may set in half-way; it sets in up to ``ONSET_SPREAD`` steps later."""
ONSET_SPREAD = 160
DIGITS_EVERY = 5
"""Runs of the digits of which the tuning part has one, because they are expensive; it has all with a cause in the data."""
EARLY_CAUSES = ("discriminator-domination", "stall")
"""Causes that harm only a generator that is not ready yet. Their step is that of the injection."""
GROWING_CAUSE = "exploding-gradient"
"""Cause that lets weights grow, which spectral normalisation undoes."""
POINT_WORLDS = ("ring", "grid")
"""Worlds that are not learned if a gradient penalty and spectral normalisation bound the same gradient."""
LATE_CAUSES = {"lost-modes": WORLDS, "range-mismatch": POINT_WORLDS}
"""Worlds in which a cause is none from the start: a training that never had a mode loses nothing, and an unbounded generator learns any
range."""
TRUTH_EVERY = 25
"""Steps between two measurements of the truth."""
FINAL_SEED = 1000
"""First seed of the final part, which is not used while tuning."""


@dataclass(frozen=True)
class Plan:
    """One run. ``cause`` is an injection, one of ``DATA_CAUSES`` or None; ``at`` is its step, 1 for the start."""

    world: str
    loss: str
    network: str
    g_norm: str
    d_norm: str
    variant: str = "plain"
    cause: str | None = None
    at: int = 0
    seed: int = 0

    @property
    def part(self) -> str:
        return "final" if self.seed >= FINAL_SEED else "tuning"

    @property
    def steps(self) -> int:
        return STEPS[self.world]

    @property
    def name(self) -> str:
        cause = f"{self.cause}@{self.at}" if self.cause else self.variant
        return f"{self.world}-{cause}-{self.loss}-{self.network}-{self.g_norm}-{self.d_norm}-{self.seed}"

    def setup(self) -> dict[str, Any]:
        """Return the set-up as plain types, for the facts."""
        return {name: value for name, value in asdict(self).items() if name not in {"cause", "at", "seed"}}


def _architecture(world: str, loss: str, number: int, cause: str | None = None) -> tuple[str, str, str]:
    """Return network and norms by number. All numbers together have every pair equally often."""
    every = list(itertools.product(NETWORKS[world], NORMS))
    network, (g_norm, d_norm) = every[number % len(every)]
    unbounded = cause == GROWING_CAUSE or (world in POINT_WORLDS and loss == "wgan-gp")
    return network, g_norm, "none" if unbounded else d_norm


def create_plans(world: str, *, failing: int, healthy: int, seed: int) -> list[Plan]:
    """Return the runs of one world: ``failing`` for each failure, onset and loss, ``healthy`` for each variant and loss.

    Seeds rise from ``seed``.
    """
    plans: list[Plan] = []
    for repeat in range(max(failing, healthy)):
        for row, (cause, half_way) in enumerate([*itertools.product(FAILURES, (True, False)), *((c, False) for c in DATA_CAUSES)]):
            if repeat < failing:
                for column, loss in enumerate(LOSSES):
                    number = seed + len(plans)
                    first, spread = FIRST_ONSET[world], ONSET_SPREAD
                    if cause in EARLY_CAUSES:
                        first, spread = injections()[cause].step, ONSET_SPREAD // 2
                    at = first + 17 * number % spread if half_way else 1
                    parts = _architecture(world, loss, row + 3 * column + 5 * repeat, cause)
                    plans.append(Plan(world, loss, *parts, cause=cause, at=at, seed=number))
        for row, variant in enumerate(VARIANTS):
            if repeat < healthy and (variant != "growing-resolution" or world == "digits"):
                for column, loss in enumerate(LOSSES):
                    parts = _architecture(world, loss, row + 3 * column + 5 * repeat)
                    plans.append(Plan(world, loss, *parts, variant=variant, seed=seed + len(plans)))
    return plans


def create_stacked_plans(losses: tuple[str, ...], *, seed: int) -> list[Plan]:
    """Return a few runs of stacked digits, which are expensive: healthy ones and three failures."""
    parts = ("stacked", "conv", "batch", "none")
    plans = []
    for loss, cause in itertools.product(losses, (None, "mode-collapse", "generator-domination", "range-mismatch")):
        number = seed + len(plans)
        at = FIRST_ONSET["stacked"] + 17 * number % ONSET_SPREAD if cause else 0
        plans.append(Plan(parts[0], loss, *parts[1:], cause=cause, at=at, seed=number))
    return plans


def corpus() -> list[Plan]:
    """Return all runs: the tuning part first, the worlds in turn."""
    parts = [
        create_plans("ring", failing=2, healthy=2, seed=0),
        [plan for plan in create_plans("digits", failing=1, healthy=1, seed=0) if _is_in_tuning(plan)],
        create_stacked_plans(("relativistic",), seed=0),
        create_plans("ring", failing=1, healthy=4, seed=FINAL_SEED),
        create_plans("digits", failing=1, healthy=2, seed=FINAL_SEED),
        create_stacked_plans(("non-saturating", "wgan-gp"), seed=FINAL_SEED),
    ]
    return [plan for part in parts for plan in part if _has_effect(plan)]


def _is_in_tuning(plan: Plan) -> bool:
    return plan.seed % DIGITS_EVERY == 0 or plan.cause in DATA_CAUSES


def _has_effect(plan: Plan) -> bool:
    """Return True if the cause can harm a training of this world at its step."""
    return plan.at > 1 or plan.world not in LATE_CAUSES.get(plan.cause or "", ())
