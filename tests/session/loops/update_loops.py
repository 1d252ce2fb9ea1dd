"""Loops that differ in how a network is updated: backward passes, penalties, clipping, mixed precision, closures."""

import math

import torch
from batch_loops import FakesWithGraphLoop
from plain_loop import BATCH, LOSSES, STEPS, Loop, bce
from torch import nn
from torch.autograd import grad


class SeveralBackwardsLoop(Loop):
    def d_phase(self, real):
        self.optimizers["d"].zero_grad()
        self.backward(bce(self.d(real), True))
        self.backward(bce(self.d(self.fake().detach()), False))
        self.step("d")


class LossesFirstLoop(Loop):
    """Both losses are computed first, then both networks are updated."""

    def run(self, steps=STEPS):
        self.start()
        batches = self.batches()
        for _ in range(steps):
            fake = self.fake()
            d_loss = LOSSES[self.loss][0](self.d(next(batches)), self.d(fake.detach()))
            g_loss = LOSSES[self.loss][1](self.d(fake))
            for role, loss in (("g", g_loss), ("d", d_loss)):
                self.optimizers[role].zero_grad()
                loss.backward()
            for role, loss in (("d", d_loss), ("g", g_loss)):
                self.pending = float(loss.detach())
                self.step(role)


class WeightedBackwardLoop(Loop):
    """Losses get their weights where they are back-propagated."""

    loss = "wasserstein"

    def update(self, network, loss):
        self.optimizers[network].zero_grad()
        (-loss).backward(torch.tensor(-1.0))
        self.pending = float(loss.detach())
        self.step(network)


class ManualGradientLoop(Loop):
    """Gradients are assigned to the parameters."""

    def update(self, network, loss):
        parameters = list({"g": self.g, "d": self.d}[network].parameters())
        for parameter, gradient in zip(parameters, torch.autograd.grad(loss, parameters), strict=True):
            parameter.grad = gradient
        self.pending = float(loss.detach())
        self.step(network)


class GradientPenaltyLoop(Loop):
    loss, d_steps = "wasserstein", 2

    def d_phase(self, real):
        fake = self.fake().detach()
        mix = (real + torch.rand(BATCH, 1, 1, 1) * (fake - real)).requires_grad_()
        [gradient] = torch.autograd.grad(self.d(mix).sum(), mix, create_graph=True)
        penalty = (gradient.flatten(1).norm(dim=1) - 1).pow(2).mean()
        self.update("d", self.d(fake).mean() - self.d(real).mean() + 10 * penalty)


class PenaltyAtSamplesLoop(FakesWithGraphLoop):
    """The gradient at the reals and fakes themselves is penalised in every step."""

    loss = "wasserstein"

    def d_phase(self, real):
        both = real.requires_grad_(), self.fake()
        scores = [self.d(x) for x in both]
        gradients = [grad(score.sum(), x, create_graph=True)[0] for score, x in zip(scores, both, strict=True)]
        penalty = sum(gradient.flatten(1).norm(dim=1).pow(6).mean() for gradient in gradients)
        self.update("d", LOSSES[self.loss][0](*scores) + penalty)


def squared_gradient(network, x):
    [gradient] = torch.autograd.grad(network(x).sum(), x, create_graph=True)
    return gradient.flatten(1).square().sum(1).mean()


class LazyPenaltyLoop(Loop):
    """Every fourth update of D has a penalty on the gradient at the reals; if it is ``separate``, it is an update of its own."""

    separate = False

    def d_phase(self, real):
        self.count = getattr(self, "count", 0) + 1
        loss = LOSSES[self.loss][0](self.d(real), self.d(self.fake().detach()))
        if self.count % 4 or self.separate:
            self.update("d", loss)
            loss = 0.0
        if self.count % 4 == 0:
            self.update("d_regularised", loss + 10 * self.penalty(real.clone().requires_grad_()))

    def penalty(self, x):
        return squared_gradient(self.d, x)


class PenaltyBeforeAugmentationLoop(LazyPenaltyLoop):
    """The gradient is that before an augmentation, by a function that was imported by name."""

    separate = True

    def penalty(self, x):
        [gradient] = grad(self.d(x.flip(3)).sum(), x, create_graph=True)
        return gradient.flatten(1).square().sum(1).mean()


class PathLengthLoop(Loop):
    """Every fourth update of G is followed by one that only regularises."""

    def g_phase(self, real):
        super().g_phase(real)
        self.count = getattr(self, "count", 0) + 1
        if self.count % 4 == 0:
            self.update("g_regularised", squared_gradient(self.g, torch.randn(BATCH, 8).requires_grad_()))


class ClippingLoop(Loop):
    clip = staticmethod(lambda parameters: nn.utils.clip_grad_norm_(parameters, 0.01))

    def step(self, network):
        norm = self.norm(network)
        self.clip({"g": self.g, "d": self.d}[network].parameters())
        super().step(network, clipped=self.norm(network), norm=norm)


class WeightClippingLoop(Loop):
    loss, d_steps = "wasserstein", 3

    def step(self, network):
        super().step(network)
        with torch.no_grad():
            for p in self.d.parameters():
                p.clamp_(-0.05, 0.05)


class ScalerLoop(Loop):
    """Mixed precision; the first update of each network overflows and is skipped."""

    scalers, fused, clips = 1, False, False

    def optimizer(self, role):
        return torch.optim.Adam({"g": self.g, "d": self.d}[role].parameters(), 1e-3, fused=self.fused)

    def start(self):
        super().start()
        scalers = [torch.amp.GradScaler("cpu", init_scale=2.0**16) for _ in range(self.scalers)]
        self.scaler = {"d": scalers[0], "g": scalers[-1]}

    def score(self, output):
        return output.float()

    def d_phase(self, real):
        with torch.autocast("cpu", torch.bfloat16):
            super().d_phase(real)

    def g_phase(self, real):
        with torch.autocast("cpu", torch.bfloat16):
            super().g_phase(real)

    def update(self, network, loss):
        optimizer, scaler = self.optimizers[network], self.scaler[network]
        optimizer.zero_grad()
        if scaler.get_scale() == 2.0**16:
            loss = loss * 1e36
        scaler.scale(loss).backward()
        norm, clipped = self.norm(network, scaler.get_scale()), None
        if self.clips:
            scaler.unscale_(optimizer)
            nn.utils.clip_grad_norm_({"g": self.g, "d": self.d}[network].parameters(), 0.01)
            clipped = self.norm(network)
        if math.isfinite(norm):
            self.events.append((network, float(loss.detach()), norm, clipped))
        scaler.step(optimizer)
        scaler.update()


class AutocastLoop(Loop):
    """Mixed precision in D's phase, without a scaler."""

    def d_phase(self, real):
        with torch.autocast("cpu", torch.bfloat16):
            loss = LOSSES["bce"][0](self.d(real).float(), self.d(self.fake().detach()).float())
        self.update("d", loss)


class ClosureLoop(Loop):
    """Gradients are computed by a closure that the optimizer calls."""

    def d_phase(self, real):
        fake = self.fake().detach()
        self.step_with_closure("d", lambda: LOSSES[self.loss][0](self.d(real), self.d(fake)))

    def g_phase(self, real):
        latents = torch.randn(BATCH, self.latents)
        self.step_with_closure("g", lambda: LOSSES[self.loss][1](self.d(self.g(latents))))

    def step_with_closure(self, network, compute):
        def closure():
            self.optimizers[network].zero_grad()
            loss = compute()
            loss.backward()
            self.events.append((network, float(loss.detach()), self.norm(network), None))
            return loss

        self.optimizers[network].step(closure)

    def lbfgs(self, role):
        return torch.optim.LBFGS({"g": self.g, "d": self.d}[role].parameters(), lr=1e-3, max_iter=1)


class AccumulationLoop(Loop):
    """Gradients of two batches are accumulated; D requires no gradients in G's phase."""

    def update(self, role, loss):
        self.accumulated = getattr(self, "accumulated", {"g": [], "d": []})
        self.backward(loss / 2)
        self.accumulated[role].append(float(loss.detach()) / 2)
        if len(self.accumulated[role]) == 2:
            self.pending, self.accumulated[role] = sum(self.accumulated[role]), []
            self.step(role)
            self.optimizers[role].zero_grad()

    def run(self, steps=STEPS):
        super().run(2 * steps)

    def g_phase(self, real):
        self.d.requires_grad_(requires_grad=False)
        super().g_phase(real)
        self.d.requires_grad_(requires_grad=True)
