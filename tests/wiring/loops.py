"""Plain GAN loops on three worlds of real or known data. A case overrides the part of the loop that it changes."""

from __future__ import annotations

from functools import cache
from typing import ClassVar

import torch
from sklearn.datasets import load_breast_cancer
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  # as everybody calls it
from torch.optim import Adam, Optimizer

import ganwatch
from ganwatch.data.bundled import draw_ring
from ganwatch.sinks.memory import MemorySink
from ganwatch.trainer.data import load_digits

WORLDS = "digits", "ring", "table"
LATENTS, BATCH = 16, 64


@cache
def load_reals(world: str) -> Tensor:
    """Return the reals of a world, shape (N, …), float32: digits (1, 8, 8) in [-1, 1], points of a ring (2), rows of a table (30)."""
    if world == "digits":
        return load_digits().tensors[0]
    if world == "ring":
        return draw_ring(4000, 0)[0]
    rows = torch.from_numpy(load_breast_cancer().data).float()
    return (rows - rows.mean(0)) / rows.std(0)


class Loop:
    """A training that works, and the base of every case.

    Attributes
    ----------
    code : str or None
        Code of the incident that must be the root; None if there must be no incident.
    start : int
        Step from which the case differs.
    steps : int
        Length of the training.
    within : int
        Steps after ``start`` within which the incident must fire.
    silent : tuple of str
        Codes that must not fire; for a look-alike whose training is bad in another way. Empty for all codes.
    worlds : tuple of str
        Worlds on which the case makes sense.
    """

    code: ClassVar[str | None] = None
    start: ClassVar[int] = 0
    steps: ClassVar[int] = 500
    within: ClassVar[int] = 200
    silent: ClassVar[tuple[str, ...]] = ()
    worlds: ClassVar[tuple[str, ...]] = WORLDS
    rates: ClassVar[tuple[float, float]] = (5e-4, 5e-4)

    def __init__(self, world: str, seed: int) -> None:
        torch.manual_seed(seed)
        self.world = world
        self.reals = load_reals(world)
        self.step = 0
        self.g, self.d = self.make_generator(), self.make_discriminator()
        self.g_optimizer, self.d_optimizer = self.make_optimizer("g"), self.make_optimizer("d")

    @property
    def is_on(self) -> bool:
        """True from the step on at which the case differs."""
        return self.step >= self.start

    def make_generator(self) -> nn.Module:
        """Create the generator."""
        size, shape = self.reals[0].numel(), self.reals.shape[1:]
        layers = nn.Linear(LATENTS, 128), nn.BatchNorm1d(128), nn.ReLU(), nn.Linear(128, 128), nn.BatchNorm1d(128), nn.ReLU()
        end = [nn.Tanh()] if self.world == "digits" else []
        return nn.Sequential(*layers, nn.Linear(128, size), *end, nn.Unflatten(1, shape))

    def make_discriminator(self) -> nn.Module:
        """Create the discriminator."""
        size = self.reals[0].numel()
        return nn.Sequential(
            nn.Flatten(), nn.Linear(size, 128), nn.LeakyReLU(0.2), nn.Linear(128, 128), nn.LeakyReLU(0.2), nn.Linear(128, 1)
        )

    def make_optimizer(self, role: str) -> Optimizer:
        """Create the optimizer of a network."""
        network = {"g": self.g, "d": self.d}[role]
        return Adam(network.parameters(), lr=self.rates["gd".index(role)], betas=(0.5, 0.999))

    def draw_reals(self) -> Tensor:
        """Return a batch of reals."""
        return self.reals[torch.randint(len(self.reals), (BATCH,))]

    def draw_latents(self) -> Tensor:
        """Return latents, shape (BATCH, LATENTS)."""
        return torch.randn(BATCH, LATENTS)

    def d_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        """Return D's loss from its scores."""
        return F.softplus(-real).mean() + F.softplus(fake).mean()

    def g_loss(self, fake: Tensor) -> Tensor:
        """Return G's loss from D's scores."""
        return F.softplus(-fake).mean()

    def clear(self, optimizer: Optimizer) -> None:
        """Clear gradients before a phase."""
        optimizer.zero_grad()

    def d_phase(self) -> None:
        """Update D once."""
        self.clear(self.d_optimizer)
        loss = self.d_loss(self.d(self.draw_reals()), self.d(self.g(self.draw_latents()).detach()))
        loss.backward()
        self.d_optimizer.step()

    def g_phase(self) -> None:
        """Update G once."""
        self.clear(self.g_optimizer)
        loss = self.g_loss(self.d(self.g(self.draw_latents())))
        loss.backward()
        self.g_optimizer.step()

    def before_step(self) -> None:
        """Change something at the beginning of a step."""

    def networks(self) -> dict[str, nn.Module]:
        """Return what is watched."""
        return {"G": self.g, "D": self.d}

    def options(self) -> dict[str, object]:
        """Return further arguments of ``watch``."""
        return {}

    def run(self) -> MemorySink:
        """Train under observation and return what was recorded."""
        sink = MemorySink()
        options = self.options()
        with ganwatch.watch(**self.networks(), store=None, sinks=[sink], audit_seconds=0.0, **options):  # type: ignore[arg-type]
            for step in range(1, self.steps + 1):
                self.step = step
                self.before_step()
                self.d_phase()
                self.g_phase()
        return sink
