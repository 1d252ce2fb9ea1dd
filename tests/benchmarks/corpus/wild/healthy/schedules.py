"""Schedules of rates, and trainings that go on."""

from __future__ import annotations

import math

import torch
from corpus.wild.healthy.variant import Variant
from corpus.wild.plan import WildPlan
from corpus.wild.worlds import World
from torch import Tensor, nn


class SlowStart(Variant):
    """Rates that rise over a quarter of the training."""

    def schedule(self) -> None:
        self.factors = dict.fromkeys("gd", min(1.0, self.step / (self.plan.steps / 4)))


class WarmRestarts(Variant):
    """Rates that fall along a cosine and start again, four times."""

    def schedule(self) -> None:
        period = self.plan.steps // 4
        self.factors = dict.fromkeys("gd", 0.1 + 0.45 * (1.0 + math.cos(math.pi * (self.step % period) / period)))


class Cosine(Variant):
    """Rates that fall along a cosine to a twentieth."""

    def schedule(self) -> None:
        self.factors = dict.fromkeys("gd", 0.05 + 0.475 * (1.0 + math.cos(math.pi * self.step / self.plan.steps)))


class RateSteps(Variant):
    """Rates that are halved three times."""

    def schedule(self) -> None:
        self.factors = dict.fromkeys("gd", 0.5 ** (4 * (self.step - 1) // self.plan.steps))


class FineTuning(Variant):
    """Networks of an earlier training, which goes on with a fifth of its rates."""

    earlier, is_pretrained = 400, False

    def __init__(self, plan: WildPlan, world: World) -> None:
        super().__init__(plan, world)
        for step in range(1, self.earlier + 1):
            self.train_step(step)
        self.optimizers = {role: self.make_optimizer(role) for role in "gd"}
        self.step, self.is_pretrained = 0, True

    def schedule(self) -> None:
        self.factors = dict.fromkeys("gd", 0.2 if self.is_pretrained else 1.0)


class FreshOptimizers(Variant):
    """Optimizers that are created again at half of the training."""

    def before_step(self) -> None:
        super().before_step()
        if self.step == self.plan.steps // 2:
            self.optimizers = {role: self.make_optimizer(role) for role in "gd"}


class UnevenRates(Variant):
    """A discriminator at half of its rate."""

    def schedule(self) -> None:
        self.factors["d"] = 0.5


class TwoDiscriminatorUpdates(Variant):
    """Two updates of the discriminator for each of the generator, at half of its rate."""

    def configure(self) -> None:
        super().configure()
        self.d_steps = max(2, self.d_steps)

    def schedule(self) -> None:
        self.factors["d"] = 0.5


class TrainedAhead(Variant):
    """A discriminator that is trained alone for some updates before the first step."""

    without = ("combined",)

    def before_step(self) -> None:
        super().before_step()
        if self.step == 1:
            for _ in range(15):
                self.d_phase()


class ClippedGradients(Variant):
    """Gradients that are clipped to a usual norm."""

    def update(self, role: str) -> None:
        nn.utils.clip_grad_norm_(getattr(self, role).parameters(), 1.0)
        super().update(role)


class Autocast(Variant):
    """Both losses under automatic mixed precision with bfloat16."""

    networks = ("batch-norm", "dropout", "spectral", "mlp")
    without = ("probability-bce", "wgan-gp", "r3gan", "logistic-r1")

    def d_objective(self) -> Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return super().d_objective()

    def g_objective(self) -> Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return super().g_objective()
