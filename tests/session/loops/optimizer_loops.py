"""Loops that differ in when and by whom networks are trained: in turn, with third networks, with several or other optimizers."""

import copy

import torch
from plain_loop import LOSSES, STEPS, Loop, bce
from torch import nn
from torch.nn import functional as F  # noqa: N812  # as everybody calls it


class FreezingLoop(Loop):
    """D on one batch, G on the next, the other one frozen meanwhile, gradients zeroed in place after the step."""

    def update(self, role, loss):
        self.backward(loss)
        self.step(role)
        self.optimizers[role].zero_grad(set_to_none=False)

    def run(self, steps=STEPS):
        self.start()
        for number, real in zip(range(2 * steps), self.batches(), strict=False):
            phase, network, other = (self.g_phase, self.g, self.d) if number % 2 else (self.d_phase, self.d, self.g)
            network.requires_grad_(True)
            other.requires_grad_(False)
            phase(real)
        self.g.requires_grad_(True)
        self.d.requires_grad_(True)


class LongPhasesLoop(Loop):
    """Each network is trained for 30 updates in turn."""

    def run(self, steps=120):
        self.start()
        batches = self.batches()
        for _ in range(steps // 30):
            for _ in range(30):
                self.d_phase(next(batches))
            for _ in range(30):
                self.g_phase(None)


class JointOptimizerLoop(Loop):
    """A third optimizer updates both networks, for a loss of its own."""

    def start(self):
        super().start()
        self.both = torch.optim.Adam([*self.g.parameters(), *self.d.parameters()], 1e-3)

    def g_phase(self, real):
        super().g_phase(real)
        self.both.zero_grad()
        loss = (self.d(self.fake()) - 3.0).abs().mean()
        loss.backward()
        self.events += [(f"{role}_regularised", float(loss.detach()), self.norm(role), None) for role in "gd"]
        self.both.step()


class EMALoop(Loop):
    def run(self, steps=STEPS):
        self.ema = copy.deepcopy(self.g)
        super().run(steps)

    def step(self, role):
        super().step(role)
        with torch.no_grad():
            for mean, new in zip(self.ema.parameters(), self.g.parameters(), strict=True):
                mean.lerp_(new, 0.1)
            self.ema(torch.ones(4, 8))


class NewOptimizersLoop(Loop):
    """Optimizers are replaced half-way."""

    def run(self, steps=STEPS):
        super().run(steps // 2)
        super().run(steps // 2)


class OldAndNewOptimizersLoop(NewOptimizersLoop):
    """… and the old ones still exist."""

    def start(self):
        self.old = getattr(self, "optimizers", None)
        super().start()


class PretrainingLoop(Loop):
    """G is trained by itself at first, with an optimizer of its own that stays."""

    def run(self, steps=STEPS):
        super().start()
        self.pretraining = self.optimizers
        batches = self.batches()
        for _ in range(5):
            self.update("g", F.l1_loss(self.fake(), next(batches)))
        super().run(steps)


class VAEGANLoop(Loop):
    """An encoder is trained through G and D, whose gradients from it are dropped; fakes keep their graph in D's phase."""

    def start(self):
        super().start()
        self.encoder = nn.Linear(64, self.latents)
        self.encoder_optimizer = torch.optim.Adam(self.encoder.parameters(), 1e-3)

    def d_phase(self, real):
        fake = self.g(self.encoder(real.flatten(1)))
        self.update("d", LOSSES[self.loss][0](self.d(real), self.d(fake)))

    def g_phase(self, real):
        super().g_phase(real)
        self.encoder_optimizer.zero_grad()
        self.d(self.g(self.encoder(real.flatten(1)))).square().mean().backward()
        self.encoder_optimizer.step()


class ThirdNetworkLoop(Loop):
    """After ten steps a third network is trained between the phases."""

    def start(self):
        super().start()
        self.third = nn.Sequential(nn.Flatten(), nn.Linear(64, 3))
        self.third_optimizer = torch.optim.Adam(self.third.parameters(), 1e-3)

    def g_phase(self, real):
        if len(self.events) > 20:
            self.third_optimizer.zero_grad()
            self.third(real).square().mean().backward()
            self.third_optimizer.step()
        super().g_phase(real)


class ThirdNetworkInPhaseLoop(ThirdNetworkLoop):
    """The third network has a part in G's loss, and is updated between that and a further one."""

    def g_phase(self, real):
        self.optimizers["g"].zero_grad()
        fake = self.fake()
        self.third_optimizer.zero_grad()
        self.backward(bce(self.d(fake), True) + self.third(fake).square().mean(), retain_graph=True)
        self.third_optimizer.step()
        self.backward(fake.square().mean())
        self.step("g")
