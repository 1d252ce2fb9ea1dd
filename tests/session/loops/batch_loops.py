"""Loops that differ in the batches that D gets: together, with their graph, changed on the way, mixed, with a condition."""

import torch
from plain_loop import BATCH, LOSSES, STEPS, Loop, bce
from torch import nn
from torch.nn import functional as F  # noqa: N812  # as everybody calls it
from torch.utils.data import DataLoader, TensorDataset


class OneCallLoop(Loop):
    """D gets reals and fakes in one call."""

    def d_phase(self, real):
        on_real, on_fake = self.d(torch.cat([real, self.fake().detach()])).chunk(2)
        self.update("d", LOSSES[self.loss][0](on_real, on_fake))


class PairScore(nn.Module):
    """Gives one score to two samples."""

    def __init__(self, size):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(2 * size, 32), nn.LeakyReLU(0.2), nn.Dropout(0.5), nn.Linear(32, 1))

    def forward(self, x):
        return self.body(x.view(len(x) // 2, -1))


class OneCallPairScoreLoop(OneCallLoop):
    def discriminator(self):
        return nn.Sequential(nn.Flatten(), PairScore(64))


class FakesWithGraphLoop(Loop):
    """D gets fakes with their graph in both phases."""

    def d_phase(self, real):
        self.update("d", LOSSES[self.loss][0](self.d(real), self.d(self.fake())))


class UnknownFakesWithGraphLoop(FakesWithGraphLoop):
    """… and only the gradients show which batch is real."""

    def batches(self):
        while True:
            yield self.data[torch.randint(len(self.data), (BATCH,))]

    def fake(self):
        return super().fake().mul(1.0)


class RescaledLoop(Loop):
    """Reals change on the way, so that only the gradients show which batch is real."""

    brightness = 0.5


class RescaledBothLoop(RescaledLoop):
    """… and so do fakes."""

    def fake(self):
        return super().fake() * 0.5


class NoLoaderLoop(Loop):
    def batches(self):
        while True:
            yield self.data[torch.randint(len(self.data), (BATCH,))]


class NoiseLoop(NoLoaderLoop):
    """No loader, noise on the ``noisy`` origins; at every seventh update the labels of the ``flipped`` ones are flipped."""

    flipped = noisy = ()

    def __init__(self):
        super().__init__()
        self.d_reals = []

    def add_noise(self, x, origin):
        return x + 0.1 * torch.randn_like(x) if origin in self.noisy else x

    def d_phase(self, real):
        self.d_reals.append(self.add_noise(real, "real"))
        labels = dict.fromkeys(("real", "fake"), False) | {"real": True}
        if len(self.d_reals) % 7 == 3:
            labels |= {origin: not labels[origin] for origin in self.flipped}
        scores = self.d(self.d_reals[-1]), self.d(self.add_noise(self.fake().detach(), "fake"))
        self.update("d", sum(bce(score, label) for score, label in zip(scores, labels.values(), strict=True)))


class NoiseWithLoaderLoop(NoiseLoop):
    """… of reals that a loader delivers."""

    batches = Loop.batches


class SoftLabelLoop(Loop):
    """Labels are drawn for each sample."""

    def d_phase(self, real):
        on_real, on_fake = self.d(real), self.d(self.fake().detach())
        soft = torch.rand_like(on_real) * 0.5 + 0.7, torch.rand_like(on_fake) * 0.3
        self.update("d", sum(map(F.binary_cross_entropy_with_logits, (on_real, on_fake), soft)))


class RelativeToRealsLoop(NoLoaderLoop):
    """G's loss is relative to unknown reals, with D's graph."""

    g_first, loss = True, "relativistic"

    def g_phase(self, real):
        on_fake = self.d(self.fake())
        self.update("g", F.softplus(self.d(real * 1.0) - on_fake).mean())


class PoolLoop(Loop):
    """D gets fakes of several steps, mixed sample by sample."""

    def d_phase(self, real):
        fake = self.fake().detach()
        self.pool = torch.cat([getattr(self, "pool", fake), fake])[-3 * BATCH :]
        mixed = self.pool[torch.randperm(len(self.pool))[:BATCH]]
        self.update("d", LOSSES[self.loss][0](self.d(real), self.d(mixed)))


class WaveLoop(Loop):
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


class TableLoop(Loop):
    """Mixed columns: two numbers and a one-hot of three, which are also a condition of both networks; G returns logits."""

    loss = "wasserstein"

    def __init__(self):
        super().__init__()
        self.classes = torch.randint(3, (256,))
        self.data = torch.cat([torch.rand(256, 2) * 2 - 1, F.one_hot(self.classes, 3).float()], dim=1)
        self.g = nn.Sequential(nn.Linear(8 + 3, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, 5))

    def discriminator(self):
        return PairScore(5 + 3)

    def batches(self):
        while True:
            yield torch.randint(len(self.data), (BATCH,))

    def fake(self):
        condition = F.one_hot(torch.randint(3, (BATCH,)), 3).float()
        logits = self.g(torch.cat([torch.randn(BATCH, 8), condition], dim=1))
        return torch.cat([logits[:, :2].tanh(), F.gumbel_softmax(logits[:, 2:], tau=0.2), condition], dim=1)

    def d_phase(self, rows):
        fake, real = self.fake(), torch.cat([self.data[rows], F.one_hot(self.classes[rows], 3).float()], dim=1)
        weight = torch.rand(BATCH // 2, 1).repeat_interleave(2, 0)
        mix = weight * real + (1 - weight) * fake
        on_fake, on_real = self.d(fake), self.d(real)
        [gradient] = torch.autograd.grad(self.d(mix).sum(), mix, create_graph=True)
        self.optimizers["d"].zero_grad()
        self.backward(10 * (gradient.view(BATCH // 2, -1).norm(dim=1) - 1).pow(2).mean(), retain_graph=True)
        self.backward(LOSSES[self.loss][0](on_real, on_fake))
        self.step("d")


class LabelLoop(Loop):
    """Labels beside the latents and, flat, beside the pixels."""

    latents = 12

    def discriminator(self):
        return nn.Sequential(nn.Linear(68, 32), nn.LeakyReLU(0.2), nn.Linear(32, 1))

    def batches(self):
        labels = F.one_hot(torch.arange(256) % 4, 4).float()
        while True:
            yield from DataLoader(TensorDataset(self.data, labels), BATCH, shuffle=True, drop_last=True)

    def real_and_fake(self, batch):
        images, labels = batch
        fake = self.g(torch.cat([torch.randn(BATCH, 8), labels], 1))
        return [torch.cat([x.flatten(1), labels], 1) for x in (images, fake)]

    def d_phase(self, real):
        real, fake = self.real_and_fake(real)
        self.update("d", LOSSES[self.loss][0](self.d(real), self.d(fake.detach())))

    def g_phase(self, real):
        self.update("g", LOSSES[self.loss][1](self.d(self.real_and_fake(real)[1])))


class Concatenation(nn.Module):
    """Scores two images by their pixels together."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(128, 32), nn.LeakyReLU(0.2), nn.Linear(32, 1))

    def forward(self, a, b):
        return self.body(torch.cat([a, b], 1))


class TranslationLoop(Loop):
    """From one image to another, of the same shape; D gets both, as channels of one input or as ``two_inputs``."""

    two_inputs = False
    samples = staticmethod(lambda inputs: inputs[0][:, -1:])

    def __init__(self):
        super().__init__()
        self.sources = torch.rand(256, 1, 8, 8)

    def generator(self):
        return nn.Sequential(nn.Conv2d(1, 8, 3, 1, 1), nn.ReLU(), nn.Conv2d(8, 1, 3, 1, 1))

    def discriminator(self):
        return Concatenation() if self.two_inputs else nn.Sequential(nn.Flatten(), nn.Linear(128, 32), nn.LeakyReLU(0.2), nn.Linear(32, 1))

    def batches(self):
        while True:
            yield from DataLoader(TensorDataset(self.sources, self.data), BATCH, shuffle=True, drop_last=True)

    def discriminate(self, source, image):
        return self.d(source, image) if self.two_inputs else self.d(torch.cat([source, image], 1))

    def d_phase(self, real):
        source, target = real
        fake = self.g(source).detach()
        self.update("d", LOSSES[self.loss][0](self.discriminate(source, target), self.discriminate(source, fake)))

    def g_phase(self, real):
        source, target = real
        fake = self.g(source)
        self.update("g", LOSSES[self.loss][1](self.discriminate(source, fake)) + F.l1_loss(fake, target))


class ImageAndLatent(nn.Module):
    """Scores pairs of an image and a latent."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(72, 32), nn.LeakyReLU(0.2), nn.Linear(32, 1))

    def forward(self, x, z):
        return self.body(torch.cat([x.flatten(1), z], 1))


class BidirectionalLoop(Loop):
    """An encoder beside the generator; D gets pairs of image and latent."""

    def __init__(self):
        super().__init__()
        self.g = nn.ModuleList([self.g, nn.Sequential(nn.Flatten(), nn.Linear(64, 8))])

    def networks(self):
        return {"G": list(self.g), "D": self.d}

    def discriminator(self):
        return ImageAndLatent()

    def scores(self, real, detach):
        z = torch.randn(BATCH, 8)
        fake, encoded = self.g[0](z), self.g[1](real)
        return self.d(real, encoded.detach() if detach else encoded), self.d(fake.detach() if detach else fake, z)

    def d_phase(self, real):
        self.update("d", LOSSES["bce"][0](*self.scores(real, True)))

    def g_phase(self, real):
        on_real, on_fake = self.scores(real, False)
        self.update("g", bce(on_fake, True) + bce(on_real, False))


class OneForwardLoop(BidirectionalLoop):
    """… and both losses come from the same calls."""

    family = "unknown"

    def run(self, steps=STEPS):
        self.start()
        batches = self.batches()
        for _ in range(steps):
            on_real, on_fake = self.scores(next(batches), False)
            losses = {"d": LOSSES["bce"][0](on_real, on_fake), "g": bce(on_fake, True) + bce(on_real, False)}
            for role, loss in losses.items():
                self.optimizers[role].zero_grad()
                loss.backward(inputs=list({"g": self.g, "d": self.d}[role].parameters()), retain_graph=role == "d")
            for role, loss in losses.items():
                self.pending = float(loss.detach())
                self.step(role)
