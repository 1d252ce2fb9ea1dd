"""Loops that differ in their networks: nested outputs, wrappers, compiled modules, calls part by part, groups of networks."""

from itertools import chain

import torch
from plain_loop import BATCH, LOSSES, STEPS, Loop
from torch import nn
from torch.nn import functional as F  # noqa: N812  # as everybody calls it
from torch.utils.checkpoint import checkpoint
from torch.utils.data import DataLoader, TensorDataset

STRUCTURES = {
    "tuple": (lambda score, features: (score, features), lambda output: output[0]),
    "dict": (lambda score, features: {"features": features, "score": score}, lambda output: output["score"]),
    "list of scales": (lambda score, features: [[features, score]], lambda output: output[0][1]),
}
"""By name: how an output is built from score and features, and how the score is read from it."""


class StructuredOutput(nn.Module):
    """Returns score and features in a structure."""

    def __init__(self, structure):
        super().__init__()
        self.body, self.head = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.LeakyReLU(0.2)), nn.Linear(32, 1)
        self.structure = structure

    def forward(self, x):
        features = self.body(x)
        return STRUCTURES[self.structure][0](self.head(features), features)


class PatchLoop(Loop):
    """D returns a map of scores."""

    loss = "least squares"

    def discriminator(self):
        return nn.Sequential(nn.Conv2d(1, 8, 3, 2, 1), nn.LeakyReLU(0.2), nn.Conv2d(8, 1, 3, 1, 1))


class Wrapper(nn.Module):
    """Holds a network under two names, as wrappers of frameworks do."""

    def __init__(self, network):
        super().__init__()
        self.inner = self.original = network

    def forward(self, x):
        return self.inner(x)


class WrapperLoop(Loop):
    def __init__(self):
        super().__init__()
        self.g, self.d = Wrapper(self.g), Wrapper(self.d)


class DataParallelLoop(Loop):
    def generator(self):
        return nn.DataParallel(super().generator())

    def discriminator(self):
        return nn.DataParallel(super().discriminator())


class CompileLoop(Loop):
    """Compiled before the loop is watched, or ``when`` it is ``after``; ``inside`` the module itself; watched as ``raw`` modules."""

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


class Checkpointing(nn.Module):
    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, x):
        return checkpoint(self.network[1:], self.network[0](x), use_reentrant=True)


class CheckpointingLoop(Loop):
    """A backward pass runs within another one."""

    def generator(self):
        return Checkpointing(super().generator())


class ForwardByNameLoop(Loop):
    def fake(self):
        return self.g.forward(torch.randn(BATCH, 8))


class Halves(nn.Module):
    """Never called as a whole."""

    def __init__(self, *halves):
        super().__init__()
        self.first, self.second = halves


class HalvesLoop(Loop):
    """Both networks are called half by half."""

    def generator(self):
        whole = super().generator()
        return Halves(whole[:2], whole[2:])

    def discriminator(self):
        whole = super().discriminator()
        return Halves(whole[:2], whole[3:])

    def fake(self):
        return self.g.second(self.g.first(torch.randn(BATCH, 8)))

    def discriminate(self, x):
        return self.d.second(F.leaky_relu(self.d.first(x), 0.2))

    def d_phase(self, real):
        self.update("d", LOSSES[self.loss][0](self.discriminate(real), self.discriminate(self.fake().detach())))

    def g_phase(self, real):
        self.update("g", LOSSES[self.loss][1](self.discriminate(self.fake())))


class EncoderLoop(Loop):
    """G's optimizer has a third network."""

    def __init__(self):
        super().__init__()
        self.encoder = nn.Linear(8, 8)

    def fake(self):
        return self.g(self.encoder(torch.randn(BATCH, 8)))

    def optimizer(self, role):
        return torch.optim.Adam(chain(self.encoder.parameters(), self.g.parameters()) if role == "g" else self.d.parameters(), 1e-3)


class RealAndFake(nn.Module):
    """Scores reals and fakes in one call."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.LeakyReLU(0.2), nn.Linear(32, 1))

    def forward(self, real, fake):
        return self.body(real), self.body(fake)


class RealAndFakeLoop(Loop):
    """A relativistic loss from one call with two inputs."""

    loss = "relativistic"

    def discriminator(self):
        return RealAndFake()

    def d_phase(self, real):
        on_real, on_fake = self.d(real, self.fake().detach())
        self.update("d", F.softplus(on_fake - on_real).mean())

    def g_phase(self, real):
        on_real, on_fake = self.d(real, self.fake())
        self.update("g", F.softplus(on_real - on_fake).mean())


class Scales(nn.Module):
    """Scores reals and fakes in one call, at two scales, with features: four lists."""

    def __init__(self):
        super().__init__()
        self.body = nn.ModuleList(nn.Sequential(nn.Flatten(), nn.Linear(64 // 4**at, 16), nn.LeakyReLU(0.2)) for at in range(2))
        self.head = nn.ModuleList(nn.Linear(16, 1) for _ in range(2))

    def scores_and_features(self, x):
        features = [body(F.avg_pool2d(x, 2**at)) for at, body in enumerate(self.body)]
        return [head(each) for head, each in zip(self.head, features, strict=True)], features

    def forward(self, real, fake):
        (on_real, in_real), (on_fake, in_fake) = self.scores_and_features(real), self.scores_and_features(fake)
        return on_real, on_fake, in_real, in_fake


class FeatureMatchingLoop(Loop):
    """One call with two inputs and four lists, and G's loss matches the features."""

    loss = "least squares"

    def discriminator(self):
        return Scales()

    def d_phase(self, real):
        on_real, on_fake, _, _ = self.d(real, self.fake().detach())
        self.update("d", sum((1 - r).square().mean() + f.square().mean() for r, f in zip(on_real, on_fake, strict=True)))

    def g_phase(self, real):
        _, on_fake, in_real, in_fake = self.d(real, self.fake())
        matching = sum((r.detach() - f).abs().mean() for r, f in zip(in_real, in_fake, strict=True))
        self.update("g", matching + sum((1 - f).square().mean() for f in on_fake))


class GrowthLoop(Loop):
    """Half-way both networks get other layers at both ends."""

    def run(self, steps=STEPS):
        super().run(steps // 2)
        for network, places in ((self.g, (0, 3)), (self.d, (1, 4))):
            for place in places:
                network[place] = nn.Linear(network[place].in_features, network[place].out_features)
        super().run(steps // 2)


class Pair(nn.Module):
    """Two networks of one role."""

    def __init__(self, size):
        super().__init__()
        shape = (1, 8, 8) if size == 64 else (1,)
        self.a, self.b = (
            nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, size), nn.Unflatten(1, shape)) for _ in range(2)
        )


class CycleLoop(Loop):
    """Two generators from one domain to the other, two discriminators, an optimizer for each pair, a pool of old fakes."""

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

    def pool_fake(self, fake):
        self.pool = [*self.pool, fake.detach()][-3:]
        return self.pool[0].clone()

    def d_phase(self, real):
        real_a, real_b = real
        fake_a, fake_b = self.fakes
        d_loss = LOSSES[self.loss][0]
        fakes = self.pool_fake(fake_a), fake_b.detach()
        self.update("d", d_loss(self.d.a(real_a), self.d.a(fakes[0])) + d_loss(self.d.b(real_b), self.d.b(fakes[1])))

    def g_phase(self, real):
        real_a, real_b = real
        self.fakes = fake_a, fake_b = self.g.a(real_b), self.g.b(real_a)
        cycle = F.l1_loss(self.g.a(fake_b), real_a) + F.l1_loss(self.g.b(fake_a), real_b)
        self.update("g", sum(LOSSES[self.loss][1](net(x)) for net, x in ((self.d.a, fake_a), (self.d.b, fake_b))) + 10 * cycle)

    def run(self, steps=STEPS):
        self.start()
        batches = self.batches()
        for _ in range(steps):
            real = next(batches)
            self.g_phase(real)
            self.d_phase(real)
