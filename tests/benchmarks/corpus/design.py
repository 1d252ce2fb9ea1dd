"""Which runs the corpus has: a fractional design over worlds, losses, networks, norms, failures and onsets."""

from __future__ import annotations

import itertools
from dataclasses import asdict, dataclass
from typing import Any

from ganwatch.drill.injection import injections

LOSSES = ("minimax", "non-saturating", "hinge", "least-squares", "wgan-gp", "relativistic")
NETWORKS = {"ring": ("mlp", "residual"), "grid": ("mlp", "residual"), "digits": ("conv", "residual", "mlp")}
NORMS = (("none", "none"), ("batch", "none"), ("none", "spectral"), ("batch", "spectral"))
FAILURES = tuple(injections())
FROM_THE_START = ("rare-modes", "few-samples")
"""Causes that lie in the data from the first step."""
VARIANTS = ("plain", "lazy-r1", "warm-restarts", "lr-steps", "growing-batch", "growing-resolution", "slow-start", "small-batch")
"""Of healthy runs."""
WORLDS = ("ring", "grid", "digits", "stacked")
STEPS = {"ring": 1400, "grid": 3200, "digits": 1200, "stacked": 2000}
MIDDLE = {"ring": 850, "grid": 2200, "digits": 650, "stacked": 1500}
"""Step from which on a cause may set in half-way; it does so up to ``SPREAD`` steps later."""
SPREAD = 160
SPARSE = 5
"""Of the digits, whose runs are dear, the tuning part has one run in so many, but all whose data is at fault from the start."""
EARLY = ("discriminator-domination", "stall")
"""Causes that harm a generator which is not ready yet and leave one that is as it was: theirs is the step of the injection."""
GROWING = "exploding-gradient"
"""Lets weights grow, which spectral normalisation undoes."""
POINTS = ("ring", "grid")
"""Worlds that are not learned where a gradient penalty and spectral normalisation bound the same slope."""
HALF_WAY = {"lost-modes": WORLDS, "range-mismatch": POINTS}
"""Where causes are none from the start: a training that never had a kind loses nothing, and an unbounded generator learns any range."""
LOOKS = 25
"""Steps between two looks of the truth."""
FINAL_SEED = 1000
"""Seeds from here on are of the final part, which is not looked at while tuning."""


@dataclass(frozen=True)
class Plan:
    """One run. ``cause`` is an injection, one of ``FROM_THE_START`` or None; ``at`` is its step, 1 for the start."""

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
        what = f"{self.cause}@{self.at}" if self.cause else self.variant
        return f"{self.world}-{what}-{self.loss}-{self.network}-{self.g_norm}-{self.d_norm}-{self.seed}"

    def setup(self) -> dict[str, Any]:
        """Plain types, for the facts."""
        return {name: value for name, value in asdict(self).items() if name not in {"cause", "at", "seed"}}


def _architecture(world: str, loss: str, place: int, cause: str | None = None) -> tuple[str, str, str]:
    """Network and norms number ``place``; running through all places meets every pair equally often."""
    every = list(itertools.product(NETWORKS[world], NORMS))
    network, (g_norm, d_norm) = every[place % len(every)]
    unbounded = cause == GROWING or (world in POINTS and loss == "wgan-gp")
    return network, g_norm, "none" if unbounded else d_norm


def plans(world: str, *, failing: int, healthy: int, seed: int) -> list[Plan]:
    """Runs of one world, ``failing`` for each failure, onset and loss, ``healthy`` for each variant and loss, seeds from ``seed`` on."""
    found: list[Plan] = []
    for repeat in range(max(failing, healthy)):
        for row, (cause, half_way) in enumerate([*itertools.product(FAILURES, (True, False)), *((c, False) for c in FROM_THE_START)]):
            if repeat < failing:
                for column, loss in enumerate(LOSSES):
                    number = seed + len(found)
                    first, spread = (injections()[cause].step, SPREAD // 2) if cause in EARLY else (MIDDLE[world], SPREAD)
                    at = first + 17 * number % spread if half_way else 1
                    parts = _architecture(world, loss, row + 3 * column + 5 * repeat, cause)
                    found.append(Plan(world, loss, *parts, cause=cause, at=at, seed=number))
        for row, variant in enumerate(VARIANTS):
            if repeat < healthy and (variant != "growing-resolution" or world == "digits"):
                for column, loss in enumerate(LOSSES):
                    parts = _architecture(world, loss, row + 3 * column + 5 * repeat)
                    found.append(Plan(world, loss, *parts, variant=variant, seed=seed + len(found)))
    return found


def stacked(losses: tuple[str, ...], *, seed: int) -> list[Plan]:
    """A few runs of stacked digits, which are dear: healthy ones and three failures."""
    parts = ("stacked", "conv", "batch", "none")
    found = []
    for loss, cause in itertools.product(losses, (None, "mode-collapse", "generator-domination", "range-mismatch")):
        number = seed + len(found)
        at = MIDDLE["stacked"] + 17 * number % SPREAD if cause else 0
        found.append(Plan(parts[0], loss, *parts[1:], cause=cause, at=at, seed=number))
    return found


def corpus() -> list[Plan]:
    """All runs: the tuning part first, the worlds in turn."""
    parts = [
        plans("ring", failing=2, healthy=2, seed=0),
        [plan for plan in plans("digits", failing=1, healthy=1, seed=0) if plan.seed % SPARSE == 0 or plan.cause in FROM_THE_START],
        stacked(("relativistic",), seed=0),
        plans("ring", failing=1, healthy=4, seed=FINAL_SEED),
        plans("digits", failing=1, healthy=2, seed=FINAL_SEED),
        stacked(("non-saturating", "wgan-gp"), seed=FINAL_SEED),
    ]
    return [plan for part in parts for plan in part if _is_one(plan)]


def _is_one(plan: Plan) -> bool:
    """Whether the cause is one there."""
    return plan.at > 1 or plan.world not in HALF_WAY.get(plan.cause or "", ())
