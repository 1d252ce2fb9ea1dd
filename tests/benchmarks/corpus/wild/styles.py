"""Styles: the same training, written in the ways that people write it."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from corpus.wild.loop import Batch, Loop
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset


class Plain(Loop):
    """Draws reals by index, and updates the discriminator first."""


class Loader(Loop):
    """Reads reals from a shuffled ``DataLoader``, epoch by epoch."""

    def read(self) -> Iterator[tuple[Tensor, Tensor]]:
        while True:
            dataset = TensorDataset(self.pool, self.pool_labels)
            yield from DataLoader(dataset, batch_size=min(self.batch, len(dataset)), shuffle=True, drop_last=True)


class GeneratorFirst(Loop):
    """Updates the generator first."""

    def phases(self) -> None:
        self.g_phase()
        for _ in range(self.d_steps):
            self.d_phase()


class Concatenated(Loader):
    """Scores reals and fakes in one call of the discriminator."""

    def score_both(self, real: Batch, fake: Batch) -> tuple[Tensor, Tensor]:
        both = Batch(torch.cat([real.samples, fake.samples]), torch.cat([real.labels, fake.labels]))
        first, second = self.score(both).split([len(real.samples), len(fake.samples)])
        return first, second


class Reused(Loop):
    """Generates fakes once a step and uses them in both phases."""

    fakes: Batch | None = None

    def fakes_for_d(self) -> Batch:
        if self.fakes is None:
            self.fakes = self.generate(self.batch)
        return self.fakes.detach()

    def fakes_for_g(self) -> Batch:
        fakes = self.fakes or self.generate(self.batch)
        self.fakes = None
        return fakes


class WithoutGraph(Loader):
    """Generates the discriminator's fakes under ``no_grad``, and zeroes gradients in place."""

    def fakes_for_d(self) -> Batch:
        with torch.no_grad():
            return self.generate(self.batch)

    def clear(self, role: str) -> None:
        self.optimizers[role].zero_grad(set_to_none=False)


class Accumulated(Loop):
    """Adds up the gradients of two halves of a batch."""

    def configure(self) -> None:
        super().configure()
        self.batch //= 2

    def d_phase(self) -> None:
        self.clear("d")
        for _ in range(2):
            self.backward(self.d_objective() / 2, "d")
        self.update("d")

    def g_phase(self) -> None:
        self.clear("g")
        for _ in range(2):
            self.backward(self.g_objective() / 2, "g")
        self.update("g")


class Combined(Loader):
    """Computes both losses first, then back-propagates each into its own network, then updates both."""

    def phases(self) -> None:
        for _ in range(self.d_steps - 1):
            self.d_phase()
        self.clear("d")
        self.clear("g")
        d_loss, g_loss = self.d_objective(), self.g_objective()
        g_loss.backward(inputs=[parameter for parameter in self.g.parameters() if parameter.requires_grad])
        self.backward(d_loss, "d")
        self.update("d")
        self.update("g")


class Frozen(Loop):
    """Freezes the discriminator in the generator's phase."""

    def g_phase(self) -> None:
        self.d.requires_grad_(requires_grad=False)
        super().g_phase()
        self.d.requires_grad_(requires_grad=True)


class ClearedTogether(Loader):
    """Clears the gradients of both networks before each phase."""

    def clear(self, role: str) -> None:
        for optimizer in self.optimizers.values():
            optimizer.zero_grad()


STYLES: dict[str, type[Loop]] = {
    "plain": Plain, "loader": Loader, "generator-first": GeneratorFirst, "concatenated": Concatenated, "reused": Reused,
    "without-graph": WithoutGraph, "accumulated": Accumulated, "combined": Combined, "frozen": Frozen, "cleared-together": ClearedTogether,
}  # fmt: skip
"""Styles by name."""
