"""Loops as people write them, each a row: the same bit for bit, steps and gradients counted right, real and fake never swapped."""

import copy
import io
import math
import pickle
from itertools import chain

import pytest
import torch
from torch import nn
from torch.autograd import grad
from torch.nn import functional as F  # noqa: N812  # as everybody calls it
from torch.utils.checkpoint import checkpoint
from torch.utils.data import DataLoader, TensorDataset

import ganwatch
from ganwatch.capture.step import reduce_to_scores
from ganwatch.core.probe import Probe
from ganwatch.session.defaults import default_probes
from ganwatch.session.diagnostics import setup_problems
from ganwatch.sinks.memory import MemorySink

STEPS, BATCH = 26, 16


def bce(score, real):
    return F.binary_cross_entropy_with_logits(score, torch.full_like(score, float(real)))


LOSSES = {
    "bce": (lambda r, f: bce(r, True) + bce(f, False), lambda f: bce(f, True)),
    "least squares": (lambda r, f: (r - 1).pow(2).mean() + f.pow(2).mean(), lambda f: (f - 1).pow(2).mean()),
    "hinge": (lambda r, f: F.relu(1 - r).mean() + F.relu(1 + f).mean(), lambda f: -f.mean()),
    "wasserstein": (lambda r, f: f.mean() - r.mean(), lambda f: -f.mean()),
    "softplus": (lambda r, f: F.softplus(-r).mean() + F.softplus(f).mean(), lambda f: F.softplus(-f).mean()),
    "inverted": (lambda r, f: bce(r, False) + bce(f, True), lambda f: bce(f, False)),
    "relativistic": (lambda r, f: F.softplus(f - r).mean(), None),
}


CROSS_ENTROPY = "binary cross-entropy on logits"
FAMILIES = {
    **dict.fromkeys(("bce", "softplus", "inverted"), CROSS_ENTROPY),
    "hinge": "hinge",
    "wasserstein": ("hinge or Wasserstein (no output beyond a margin yet)", "Wasserstein"),
    "least squares": "least squares, targets: real 1, fake 0, G 1",
    "relativistic": "relativistic, binary cross-entropy on logits",
}


class Loop:
    """A loop in plain PyTorch; what a row overrides is what differs."""

    loss, g_first, d_steps, latents = "bce", False, 1, 8
    brightness = 1.0
    """What reals are multiplied by on the way."""
    reals = ()
    """Reals as D was shown them, where they are not those of the data."""
    score = staticmethod(lambda output: output)
    part = staticmethod(lambda inputs: inputs[0])
    """Of what D was given, the samples."""

    def __init__(self):
        torch.manual_seed(1)
        self.data = torch.rand(256, 1, 8, 8) * 2 - 1
        self.g, self.d = self.generator(), self.discriminator()
        self.events, self.pending = [], 0.0
        """Every update: what it goes by, its loss, its gradient's norm, and that after clipping."""

    def generator(self):
        return nn.Sequential(
            nn.Linear(self.latents, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, 64), nn.Tanh(), nn.Unflatten(1, (1, 8, 8))
        )

    def discriminator(self):
        return nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.LeakyReLU(0.2), nn.Dropout(0.1), nn.Linear(32, 1))

    def networks(self):
        return {"G": self.g, "D": self.d}

    def optimizer(self, role):
        return torch.optim.Adam({"g": self.g, "d": self.d}[role].parameters(), 1e-3)

    def start(self):
        self.optimizers = {role: self.optimizer(role) for role in "gd"}

    def batches(self):
        while True:
            for (real,) in DataLoader(TensorDataset(self.data), BATCH, shuffle=True, drop_last=True):
                yield real

    def fake(self):
        return self.g(torch.randn(BATCH, self.latents))

    def shown(self, real):
        return real if self.brightness == 1.0 else real * self.brightness

    def d_phase(self, real):
        fake = self.fake().detach()
        self.update("d", LOSSES[self.loss][0](self.score(self.d(real)), self.score(self.d(fake))))

    def g_phase(self, real):
        of_g = LOSSES[self.loss][1]
        on_fake = self.score(self.d(self.fake()))
        self.update("g", of_g(on_fake) if of_g else F.softplus(self.score(self.d(real)).detach() - on_fake).mean())

    def update(self, network, loss):
        self.optimizers[network[0]].zero_grad()
        self.backward(loss)
        self.step(network)

    def backward(self, loss, **options):
        self.pending += float(loss.detach())
        loss.backward(**options)

    def norm(self, role, scale=1.0):
        network = {"g": self.g, "d": self.d}[role]
        return float(torch.cat([p.grad.flatten() for p in network.parameters() if p.grad is not None]).double().norm()) / scale

    def step(self, network, clipped=None, norm=None):
        self.events.append((network, self.pending, self.norm(network[0]) if norm is None else norm, clipped))
        self.pending = 0.0
        self.optimizers[network[0]].step()

    def run(self, steps=STEPS):
        self.start()
        batches = self.batches()
        for _ in range(steps):
            if self.g_first:
                self.g_phase(next(batches))
            for _ in range(self.d_steps):
                self.d_phase(self.shown(next(batches)))
            if not self.g_first:
                self.g_phase(next(batches))


class Together(Loop):
    def d_phase(self, real):
        on_real, on_fake = self.d(torch.cat([real, self.fake().detach()])).chunk(2)
        self.update("d", LOSSES[self.loss][0](on_real, on_fake))


class Apart(Loop):
    def d_phase(self, real):
        self.optimizers["d"].zero_grad()
        self.backward(bce(self.d(real), True))
        self.backward(bce(self.d(self.fake().detach()), False))
        self.step("d")


class Attached(Loop):
    """Fakes go to the discriminator with their graph in both phases."""

    def d_phase(self, real):
        self.update("d", LOSSES[self.loss][0](self.d(real), self.d(self.fake())))


class AttachedUnrecognised(Attached):
    """… and nothing but the slopes tells what is real."""

    def batches(self):
        while True:
            yield self.data[torch.randint(len(self.data), (BATCH,))]

    def fake(self):
        return super().fake().mul(1.0)


class Ahead(Loop):
    """Both losses are computed first, then both networks are updated."""

    def run(self, steps=STEPS):
        self.start()
        batches = self.batches()
        for _ in range(steps):
            fake = self.fake()
            of_d = LOSSES[self.loss][0](self.d(next(batches)), self.d(fake.detach()))
            of_g = LOSSES[self.loss][1](self.d(fake))
            for role, loss in (("g", of_g), ("d", of_d)):
                self.optimizers[role].zero_grad()
                loss.backward()
            for role, loss in (("d", of_d), ("g", of_g)):
                self.pending = float(loss.detach())
                self.step(role)


class TogetherPacked(Together):
    def discriminator(self):
        return nn.Sequential(nn.Flatten(), Packed(64))


class Wave(Loop):
    """Signals of one dimension, as in audio."""

    def __init__(self):
        super().__init__()
        pitch, phase = torch.rand(256, 1, 1) * 0.4 + 0.05, torch.rand(256, 1, 1) * 6
        self.data = torch.sin(torch.arange(256) * pitch + phase)
        self.g = nn.Sequential(
            nn.Linear(8, 8 * 32), nn.Unflatten(1, (8, 32)), nn.BatchNorm1d(8), nn.ReLU(), nn.ConvTranspose1d(8, 8, 8, 4, 2), nn.ReLU(),
            nn.ConvTranspose1d(8, 1, 4, 2, 1), nn.Tanh(),
        )  # fmt: skip

    def discriminator(self):
        return nn.Sequential(
            nn.Conv1d(1, 8, 9, 4, 4), nn.LeakyReLU(0.2), nn.Conv1d(8, 8, 9, 4, 4), nn.LeakyReLU(0.2), nn.Flatten(), nn.Linear(128, 1)
        )


class Twice(nn.Module):
    """Holds a network under two names, as wrappers of frameworks do."""

    def __init__(self, network):
        super().__init__()
        self.inner = self.original = network

    def forward(self, x):
        return self.inner(x)


class Wrapped(Loop):
    def __init__(self):
        super().__init__()
        self.g, self.d = Twice(self.g), Twice(self.d)


class Packed(nn.Module):
    """Judges two samples together."""

    def __init__(self, size):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(2 * size, 32), nn.LeakyReLU(0.2), nn.Dropout(0.5), nn.Linear(32, 1))

    def forward(self, x):
        return self.body(x.view(len(x) // 2, -1))


class Table(Loop):
    """Mixed columns: two numbers and a one-hot of three, which G is also told and D also shown, made of logits outside of G."""

    loss = "wasserstein"

    def __init__(self):
        super().__init__()
        self.kinds = torch.randint(3, (256,))
        self.data = torch.cat([torch.rand(256, 2) * 2 - 1, F.one_hot(self.kinds, 3).float()], dim=1)
        self.g = nn.Sequential(nn.Linear(8 + 3, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, 5))

    def discriminator(self):
        return Packed(5 + 3)

    def batches(self):
        while True:
            yield torch.randint(len(self.data), (BATCH,))

    def fake(self):
        told = F.one_hot(torch.randint(3, (BATCH,)), 3).float()
        made = self.g(torch.cat([torch.randn(BATCH, 8), told], dim=1))
        return torch.cat([made[:, :2].tanh(), F.gumbel_softmax(made[:, 2:], tau=0.2), told], dim=1)

    def d_phase(self, rows):
        fake, real = self.fake(), torch.cat([self.data[rows], F.one_hot(self.kinds[rows], 3).float()], dim=1)
        share = torch.rand(BATCH // 2, 1).repeat_interleave(2, 0)
        mix = share * real + (1 - share) * fake
        on_fake, on_real = self.d(fake), self.d(real)
        [slope] = torch.autograd.grad(self.d(mix).sum(), mix, create_graph=True)
        self.optimizers["d"].zero_grad()
        self.backward(10 * (slope.view(BATCH // 2, -1).norm(dim=1) - 1).pow(2).mean(), retain_graph=True)
        self.backward(LOSSES[self.loss][0](on_real, on_fake))
        self.step("d")


class Penalised(Loop):
    loss, d_steps = "wasserstein", 2

    def d_phase(self, real):
        fake = self.fake().detach()
        mix = (real + torch.rand(BATCH, 1, 1, 1) * (fake - real)).requires_grad_()
        [slope] = torch.autograd.grad(self.d(mix).sum(), mix, create_graph=True)
        penalty = (slope.flatten(1).norm(dim=1) - 1).pow(2).mean()
        self.update("d", self.d(fake).mean() - self.d(real).mean() + 10 * penalty)


class PenalisedAtReals(Attached):
    """The slope is penalised at the reals and fakes themselves, at every step."""

    loss = "wasserstein"

    def d_phase(self, real):
        both = real.requires_grad_(), self.fake()
        scores = [self.d(x) for x in both]
        slopes = [grad(score.sum(), x, create_graph=True)[0] for score, x in zip(scores, both, strict=True)]
        self.update("d", LOSSES[self.loss][0](*scores) + sum(slope.flatten(1).norm(dim=1).pow(6).mean() for slope in slopes))


class Weighted(Loop):
    """Losses get their weights where they are back-propagated."""

    loss = "wasserstein"

    def update(self, network, loss):
        self.optimizers[network].zero_grad()
        (-loss).backward(torch.tensor(-1.0))
        self.pending = float(loss.detach())
        self.step(network)


class ByHand(Loop):
    """Gradients are put where the optimizer finds them."""

    def update(self, network, loss):
        parameters = list({"g": self.g, "d": self.d}[network].parameters())
        for parameter, gradient in zip(parameters, torch.autograd.grad(loss, parameters), strict=True):
            parameter.grad = gradient
        self.pending = float(loss.detach())
        self.step(network)


class Recomputed(nn.Module):
    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, x):
        return checkpoint(self.network[1:], self.network[0](x), use_reentrant=True)


class Checkpointed(Loop):
    """A backward pass runs within another one."""

    def generator(self):
        return Recomputed(super().generator())


class Informed(Loop):
    """A third optimizer moves both networks, for a loss of its own."""

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


class Rescaled(Loop):
    """Reals change on the way, so that only the slopes tell."""

    brightness = 0.5


class RescaledBoth(Rescaled):
    """… and so do fakes."""

    def fake(self):
        return super().fake() * 0.5


class Indexed(Loop):
    """No loader at all."""

    def batches(self):
        while True:
            yield self.data[torch.randint(len(self.data), (BATCH,))]


class Noisy(Indexed):
    """No loader, noise on both; now and then the labels of a batch are ``flipped``."""

    flipped = noise = ()

    def __init__(self):
        super().__init__()
        self.reals = []

    def noised(self, x, kind):
        return x + 0.1 * torch.randn_like(x) if kind in self.noise else x

    def d_phase(self, real):
        self.reals.append(self.noised(real, "real"))
        labels = dict.fromkeys(("real", "fake"), False) | {"real": True}
        if len(self.reals) % 7 == 3:
            labels |= {kind: not labels[kind] for kind in self.flipped}
        scores = self.d(self.reals[-1]), self.d(self.noised(self.fake().detach(), "fake"))
        self.update("d", sum(bce(score, label) for score, label in zip(scores, labels.values(), strict=True)))


class SoftlyLabelled(Loop):
    """Labels are drawn for each sample."""

    def d_phase(self, real):
        on_real, on_fake = self.d(real), self.d(self.fake().detach())
        soft = torch.rand_like(on_real) * 0.5 + 0.7, torch.rand_like(on_fake) * 0.3
        self.update("d", sum(map(F.binary_cross_entropy_with_logits, (on_real, on_fake), soft)))


class Delivered(Noisy):
    """… of reals that a loader delivers."""

    batches = Loop.batches


STRUCTURES = {
    "tuple": (lambda score, features: (score, features), lambda output: output[0]),
    "dict": (lambda score, features: {"features": features, "score": score}, lambda output: output["score"]),
    "list of scales": (lambda score, features: [[features, score]], lambda output: output[0][1]),
}


class Named(nn.Module):
    def __init__(self, structure):
        super().__init__()
        self.body, self.head = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.LeakyReLU(0.2)), nn.Linear(32, 1)
        self.structure = structure

    def forward(self, x):
        features = self.body(x)
        return STRUCTURES[self.structure][0](self.head(features), features)


class Patches(Loop):
    loss = "least squares"

    def discriminator(self):
        return nn.Sequential(nn.Conv2d(1, 8, 3, 2, 1), nn.LeakyReLU(0.2), nn.Conv2d(8, 1, 3, 1, 1))


class Clipped(Loop):
    clip = staticmethod(lambda parameters: nn.utils.clip_grad_norm_(parameters, 0.01))

    def step(self, network):
        norm = self.norm(network)
        self.clip({"g": self.g, "d": self.d}[network].parameters())
        super().step(network, clipped=self.norm(network), norm=norm)


class WeightClipped(Loop):
    loss, d_steps = "wasserstein", 3

    def step(self, network):
        super().step(network)
        with torch.no_grad():
            for p in self.d.parameters():
                p.clamp_(-0.05, 0.05)


def slope_penalty(network, x):
    [slope] = torch.autograd.grad(network(x).sum(), x, create_graph=True)
    return slope.flatten(1).square().sum(1).mean()


class Lazy(Loop):
    """Every fourth update of D has a penalty on the slope at the reals; ``apart`` it is an update of its own."""

    apart = False

    def d_phase(self, real):
        self.count = getattr(self, "count", 0) + 1
        loss = LOSSES[self.loss][0](self.d(real), self.d(self.fake().detach()))
        if self.count % 4 or self.apart:
            self.update("d", loss)
            loss = 0.0
        if self.count % 4 == 0:
            self.update("d_regularised", loss + 10 * self.penalty(real.clone().requires_grad_()))

    def penalty(self, x):
        return slope_penalty(self.d, x)


class Augmented(Lazy):
    """The slope is measured before an augmentation, by a function that was imported by name."""

    apart = True

    def penalty(self, x):
        [slope] = grad(self.d(x.flip(3)).sum(), x, create_graph=True)
        return slope.flatten(1).square().sum(1).mean()


class PathLength(Loop):
    """Every fourth update of G is followed by one that regularises alone."""

    def g_phase(self, real):
        super().g_phase(real)
        self.count = getattr(self, "count", 0) + 1
        if self.count % 4 == 0:
            self.update("g_regularised", slope_penalty(self.g, torch.randn(BATCH, 8).requires_grad_()))


class Scaled(Loop):
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


class Compiled(Loop):
    """Compiled ``when``: before the loop is watched, or after; ``inside`` the module itself."""

    when, inside, raw = "before", False, True

    def __init__(self):
        super().__init__()
        self.plain = {"G": self.g, "D": self.d}
        if self.when == "before":
            self.compile()

    def compile(self):
        if self.inside:
            self.g.compile(backend="eager")
            self.d.compile(backend="eager")
        else:
            self.g, self.d = (torch.compile(network, backend="eager") for network in (self.g, self.d))

    def networks(self):
        return self.plain if self.raw else {"G": self.g, "D": self.d}

    def start(self):
        super().start()
        if self.when == "after":
            self.compile()


class Halves(nn.Module):
    """Never called as a whole."""

    def __init__(self, *halves):
        super().__init__()
        self.first, self.second = halves


class InParts(Loop):
    def generator(self):
        whole = super().generator()
        return Halves(whole[:2], whole[2:])

    def discriminator(self):
        whole = super().discriminator()
        return Halves(whole[:2], whole[3:])

    def fake(self):
        return self.g.second(self.g.first(torch.randn(BATCH, 8)))

    def judge(self, x):
        return self.d.second(F.leaky_relu(self.d.first(x), 0.2))

    def d_phase(self, real):
        self.update("d", LOSSES[self.loss][0](self.judge(real), self.judge(self.fake().detach())))

    def g_phase(self, real):
        self.update("g", LOSSES[self.loss][1](self.judge(self.fake())))


class Parallel(Loop):
    def generator(self):
        return nn.DataParallel(super().generator())

    def discriminator(self):
        return nn.DataParallel(super().discriminator())


class Encoded(Loop):
    """G's optimizer has a third network."""

    def __init__(self):
        super().__init__()
        self.encoder = nn.Linear(8, 8)

    def fake(self):
        return self.g(self.encoder(torch.randn(BATCH, 8)))

    def optimizer(self, role):
        return torch.optim.Adam(chain(self.encoder.parameters(), self.g.parameters()) if role == "g" else self.d.parameters(), 1e-3)


class Both(nn.Module):
    """Judges reals and fakes in one call."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.LeakyReLU(0.2), nn.Linear(32, 1))

    def forward(self, real, fake):
        return self.body(real), self.body(fake)


class Relative(Indexed):
    """G's loss is relative to reals that nobody recognises, with D's graph."""

    g_first, loss = True, "relativistic"

    def g_phase(self, real):
        on_fake = self.d(self.fake())
        self.update("g", F.softplus(self.d(real * 1.0) - on_fake).mean())


class TwoInputs(Loop):
    """A relativistic loss from one call with two inputs."""

    loss = "relativistic"

    def discriminator(self):
        return Both()

    def d_phase(self, real):
        on_real, on_fake = self.d(real, self.fake().detach())
        self.update("d", F.softplus(on_fake - on_real).mean())

    def g_phase(self, real):
        on_real, on_fake = self.d(real, self.fake())
        self.update("g", F.softplus(on_real - on_fake).mean())


class Scales(nn.Module):
    """Judges reals and fakes in one call, at two scales, with features: four lists."""

    def __init__(self):
        super().__init__()
        self.body = nn.ModuleList(nn.Sequential(nn.Flatten(), nn.Linear(64 // 4**at, 16), nn.LeakyReLU(0.2)) for at in range(2))
        self.head = nn.ModuleList(nn.Linear(16, 1) for _ in range(2))

    def judge(self, x):
        features = [body(F.avg_pool2d(x, 2**at)) for at, body in enumerate(self.body)]
        return [head(each) for head, each in zip(self.head, features, strict=True)], features

    def forward(self, real, fake):
        (of_real, in_real), (of_fake, in_fake) = self.judge(real), self.judge(fake)
        return of_real, of_fake, in_real, in_fake


class Matched(Loop):
    """… and G is told to match the features."""

    loss = "least squares"

    def discriminator(self):
        return Scales()

    def d_phase(self, real):
        of_real, of_fake, _, _ = self.d(real, self.fake().detach())
        self.update("d", sum((1 - r).square().mean() + f.square().mean() for r, f in zip(of_real, of_fake, strict=True)))

    def g_phase(self, real):
        _, of_fake, in_real, in_fake = self.d(real, self.fake())
        matching = sum((r.detach() - f).abs().mean() for r, f in zip(in_real, in_fake, strict=True))
        self.update("g", matching + sum((1 - f).square().mean() for f in of_fake))


class Closed(Loop):
    """Gradients are computed by a closure that the optimizer calls."""

    def d_phase(self, real):
        fake = self.fake().detach()
        self.close("d", lambda: LOSSES[self.loss][0](self.d(real), self.d(fake)))

    def g_phase(self, real):
        latents = torch.randn(BATCH, self.latents)
        self.close("g", lambda: LOSSES[self.loss][1](self.d(self.g(latents))))

    def close(self, network, compute):
        def closure():
            self.optimizers[network].zero_grad()
            loss = compute()
            loss.backward()
            self.events.append((network, float(loss.detach()), self.norm(network), None))
            return loss

        self.optimizers[network].step(closure)

    def lbfgs(self, role):
        return torch.optim.LBFGS({"g": self.g, "d": self.d}[role].parameters(), lr=1e-3, max_iter=1)


class Labelled(Loop):
    """Labels beside the latents and, flat, beside the pixels."""

    latents = 12

    def discriminator(self):
        return nn.Sequential(nn.Linear(68, 32), nn.LeakyReLU(0.2), nn.Linear(32, 1))

    def batches(self):
        labels = F.one_hot(torch.arange(256) % 4, 4).float()
        while True:
            yield from DataLoader(TensorDataset(self.data, labels), BATCH, shuffle=True, drop_last=True)

    def both(self, real):
        images, labels = real
        fake = self.g(torch.cat([torch.randn(BATCH, 8), labels], 1))
        return [torch.cat([x.flatten(1), labels], 1) for x in (images, fake)]

    def d_phase(self, real):
        real, fake = self.both(real)
        self.update("d", LOSSES[self.loss][0](self.d(real), self.d(fake.detach())))

    def g_phase(self, real):
        self.update("g", LOSSES[self.loss][1](self.d(self.both(real)[1])))


class Joined(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(128, 32), nn.LeakyReLU(0.2), nn.Linear(32, 1))

    def forward(self, a, b):
        return self.body(torch.cat([a, b], 1))


class Translated(Loop):
    """From one image to another, of the same shape; D sees both, as channels of one input or as two inputs."""

    two = False
    part = staticmethod(lambda inputs: inputs[0][:, -1:])

    def __init__(self):
        super().__init__()
        self.sources = torch.rand(256, 1, 8, 8)

    def generator(self):
        return nn.Sequential(nn.Conv2d(1, 8, 3, 1, 1), nn.ReLU(), nn.Conv2d(8, 1, 3, 1, 1))

    def discriminator(self):
        return Joined() if self.two else nn.Sequential(nn.Flatten(), nn.Linear(128, 32), nn.LeakyReLU(0.2), nn.Linear(32, 1))

    def batches(self):
        while True:
            yield from DataLoader(TensorDataset(self.sources, self.data), BATCH, shuffle=True, drop_last=True)

    def judge(self, source, image):
        return self.d(source, image) if self.two else self.d(torch.cat([source, image], 1))

    def d_phase(self, real):
        source, target = real
        fake = self.g(source).detach()
        self.update("d", LOSSES[self.loss][0](self.judge(source, target), self.judge(source, fake)))

    def g_phase(self, real):
        source, target = real
        fake = self.g(source)
        self.update("g", LOSSES[self.loss][1](self.judge(source, fake)) + F.l1_loss(fake, target))


class Pooled(Loop):
    """D sees fakes of several steps mixed sample by sample."""

    def d_phase(self, real):
        fake = self.fake().detach()
        self.pool = torch.cat([getattr(self, "pool", fake), fake])[-3 * BATCH :]
        mixed = self.pool[torch.randperm(len(self.pool))[:BATCH]]
        self.update("d", LOSSES[self.loss][0](self.d(real), self.d(mixed)))


class Pairs(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(72, 32), nn.LeakyReLU(0.2), nn.Linear(32, 1))

    def forward(self, x, z):
        return self.body(torch.cat([x.flatten(1), z], 1))


class Bidirectional(Loop):
    """An encoder beside the generator; D judges pairs of image and latent."""

    def __init__(self):
        super().__init__()
        self.g = nn.ModuleList([self.g, nn.Sequential(nn.Flatten(), nn.Linear(64, 8))])

    def networks(self):
        return {"G": list(self.g), "D": self.d}

    def discriminator(self):
        return Pairs()

    def outputs(self, real, detach):
        z = torch.randn(BATCH, 8)
        made, encoded = self.g[0](z), self.g[1](real)
        return self.d(real, encoded.detach() if detach else encoded), self.d(made.detach() if detach else made, z)

    def d_phase(self, real):
        self.update("d", LOSSES["bce"][0](*self.outputs(real, True)))

    def g_phase(self, real):
        on_real, on_fake = self.outputs(real, False)
        self.update("g", bce(on_fake, True) + bce(on_real, False))


class OneForward(Bidirectional):
    """… and both losses come from the same calls."""

    family = "unknown"

    def run(self, steps=STEPS):
        self.start()
        batches = self.batches()
        for _ in range(steps):
            on_real, on_fake = self.outputs(next(batches), False)
            losses = {"d": LOSSES["bce"][0](on_real, on_fake), "g": bce(on_fake, True) + bce(on_real, False)}
            for role, loss in losses.items():
                self.optimizers[role].zero_grad()
                loss.backward(inputs=list({"g": self.g, "d": self.d}[role].parameters()), retain_graph=role == "d")
            for role, loss in losses.items():
                self.pending = float(loss.detach())
                self.step(role)


class Alternating(Loop):
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


class Accumulated(Loop):
    def update(self, role, loss):
        self.waiting = getattr(self, "waiting", {"g": [], "d": []})
        self.backward(loss / 2)
        self.waiting[role].append(float(loss.detach()) / 2)
        if len(self.waiting[role]) == 2:
            self.pending, self.waiting[role] = sum(self.waiting[role]), []
            self.step(role)
            self.optimizers[role].zero_grad()

    def run(self, steps=STEPS):
        super().run(2 * steps)

    def g_phase(self, real):
        self.d.requires_grad_(requires_grad=False)
        super().g_phase(real)
        self.d.requires_grad_(requires_grad=True)


class ByName(Loop):
    def fake(self):
        return self.g.forward(torch.randn(BATCH, 8))


class Averaged(Loop):
    def run(self, steps=STEPS):
        self.ema = copy.deepcopy(self.g)
        super().run(steps)

    def step(self, role):
        super().step(role)
        with torch.no_grad():
            for mean, new in zip(self.ema.parameters(), self.g.parameters(), strict=True):
                mean.lerp_(new, 0.1)
            self.ema(torch.ones(4, 8))


class Mixed(Loop):
    def d_phase(self, real):
        with torch.autocast("cpu", torch.bfloat16):
            loss = LOSSES["bce"][0](self.d(real).float(), self.d(self.fake().detach()).float())
        self.update("d", loss)


class Late(Loop):
    """Optimizers are replaced half-way."""

    def run(self, steps=STEPS):
        super().run(steps // 2)
        super().run(steps // 2)


class Kept(Late):
    """… and the old ones are kept."""

    def start(self):
        self.old = getattr(self, "optimizers", None)
        super().start()


class Pretrained(Loop):
    """G is trained by itself at first, with an optimizer of its own that stays."""

    def run(self, steps=STEPS):
        super().start()
        self.pretraining = self.optimizers
        batches = self.batches()
        for _ in range(5):
            self.update("g", F.l1_loss(self.fake(), next(batches)))
        super().run(steps)


class VAEGAN(Loop):
    """An encoder is trained through G and D, whose gradients from it are thrown away; fakes keep their graph in D's phase."""

    def start(self):
        super().start()
        self.encoder = nn.Linear(64, self.latents)
        self.of_encoder = torch.optim.Adam(self.encoder.parameters(), 1e-3)

    def d_phase(self, real):
        fake = self.g(self.encoder(real.flatten(1)))
        self.update("d", LOSSES[self.loss][0](self.d(real), self.d(fake)))

    def g_phase(self, real):
        super().g_phase(real)
        self.of_encoder.zero_grad()
        self.d(self.g(self.encoder(real.flatten(1)))).square().mean().backward()
        self.of_encoder.step()


class Grown(Loop):
    """Half-way both networks get other layers at both ends."""

    def run(self, steps=STEPS):
        super().run(steps // 2)
        for network, places in ((self.g, (0, 3)), (self.d, (1, 4))):
            for place in places:
                network[place] = nn.Linear(network[place].in_features, network[place].out_features)
        super().run(steps // 2)


class Accompanied(Loop):
    """After ten steps a third network is trained between the phases."""

    def start(self):
        super().start()
        self.third = nn.Sequential(nn.Flatten(), nn.Linear(64, 3))
        self.of_third = torch.optim.Adam(self.third.parameters(), 1e-3)

    def g_phase(self, real):
        if len(self.events) > 20:
            self.of_third.zero_grad()
            self.third(real).square().mean().backward()
            self.of_third.step()
        super().g_phase(real)


class Followed(Accompanied):
    """The third network has a part in G's loss, and is updated between that and a further one."""

    def g_phase(self, real):
        self.optimizers["g"].zero_grad()
        fake = self.fake()
        self.of_third.zero_grad()
        self.backward(bce(self.d(fake), True) + self.third(fake).square().mean(), retain_graph=True)
        self.of_third.step()
        self.backward(fake.square().mean())
        self.step("g")


class Pair(nn.Module):
    def __init__(self, size):
        super().__init__()
        shape = (1, 8, 8) if size == 64 else (1,)
        self.a, self.b = (
            nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, size), nn.Unflatten(1, shape)) for _ in range(2)
        )


class Cycle(Loop):
    """Two generators from one kind of image to the other, two discriminators, an optimizer for each pair, a pool of old fakes."""

    loss = "least squares"

    def __init__(self):
        super().__init__()
        self.other = torch.rand(256, 1, 8, 8)
        self.g, self.d = Pair(64), Pair(1)
        self.pool = []

    def networks(self):
        return {"G": [self.g.a, self.g.b], "D": {"a": self.d.a, "b": self.d.b}}

    def batches(self):
        while True:
            yield from DataLoader(TensorDataset(self.data, self.other), BATCH, shuffle=True, drop_last=True)

    def pooled(self, fake):
        self.pool = [*self.pool, fake.detach()][-3:]
        return self.pool[0].clone()

    def d_phase(self, real):
        real_a, real_b = real
        fake_a, fake_b = self.made
        judge = LOSSES[self.loss][0]
        fakes = self.pooled(fake_a), fake_b.detach()
        self.update("d", judge(self.d.a(real_a), self.d.a(fakes[0])) + judge(self.d.b(real_b), self.d.b(fakes[1])))

    def g_phase(self, real):
        real_a, real_b = real
        self.made = fake_a, fake_b = self.g.a(real_b), self.g.b(real_a)
        cycle = F.l1_loss(self.g.a(fake_b), real_a) + F.l1_loss(self.g.b(fake_a), real_b)
        self.update("g", sum(LOSSES[self.loss][1](net(x)) for net, x in ((self.d.a, fake_a), (self.d.b, fake_b))) + 10 * cycle)

    def run(self, steps=STEPS):
        self.start()
        batches = self.batches()
        for _ in range(steps):
            real = next(batches)
            self.g_phase(real)
            self.d_phase(real)


def row(base=Loop, **facts):
    return type("Row", (base,), facts)


def structured(name):
    return row(discriminator=lambda self: Named(name), score=staticmethod(STRUCTURES[name][1]))


ROWS = {
    **{loss: row(loss=loss) for loss in LOSSES},
    "G first": row(g_first=True),
    "three critic steps": row(d_steps=3),
    "together": Together,
    "together, two judged as one": TogetherPacked,
    "several backwards": Apart,
    "fakes with their graph": Attached,
    "fakes with their graph, unrecognised": AttachedUnrecognised,
    "both losses first": Ahead,
    "held twice": Wrapped,
    "waves": Wave,
    "tables": Table,
    "gradient penalty": Penalised,
    "rescaled reals": Rescaled,
    "rescaled reals, inverted": row(Rescaled, loss="inverted"),
    "rescaled reals, Wasserstein, G first": row(Rescaled, loss="wasserstein", g_first=True),
    "rescaled reals, least squares": row(Rescaled, loss="least squares"),
    "both rescaled": RescaledBoth,
    "both rescaled, least squares": row(RescaledBoth, loss="least squares"),
    "no loader": Indexed,
    "soft labels": SoftlyLabelled,
    "no loader, noise": row(Noisy, noise=("real", "fake")),
    "no loader, noise, both flipped": row(Noisy, noise=("real", "fake"), flipped=("real", "fake")),
    "no loader, noise, reals flipped": row(Noisy, noise=("real", "fake"), flipped=("real",)),
    "no loader, reals flipped": row(Noisy, flipped=("real",)),
    "no loader, both flipped": row(Noisy, flipped=("real", "fake")),
    "noisy fakes, fakes flipped": row(Delivered, noise=("fake",), flipped=("fake",)),
    "noisy fakes, both flipped": row(Delivered, noise=("fake",), flipped=("real", "fake")),
    "patches": Patches,
    **{name: structured(name) for name in STRUCTURES},
    "clipped": Clipped,
    "clipped by value": row(Clipped, clip=staticmethod(lambda parameters: nn.utils.clip_grad_value_(parameters, 1e-4))),
    "weights clipped": WeightClipped,
    "fakes with their graph, rescaled reals": row(Attached, brightness=0.5),
    "lazy penalty": Lazy,
    "lazy penalty with updates of its own": row(Lazy, apart=True),
    "lazy penalty behind an augmentation": Augmented,
    "penalty at reals and fakes": PenalisedAtReals,
    "weighted where back-propagated": Weighted,
    "gradients by hand": ByHand,
    "checkpointed": Checkpointed,
    "a third optimizer of both": Informed,
    "path length": PathLength,
    "path length and lazy penalty, G first": type("Row", (PathLength, Lazy), {"g_first": True, "apart": True}),
    "scaler": Scaled,
    "two scalers": row(Scaled, scalers=2),
    "scaler, clipped": row(Scaled, clips=True),
    "scaler, fused": row(Scaled, fused=True, scalers=2),
    "scaler, fused, clipped": row(Scaled, fused=True, clips=True),
    "compiled before": Compiled,
    "compiled, watched as compiled": row(Compiled, raw=False),
    "compiled after": row(Compiled, when="after"),
    "compiled inside": row(Compiled, inside=True),
    "compiled inside after": row(Compiled, inside=True, when="after"),
    "DataParallel": Parallel,
    "in parts": InParts,
    "in parts, G first": row(InParts, g_first=True),
    "optimizer of G and a third network": Encoded,
    "one call with two inputs": TwoInputs,
    "one call with two inputs, four lists": Matched,
    "closures": Closed,
    "closures, LBFGS": row(Closed, optimizer=Closed.lbfgs),
    "relative to reals": Relative,
    "labels beside pixels": Labelled,
    "translation": Translated,
    "translation, two inputs": row(Translated, two=True),
    "pool mixed by sample": Pooled,
    "bidirectional": Bidirectional,
    "bidirectional, one forward pass": OneForward,
    "alternating": Alternating,
    "accumulated": Accumulated,
    "forward by name": ByName,
    "EMA": Averaged,
    "mixed precision": Mixed,
    "optimizers replaced": Late,
    "optimizers replaced and kept": Kept,
    "pretrained": Pretrained,
    "encoder trained through both": VAEGAN,
    "grown": Grown,
    "a third network later": Accompanied,
    "a third network within": Followed,
    "cycle": row(Cycle, g_first=True),
}


class Seen(Probe):
    """Every batch that the discriminator was said to see."""

    name, signals = "seen", ()

    def __init__(self):
        self.batches, self.phases = [], set()

    def read(self, step):
        for call in step.calls:
            assert call.network == "g" or len(reduce_to_scores(call.output)) in {len(call.inputs[0]), len(call.inputs[0]) // 2}
        calls = [call for call in step.calls if call.network == "d" and call.index == step.index]
        self.batches += [(call.origin, call.inputs) for call in calls]
        self.phases |= {(call.origin, "of g" if call.in_g_phase else "of d") for call in calls}
        return {}


def always():
    probes = default_probes()
    for probe in probes:
        probe.every = 1
    return probes


def told(events):
    """What each step of G should have been told, from the loop's own account, and the updates of each network in it."""
    values, counts, expected, updates = {}, {"g": 0, "d": 0}, {}, {}
    for network, loss, norm, clipped in events:
        values[f"loss/{network}"] = loss
        if f"grad_norm/{network}" not in values:
            values[f"grad_norm/{network}"] = norm
            if clipped is not None:
                values[f"clipped_grad_norm/{network}"] = clipped
        counts[network[0]] += 1
        if network == "g":
            step = len(expected) + 1
            expected[step], updates[step] = values, counts
            values, counts = {}, {"g": 0, "d": 0}
    return expected, updates


def end(loop):
    return {"g": loop.g.state_dict(), "d": loop.d.state_dict(), "random": torch.get_rng_state()}


def equal(one, other):
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(equal(one[key], other[key]) for key in one)
    return torch.equal(one, other)


@pytest.mark.filterwarnings("ignore:The .grad attribute:UserWarning")  # the compiler's own
@pytest.mark.parametrize("name", ROWS)
def test_loop(name):
    alone = ROWS[name]()
    alone.run()
    loop, sink, seen = ROWS[name](), MemorySink(), Seen()
    networks = [loop.g, loop.d]
    forward = [type(network).forward for network in networks]
    with ganwatch.watch(**loop.networks(), store=None, sinks=[sink], probes=[*always(), seen], audit_seconds=0.0) as watching:
        loop.run()
    assert equal(end(alone), end(loop))
    assert watching.observer.monitor.errors == {}
    got = {reading.step: reading.values for reading in sink.steps}
    expected, updates = told(loop.events)
    assert watching.observer.recorder.index == len(expected) == len(got)
    for step, values in expected.items():
        families = {"loss", "grad_norm", "clipped_grad_norm"}
        assert {name: x for name, x in got[step].items() if name.partition("/")[0] in families} == pytest.approx(values, rel=1e-4), step
        assert {role: got[step].get(f"updates/{role}", 0) for role in "gd"} == updates[step], step

    data = {row.numpy().tobytes() for row in (torch.cat(loop.reals).flatten(1) if loop.reals else alone.data * alone.brightness)}
    known = [(batch, loop.part(inputs).float()) for batch, inputs in seen.batches if batch != "unknown"]
    for batch, x in known:
        assert {sample.numpy().tobytes() in data for sample in x.flatten(1)[:, : alone.data[0].numel()]} == {batch == "real"}, name
    assert {("real", "of d"), ("fake", "of d")} <= seen.phases
    assert any(phase == "of g" for _, phase in seen.phases)
    assert sum(batch == "real" for batch, _ in known) >= STEPS // 2
    assert {"d_auc", "pairwise_ratio"} <= watching.observer.monitor.latest.keys()

    assert setup_problems(watching.observer, watching.hints) == {}
    findings = watching.observer.recorder.loop_facts
    assert findings.updates["g"] - findings.auxiliary_updates["g"] == sum(network == "g" for network, *_ in loop.events)
    family = str(findings.loss_family())
    assert family.startswith(getattr(loop, "family", FAMILIES[loop.loss]))
    assert ("inverted" in family) == (loop.loss == "inverted")

    assert [type(network).forward for network in networks] == forward
    for network in loop.plain.values() if isinstance(loop, Compiled) else (loop.g, loop.d):
        copy.deepcopy(network), pickle.dumps(network), torch.save(network.state_dict(), io.BytesIO())


class InTurn(Loop):
    """Each network is trained for a while, then the other one."""

    def run(self, steps=120):
        self.start()
        batches = self.batches()
        for _ in range(steps // 30):
            for _ in range(30):
                self.d_phase(next(batches))
            for _ in range(30):
                self.g_phase(None)


def test_networks_that_are_trained_for_a_while_in_turn_are_compared_by_what_the_discriminator_saw_last():
    loop, sink = InTurn(), MemorySink()
    with ganwatch.watch(**loop.networks(), store=None, sinks=[sink], audit_seconds=0.0) as watching:
        loop.run()
    assert watching.observer.monitor.errors == {}
    assert [reading.step for reading in sink.steps if "d_auc" in reading.values] == [20, 40, 71, 91, 111]
    assert 91 in sink.series("grad_norm/d")[0]
