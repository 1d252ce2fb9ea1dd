"""Design of the wild part: every cause and every variant on several worlds, losses, networks, optimizers and styles."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from random import Random
from typing import Any

from corpus.wild.causes import find_causes
from corpus.wild.healthy import find_variants
from corpus.wild.losses import LOSSES
from corpus.wild.networks import NETWORKS
from corpus.wild.optimizers import OPTIMIZERS
from corpus.wild.plan import FINAL_SEED, FRESH_SEED, WildPlan
from corpus.wild.styles import STYLES
from corpus.wild.suited import FAMILIES, is_suited

WORLDS = ("ring", "digits", "table", "photos", "signals", "enlarged")
"""Worlds of causes; ``grid`` and ``stacked`` have healthy runs, and the grid some faults of the loop."""
BATCHES = {
    "photos": (32, 16), "enlarged": (32, 24), "digits": (64, 32), "stacked": (64,), "table": (64, 32, 128), "signals": (64, 32),
    "ring": (128, 64, 256), "grid": (256, 512),
}  # fmt: skip
"""Samples of a batch by world."""
READY = {"photos": 550, "enlarged": 300, "digits": 350, "table": 400, "signals": 400, "ring": 500, "grid": 600}
"""Step from which trainings of a world are good, so that harm can be seen."""
FIRST, SPREAD = 120, 120
"""First step at which a fault may set in, if it needs no good training before it, and steps over which causes set in."""
AFTER = 380
"""Steps after the cause."""
HEALTHY_STEPS, LONG_STEPS = 1080, 10_000
"""Steps of a healthy run, and of a long one."""
LONG = (
    ("table", "batch-norm", "logistic-r1"), ("ring", "batch-norm", "logistic-r1"), ("table", "spectral", "hinge"),
    ("signals", "batch-norm", "logistic-r1"), ("ring", "spectral", "logistic-r1"), ("table", "dropout", "smoothed-bce"),
    ("signals", "spectral", "hinge"), ("ring", "batch-norm", "r3gan"), ("table", "layer-norm", "r3gan"), ("grid", "batch-norm", "r3gan"),
)  # fmt: skip
"""World, network and loss of long runs."""


class Chooser:
    """Chooses what is free of a plan, each choice in its own shuffled order, so that repeats differ in all of them.

    Parameters
    ----------
    top : class of a cause or a variant
    seed : int
    """

    def __init__(self, top: Any, seed: int) -> None:
        self.top, self.random = top, Random(f"{top.label()} {seed}")
        self.orders: dict[tuple[str, ...], itertools.cycle[str]] = {}

    def pick(self, kind: str, among: Iterable[str]) -> str:
        """Return the next allowed choice of a kind."""
        allowed = getattr(self.top, kind, None)
        options = tuple(one for one in among if (allowed is None or one in allowed) and one not in self.top.without)
        if not options:
            raise LookupError(f"no {kind} for {self.top.label()}")
        if options not in self.orders:
            self.orders[options] = itertools.cycle(self.random.sample(options, len(options)))
        return next(self.orders[options])

    def setup(self, worlds: Sequence[str], *, needs_good: bool) -> dict[str, Any]:
        """Return world, loss, network, optimizer, style and batch."""
        for _ in range(200):
            world = self.pick("worlds", worlds)
            family = NETWORKS[FAMILIES[world]]
            loss = self.pick("losses", LOSSES)
            try:
                network = self.pick("networks", family)
            except LookupError:
                continue
            optimizer = self.pick("optimizers", OPTIMIZERS)
            if loss == "wgan-clip" and "rmsprop" not in self.top.without:
                optimizer = "rmsprop"
            style = self.pick("styles", STYLES)
            if is_suited(world, loss, network, optimizer, style, needs_good=needs_good):
                setup = {"world": world, "loss": loss, "network": network, "optimizer": optimizer, "style": style}
                return setup | {"batch": self.random.choice(BATCHES[world])}
        raise LookupError(f"nothing suits {self.top.label()}")


def failing_plans(seed: int, repeats: int) -> list[WildPlan]:
    """Return ``repeats`` runs of every cause, which is there from the start and sets in later in turn, if both make sense."""
    plans: list[WildPlan] = []
    for row, cause in enumerate(find_causes().values()):
        chooser = Chooser(cause, seed)
        whens = [(row + number) % 2 == 1 if cause.starts and cause.sets_in else cause.sets_in for number in range(repeats)]
        for is_later in whens:
            worlds = WORLDS if not cause.fact or is_later else (*WORLDS, "grid")
            setup = chooser.setup(worlds, needs_good=not cause.fact)
            ready = READY[setup["world"]]
            first = chooser.random.choice([FIRST, ready]) if cause.fact else ready
            at = first + chooser.random.randrange(SPREAD) if is_later else 1
            steps = at + AFTER if is_later else ready + 200
            plans.append(WildPlan(**setup, steps=steps + cause.more_steps, seed=seed + len(plans), cause=cause.label(), at=at))
    return plans


def healthy_plans(seed: int, *, repeats: int, images: int) -> list[WildPlan]:
    """Return runs of every variant: ``repeats`` on any world, ``images`` on images."""
    plans: list[WildPlan] = []
    for variant in find_variants().values():
        chooser = Chooser(variant, seed)
        for number in range(repeats + images):
            worlds = ("digits", "enlarged", "digits", "photos") if number < images else ("ring", "table", "signals")
            try:
                setup = chooser.setup(worlds, needs_good=True)
            except LookupError:
                setup = chooser.setup(WORLDS, needs_good=True)
            plans.append(WildPlan(**setup, steps=HEALTHY_STEPS, seed=seed + len(plans), variant=variant.label()))
    return plans


def long_plans(seed: int, count: int) -> list[WildPlan]:
    """Return long runs."""
    styles = itertools.cycle(STYLES)
    chosen = itertools.islice(itertools.cycle(LONG), count)
    return [
        WildPlan(world, loss, network, "adam", next(styles), BATCHES[world][0], LONG_STEPS, seed + number)
        for number, (world, network, loss) in enumerate(chosen)
    ]


def stacked_plans(seed: int, count: int) -> list[WildPlan]:
    """Return healthy runs of stacked digits."""
    losses = itertools.cycle(("r3gan", "hinge", "logistic-r1"))
    return [WildPlan("stacked", next(losses), "upsampling", "adam", "loader", 64, 1500, seed + number) for number in range(count)]


def wild() -> list[WildPlan]:
    """Return all runs: the tuning part first."""
    final = FINAL_SEED
    return [
        *failing_plans(0, 1),
        *healthy_plans(500, repeats=1, images=1),
        *long_plans(900, 4),
        *failing_plans(final, 4),
        *healthy_plans(final + 500, repeats=7, images=4),
        *long_plans(final + 900, 20),
        *stacked_plans(final + 950, 6),
        *failing_plans(FRESH_SEED, 1),
        *healthy_plans(FRESH_SEED + 500, repeats=1, images=1),
        *stacked_plans(FRESH_SEED + 950, 1),
    ]
