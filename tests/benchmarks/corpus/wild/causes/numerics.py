"""Numerics: rates, overflow, dead gradients, initial weights, and constants that are far off."""

from __future__ import annotations

from typing import ClassVar

import torch
from corpus.wild.causes.cause import Cause
from corpus.wild.loop import Batch
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW, Optimizer

CRITIC = ("wgan-gp",)
DENSE = ("mlp", "batch-norm", "layer-norm", "selu", "residual", "dropout")


class RateThirtyTimes(Cause):
    """Learning rates of both networks that are thirty times as high."""

    codes = ("GW302", "GW101", "GW304")
    fact = False
    networks = ("mlp", "selu", "residual", "layer-norm", "dropout")
    factor = 30.0

    def schedule(self) -> None:
        super().schedule()
        if self.is_on:
            self.factors = dict.fromkeys("gd", self.factor)


class RateThreeHundredTimes(RateThirtyTimes):
    """Learning rates of both networks that are three hundred times as high."""

    networks = None
    without = ("spectral", "upsampling")
    factor = 300.0


class HalfOverflow(Cause):
    """The generator's loss overflows in half precision."""

    codes = ("GW303",)
    without = ("probability-bce",)

    def g_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        loss = super().g_loss(real, fake)
        return (loss.half() * 60000.0 * 60000.0).float() if self.is_on else loss


class DiscriminatorOverflow(Cause):
    """The discriminator's loss is scaled by more than half precision holds."""

    codes = ("GW303",)
    without = ("probability-bce",)

    def d_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        loss = super().d_loss(real, fake)
        return ((loss + 1.0).half() * 60000.0 * 60000.0).float() if self.is_on else loss


class LogOfZero(Cause):
    """A cross entropy written by hand without an epsilon, for a discriminator of high temperature."""

    codes = ("GW303",)
    fact = False
    losses = ("bce", "minimax")
    temperature = 60.0

    def d_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        if not self.is_on:
            return super().d_loss(real, fake)
        real, fake = torch.sigmoid(self.temperature * real), torch.sigmoid(self.temperature * fake)
        return -(torch.log(real).mean() + torch.log(1.0 - fake).mean())


class RootAtZero(Cause):
    """A distance to a copy of the fakes, whose root has no gradient at zero."""

    codes = ("GW303",)
    without = ("probability-bce",)

    def fakes_for_g(self) -> Batch:
        fakes = super().fakes_for_g()
        self.pull = ((fakes.samples - fakes.samples.detach()) ** 2).flatten(1).sum(1).sqrt().mean()
        return fakes

    def g_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        loss = super().g_loss(real, fake)
        return loss + 0.1 * self.pull if self.is_on else loss


class DivisionByVariance(Cause):
    """A discriminator's loss divided by the spread of a score that is constant: values that are not numbers."""

    codes = ("GW303",)
    without = ("probability-bce",)

    def d_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        loss = super().d_loss(real, fake)
        return loss + 0.1 * (fake / (fake.detach() - fake.detach()).std()).mean() if self.is_on else loss


class DeepSigmoids(Cause):
    """A generator of many layers with sigmoids."""

    codes = ("GW301",)
    fact, sets_in = False, False
    networks = DENSE
    depth = 8

    def make_body(self, latents: int, shape: tuple[int, ...]) -> nn.Sequential:
        layers = [layer for _ in range(self.depth) for layer in (nn.Linear(64, 64), nn.Sigmoid())]
        size = int(torch.Size(shape).numel())
        return nn.Sequential(nn.Linear(latents, 64), nn.Sigmoid(), *layers, nn.Linear(64, size), nn.Unflatten(1, shape))


class _Initial(Cause):
    """Weights that are scaled before the first step."""

    fact, sets_in = False, False
    factor = 1.0
    only = "gd"
    least_dimensions = 2

    def parameters(self, role: str) -> list[nn.Parameter]:
        parameters = super().parameters(role)
        with torch.no_grad():
            for parameter in parameters:
                if parameter.dim() >= self.least_dimensions and role in self.only:
                    parameter.mul_(self.factor)
        return parameters


class LargeWeights(_Initial):
    """Initial weights ten times as large."""

    codes = ("GW301", "GW302", "GW201", "GW403")
    factor = 10.0


class ZeroWeights(_Initial):
    """A generator whose weights and biases all begin at zero."""

    codes = ("GW301", "GW101", "GW403")
    networks = ("mlp", "selu", "residual")
    factor, only, least_dimensions = 0.0, "g", 1


class HeavyPenalty(Cause):
    """A gradient penalty with a weight of a thousand."""

    codes = ("GW202", "GW403", "GW002")
    fact = False
    losses = CRITIC
    worlds = ("ring", "table", "signals")

    def before_step(self) -> None:
        super().before_step()
        if self.is_on:
            self.penalty_weight = 1000.0


class NoPenalty(Cause):
    """A Wasserstein critic without any bound."""

    codes = ("GW302", "GW304")
    fact = False
    losses = CRITIC
    worlds = ("ring", "table", "signals")
    networks = ("mlp", "selu", "residual")

    def before_step(self) -> None:
        super().before_step()
        if self.is_on:
            self.penalty_weight = 0.0


class TightClipping(Cause):
    """Weights of a Wasserstein critic clipped to next to nothing."""

    codes = ("GW301", "GW202", "GW403")
    fact, sets_in = False, False
    losses = ("wgan-clip",)

    def before_step(self) -> None:
        super().before_step()
        if self.is_on:
            self.clip = 1e-5


class LooseClipping(Cause):
    """Weights of a Wasserstein critic clipped at one, which bounds nothing at ten times the usual rates."""

    codes = ("GW302", "GW304")
    fact, sets_in = False, False
    losses = ("wgan-clip",)

    def configure(self) -> None:
        super().configure()
        self.clip = 1.0

    def schedule(self) -> None:
        super().schedule()
        self.factors = dict.fromkeys("gd", 10.0)


class BetasSwapped(Cause):
    """Adam with its two betas swapped."""

    codes = ("GW304", "GW302", "GW101")
    fact, sets_in = False, False

    def make_optimizer(self, role: str) -> Optimizer:
        rate = super().make_optimizer(role).param_groups[0]["lr"]
        return Adam(self.parameters(role), lr=min(rate, 2e-3), betas=(0.999, 0.9))


class HeavyDecay(Cause):
    """A weight decay that shrinks weights by a few per cent at every step."""

    codes: ClassVar[tuple[str, ...]] = ("GW301", "GW101", "GW403")
    fact = False
    role = "g"
    decay = 40.0

    def before_step(self) -> None:
        super().before_step()
        if self.begins:
            rate = self.optimizers[self.role].param_groups[0]["lr"]
            optimizer = AdamW(getattr(self, self.role).parameters(), lr=min(rate, 2e-3), betas=(0.5, 0.999), weight_decay=self.decay)
            self.optimizers[self.role] = optimizer
            self.rates[self.role] = min(rate, 2e-3)


class HeavyDecayOfDiscriminator(HeavyDecay):
    """The same decay for the discriminator."""

    codes = ("GW202", "GW301")
    role, sets_in = "d", False
    without = ("spectral", "upsampling")


class HighDropout(Cause):
    """A generator with a dropout of nine in ten before its last layers."""

    codes = ("GW301", "GW403", "GW201", "GW101")
    fact, sets_in = False, False
    networks = DENSE

    def make_body(self, latents: int, shape: tuple[int, ...]) -> nn.Sequential:
        layers = list(super().make_body(latents, shape))
        return nn.Sequential(*layers[:-2], nn.Dropout(0.98), *layers[-2:])


class PlainDescent(Cause):
    """Plain gradient descent with the learning rate of Adam."""

    codes = ("GW002", "GW403")
    fact, sets_in = False, False

    def make_optimizer(self, role: str) -> Optimizer:
        return SGD(self.parameters(role), lr=1e-5)
