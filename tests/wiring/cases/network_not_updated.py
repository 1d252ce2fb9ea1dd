"""Networks that are not updated, and designs that look like it."""

import torch
from torch import nn
from torch.optim import Adam

from wiring.loops import Loop


class FrozenGenerator(Loop):
    """The generator is frozen before training and never thawed."""

    code, within = "GW001", 20
    steps = 300

    def __init__(self, world, seed):
        super().__init__(world, seed)
        self.g.requires_grad_(False)

    def g_phase(self):
        self.clear(self.g_optimizer)
        self.g_loss(self.d(self.g(self.draw_latents()))).backward()
        self.g_optimizer.step()


class GeneratorFrozenLater(Loop):
    """The generator is frozen for an evaluation and not thawed."""

    code, start, within = "GW001", 150, 20

    def before_step(self):
        if self.step == self.start:
            self.g.requires_grad_(False)


class DetachedFakes(Loop):
    """Fakes are detached in the generator's phase."""

    code, within = "GW001", 20
    steps = 300

    def g_phase(self):
        self.clear(self.g_optimizer)
        fake = self.g(self.draw_latents())
        self.g_loss(self.d(fake.detach() if self.is_on else fake)).backward()
        self.g_optimizer.step()


class FakesDetachedLater(DetachedFakes):
    """Fakes are detached from a step on, and gradients are set to zero rather than to None."""

    start, within, steps = 150, 30, 500

    def clear(self, optimizer):
        optimizer.zero_grad(set_to_none=False)


class OptimizerOfDiscriminator(Loop):
    """The generator's optimizer was given the discriminator's parameters."""

    code, within = "GW001", 200
    steps = 300

    def make_optimizer(self, role):
        return Adam(self.d.parameters(), lr=self.rates[0])


class OptimizerOfReplaced(Loop):
    """The generator was replaced after its optimizer was created, so that this one has the parameters of a network that nobody calls."""

    code, within = "GW001", 60
    steps = 300

    def __init__(self, world, seed):
        super().__init__(world, seed)
        self.g = self.make_generator()


class SkippedUpdates(Loop):
    """A scaler skips each of D's updates, because its gradients overflow."""

    code, start, within = "GW001", 150, 20

    def __init__(self, world, seed):
        super().__init__(world, seed)
        self.scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)

    def d_phase(self):
        self.clear(self.d_optimizer)
        loss = self.d_loss(self.d(self.draw_reals()), self.d(self.g(self.draw_latents()).detach()))
        self.scaler.scale(loss * (torch.inf if self.is_on else 1.0)).backward()
        self.scaler.step(self.d_optimizer)
        self.scaler.update(1024.0)


class DiscriminatorStepForgotten(Loop):
    """D's loss is computed, but its optimizer no longer steps."""

    code, start, within = "GW001", 150, 200

    def d_phase(self):
        self.clear(self.d_optimizer)
        self.d_loss(self.d(self.draw_reals()), self.d(self.g(self.draw_latents()).detach())).backward()
        if not self.is_on:
            self.d_optimizer.step()


class DiscriminatorPhaseLeftOut(Loop):
    """D's phase is no longer run."""

    code, start, within = "GW001", 150, 200

    def d_phase(self):
        if not self.is_on:
            super().d_phase()


class GeneratorStepForgotten(Loop):
    """G's loss is computed, but its optimizer no longer steps."""

    code, start, within, steps = "GW001", 150, 200, 600

    def g_phase(self):
        self.clear(self.g_optimizer)
        self.g_loss(self.d(self.g(self.draw_latents()))).backward()
        if not self.is_on:
            self.g_optimizer.step()


class FineTunedLastLayer(Loop):
    """Only the last layers of both networks are trained."""

    silent = ("GW001",)

    def __init__(self, world, seed):
        super().__init__(world, seed)
        self.g[0].requires_grad_(False)
        self.d[1].requires_grad_(False)


class ProgressiveFreezing(Loop):
    """One layer of each network after the other is frozen, but for the last."""

    silent = ("GW001",)

    def before_step(self):
        if self.step in {100, 200}:
            for network in (self.g, self.d):
                layers = [layer for layer in network if isinstance(layer, nn.Linear)]
                layers[self.step // 100 - 1].requires_grad_(False)


class DiscriminatorFirst(Loop):
    """D is trained alone before G joins."""

    silent = ("GW001",)

    def g_phase(self):
        if self.step > 150:
            super().g_phase()


class LateDiscriminator(Loop):
    """D's loss is multiplied by zero at first, as VQGAN's ``disc_start`` does."""

    silent = ("GW001", "GW202")

    def d_loss(self, real, fake):
        return super().d_loss(real, fake) * (0.0 if self.step < 300 else 1.0)


class DeadUnits(Loop):
    """Rates a hundred times too large kill the units of both networks, so that gradients are exactly zero though everything is wired."""

    silent = ("GW001",)
    rates = (0.05, 0.05)
    steps = 300


class SmallScore(Loop):
    """G's loss is multiplied by zero now and then, as a trainer does that skips a term."""

    silent = ("GW001",)

    def g_loss(self, fake):
        return super().g_loss(fake) * (0.0 if self.step % 3 == 0 else 1.0)


class ManyDiscriminatorUpdates(Loop):
    """Five updates of D for each of G."""

    silent = ("GW001",)

    def d_phase(self):
        for _ in range(5):
            super().d_phase()


class DiscriminatorWhenWeak(Loop):
    """D is updated only while it does not rank nearly all pairs right."""

    silent = ("GW001",)

    def d_phase(self):
        real, fake = self.d(self.draw_reals()), self.d(self.g(self.draw_latents()).detach())
        self.clear(self.d_optimizer)
        self.d_loss(real, fake).backward()
        if (real > fake.T).float().mean() < 0.8:
            self.d_optimizer.step()
