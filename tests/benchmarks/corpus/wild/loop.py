"""The loop of the wild part. Styles, causes and variants override the part that they change."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from corpus.wild.losses import LOSSES, gradient_norm_penalty, squared_gradient
from corpus.wild.networks import NETWORKS, ConditionalDiscriminator, ConditionalGenerator, MixedOutput
from corpus.wild.optimizers import create_optimizer
from corpus.wild.plan import WildPlan
from corpus.wild.worlds import World
from torch import Tensor, nn
from torch.optim import Optimizer

LATENTS = {"ring": 8, "grid": 8, "table": 16}
"""Dimensions of the latents; 24 in other worlds."""
EMBEDDING = 8
"""Dimensions of a label's embedding."""


class Batch(NamedTuple):
    """Samples as the discriminator gets them, and their labels."""

    samples: Tensor
    labels: Tensor

    def detach(self) -> Batch:
        """Return the batch without its graph."""
        return Batch(self.samples.detach(), self.labels)


class Loop:
    """A training of a plan on a world.

    Attributes
    ----------
    g, d : nn.Module
    optimizers : dict of str to Optimizer
        By role, ``g`` or ``d``.
    step : int
        Current step, from 1.
    pool, pool_labels : Tensor
        Training samples and their modes.
    batch, latents, d_steps : int
        Samples of a batch, dimensions of latents, and updates of D for each of G.
    factors : dict of str to float
        Factor of the learning rates, by role.
    """

    def __init__(self, plan: WildPlan, world: World) -> None:
        torch.manual_seed(plan.seed)
        self.plan, self.world, self.step = plan, world, 0
        self.loss = LOSSES[plan.loss]
        self.pool, self.pool_labels = world.samples, world.labels
        self.batch, self.latents, self.d_steps = plan.batch, LATENTS.get(world.name, 24), self.loss.d_steps
        self.penalty_weight, self.clip = self.loss.weight, self.loss.clip
        self.factors = {"g": 1.0, "d": 1.0}
        self.configure()
        self.batch = min(self.batch, len(self.pool))
        self.g, self.d = self.make_generator(), self.make_discriminator()
        self.optimizers = {role: self.make_optimizer(role) for role in "gd"}
        self.rates = {role: optimizer.param_groups[0]["lr"] for role, optimizer in self.optimizers.items()}
        self.source: Iterator[tuple[Tensor, Tensor]] = self.read()

    @property
    def is_on(self) -> bool:
        """True from the step of the cause."""
        return self.step >= self.plan.at

    def configure(self) -> None:
        """Change attributes before networks and optimizers are created."""

    # networks

    def make_generator(self) -> nn.Module:
        """Create the generator."""
        conditional, shape = self.world.conditional, self.world.shape
        body = self.make_body(self.latents + (EMBEDDING if conditional else 0), shape)
        if self.world.is_bounded:
            body = nn.Sequential(*body, nn.Tanh())
        if self.world.categories:
            body = nn.Sequential(*body, MixedOutput(self.world.categories))
        return ConditionalGenerator(body, self.world.kinds, EMBEDDING) if conditional else body

    def make_body(self, latents: int, shape: tuple[int, ...]) -> nn.Sequential:
        """Create the layers of the generator up to its output function."""
        body = NETWORKS[self.world.family][self.plan.network].generator(latents, shape)
        assert isinstance(body, nn.Sequential)
        return body

    def make_discriminator(self) -> nn.Module:
        """Create the discriminator."""
        shape = self.world.shape
        if self.world.conditional:
            body = self.make_critic((shape[0] + 1, *shape[1:]))
            return ConditionalDiscriminator(self._end(body), self.world.kinds, shape)
        return self._end(self.make_critic(shape))

    def _end(self, body: nn.Sequential) -> nn.Sequential:
        return nn.Sequential(*body, nn.Sigmoid()) if self.loss.sigmoid else body

    def make_critic(self, shape: tuple[int, ...]) -> nn.Sequential:
        """Create the layers of the discriminator up to its score."""
        body = NETWORKS[self.world.family][self.plan.network].discriminator(shape)
        assert isinstance(body, nn.Sequential)
        return body

    def parameters(self, role: str) -> list[nn.Parameter]:
        """Return the parameters that an optimizer gets."""
        return list(getattr(self, role).parameters())

    def make_optimizer(self, role: str) -> Optimizer:
        """Create the optimizer of a network."""
        return create_optimizer(self.plan.optimizer, self.world.name, role, self.parameters(role))

    def watched(self) -> tuple[nn.Module, nn.Module]:
        """Return the networks that ganwatch gets."""
        return self.g, self.d

    # data

    def read(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield batches of the training samples."""
        while True:
            places = torch.randint(len(self.pool), (self.batch,))
            yield self.pool[places], self.pool_labels[places]

    def next_real(self) -> Batch:
        """Return the next real batch."""
        samples, labels = next(self.source)
        return Batch(self.spoil(samples), labels)

    def spoil(self, samples: Tensor) -> Tensor:
        """Change real samples as a fault of the data does."""
        return samples

    def draw_latents(self, count: int) -> Tensor:
        """Draw latents."""
        return torch.randn(count, self.latents)

    def draw_labels(self, count: int) -> Tensor:
        """Draw labels to request."""
        return self.pool_labels[torch.randint(len(self.pool_labels), (count,))]

    # one phase

    def generate(self, count: int) -> Batch:
        """Generate a fake batch."""
        latents, labels = self.draw_latents(count), self.draw_labels(count)
        return Batch(self.g(latents, labels) if self.world.conditional else self.g(latents), labels)

    def fakes_for_d(self) -> Batch:
        """Return fakes of the discriminator's phase."""
        return self.generate(self.batch).detach()

    def fakes_for_g(self) -> Batch:
        """Return fakes of the generator's phase."""
        return self.generate(self.batch)

    def show(self, samples: Tensor) -> Tensor:
        """Return real or fake samples as the discriminator gets them."""
        return samples

    def score(self, batch: Batch) -> Tensor:
        """Return the discriminator's scores."""
        samples = self.show(batch.samples)
        scores: Tensor = self.d(samples, batch.labels) if self.world.conditional else self.d(samples)
        return scores

    def score_both(self, real: Batch, fake: Batch) -> tuple[Tensor, Tensor]:
        """Return scores of reals and fakes in the discriminator's phase."""
        return self.score(real), self.score(fake)

    def d_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        """Return the discriminator's loss from scores."""
        return self.loss.d(real, fake)

    def g_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        """Return the generator's loss from scores."""
        return self.loss.g(real, fake)

    def g_term(self, fake: Batch) -> Tensor | None:
        """Return what the generator's loss asks of its samples besides their scores; None for nothing."""
        return None

    def penalty(self, real: Batch, fake: Batch) -> Tensor | float:
        """Return the penalty of this step."""
        loss = self.loss
        if loss.penalty == "none" or self.step % loss.every or not self.penalty_weight:
            return 0.0
        if loss.penalty == "gp":
            mixing = torch.rand(len(real.samples), *[1] * (real.samples.dim() - 1))
            mixed = (mixing * real.samples + (1.0 - mixing) * fake.samples).detach().requires_grad_()
            return self.penalty_weight * gradient_norm_penalty(self.score(Batch(mixed, real.labels)), mixed)
        total: Tensor | float = 0.0
        for samples, labels in (real, fake)[: 2 if loss.penalty == "r1r2" else 1]:
            leaf = samples.detach().clone().requires_grad_()
            total = total + squared_gradient(self.score(Batch(leaf, labels)), leaf)
        return 0.5 * self.penalty_weight * loss.every * total

    def clear(self, role: str) -> None:
        """Clear gradients before a phase."""
        self.optimizers[role].zero_grad()

    def backward(self, loss: Tensor, role: str) -> None:
        """Compute gradients."""
        loss.backward()

    def update(self, role: str) -> None:
        """Apply gradients."""
        self.optimizers[role].step()
        if role == "d" and self.clip:
            with torch.no_grad():
                for parameter in self.d.parameters():
                    parameter.clamp_(-self.clip, self.clip)

    def d_objective(self) -> Tensor:
        """Return the discriminator's loss on new batches."""
        real, fake = self.next_real(), self.fakes_for_d()
        return self.d_loss(*self.score_both(real, fake)) + self.penalty(real, fake)

    def g_objective(self) -> Tensor:
        """Return the generator's loss on a new batch."""
        fake = self.fakes_for_g()
        scores = self.score(fake)
        with torch.no_grad():
            real = self.score(self.next_real()) if self.loss.paired else scores
        loss, term = self.g_loss(real, scores), self.g_term(fake)
        return loss if term is None else loss + term

    def d_phase(self) -> None:
        """Update the discriminator once."""
        self.clear("d")
        self.backward(self.d_objective(), "d")
        self.update("d")

    def g_phase(self) -> None:
        """Update the generator once."""
        self.clear("g")
        self.backward(self.g_objective(), "g")
        self.update("g")

    # one step

    def schedule(self) -> None:
        """Set ``factors`` before a step."""

    def before_step(self) -> None:
        """Change something before a step."""

    def after_step(self) -> None:
        """Do something after a step."""

    def phases(self) -> None:
        """Train both networks."""
        for _ in range(self.d_steps):
            self.d_phase()
        self.g_phase()

    def train_step(self, step: int) -> None:
        """Make one step."""
        self.step = step
        self.schedule()
        for role, optimizer in self.optimizers.items():
            for group in optimizer.param_groups:
                group["lr"] = self.rates[role] * self.factors[role]
        self.before_step()
        self.phases()
        self.after_step()

    # truth

    def truth_latents(self, count: int) -> Tensor:
        """Return fixed latents from the distribution that samples are drawn from when they are used."""
        return torch.randn(count, self.latents, generator=torch.Generator().manual_seed(0))

    def extra_facts(self) -> dict[str, Any]:
        """Return further facts of the run."""
        return {}
