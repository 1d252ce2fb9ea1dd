"""Objectives: signs, targets and batches of the losses that are connected wrongly."""

from __future__ import annotations

import torch
from corpus.wild.causes.cause import Cause
from corpus.wild.loop import Batch
from torch import Tensor, nn
from torch.optim import Optimizer


class SignOfGenerator(Cause):
    """The generator's loss has the wrong sign."""

    codes = ("GW003",)

    def g_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        loss = super().g_loss(real, fake)
        return -loss if self.is_on else loss


class LabelsSwapped(Cause):
    """The discriminator's loss takes reals for fakes."""

    codes = ("GW003",)

    def d_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        return super().d_loss(fake, real) if self.is_on else super().d_loss(real, fake)


class FakeTarget(Cause):
    """The generator's loss has the target of fakes."""

    codes = ("GW003",)
    losses = ("bce", "probability-bce", "smoothed-bce", "least-squares")

    def g_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        if not self.is_on:
            return super().g_loss(real, fake)
        if self.loss.sigmoid:
            return nn.BCELoss()(fake, torch.zeros_like(fake))
        return (fake**2).mean() if self.plan.loss == "least-squares" else nn.functional.softplus(fake).mean()


class SameTarget(Cause):
    """The discriminator's loss has the target of reals for both batches."""

    codes = ("GW003", "GW202")
    losses = ("bce", "smoothed-bce", "logistic-r1", "minimax")

    def d_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        if not self.is_on:
            return super().d_loss(real, fake)
        return nn.functional.softplus(-real).mean() + nn.functional.softplus(-fake).mean()


class MaximizeLeft(Cause):
    """The discriminator's optimizer maximizes a loss that is written to be minimized."""

    codes = ("GW003",)
    sets_in = False

    def make_optimizer(self, role: str) -> Optimizer:
        optimizer = super().make_optimizer(role)
        if role == "d":
            for group in optimizer.param_groups:
                group["maximize"] = True
        return optimizer


class RealsForFakes(Cause):
    """The discriminator's phase scores the real batch twice."""

    codes = ("GW003", "GW202")

    def score_both(self, real: Batch, fake: Batch) -> tuple[Tensor, Tensor]:
        return super().score_both(real, real if self.is_on else fake)


class FakesForReals(Cause):
    """The discriminator's phase scores the fake batch twice."""

    codes = ("GW003", "GW202")

    def score_both(self, real: Batch, fake: Batch) -> tuple[Tensor, Tensor]:
        return super().score_both(fake if self.is_on else real, fake)
