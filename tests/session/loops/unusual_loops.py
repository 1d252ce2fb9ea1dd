"""Loops whose batches, types or losses are unusual: rows beside conditions, subclasses of tensors, single samples, averages of scores."""

import torch
from plain_loop import BATCH, Loop, bce
from torch import nn
from torch.nn import functional as F  # noqa: N812  # as everybody calls it


class ConditionedRowLoop(Loop):
    """D gets a row with its condition, G returns the row before its activation, and no loader is used, as in CTGAN."""

    def __init__(self):
        super().__init__()
        self.data = torch.rand(256, 5) * 2 - 1

    def generator(self):
        return nn.Sequential(nn.Linear(8 + 3, 32), nn.ReLU(), nn.Linear(32, 5))

    def discriminator(self):
        return nn.Sequential(nn.Linear(8, 32), nn.LeakyReLU(0.2), nn.Linear(32, 1))

    def batches(self):
        while True:
            yield self.data[torch.randint(0, 256, (BATCH,))]

    def fake_and_condition(self):
        condition = F.one_hot(torch.randint(0, 3, (BATCH,)), 3).float()
        return torch.tanh(self.g(torch.cat([torch.randn(BATCH, 8), condition], 1))), condition

    def d_phase(self, real):
        fake, condition = self.fake_and_condition()
        on_fake = self.d(torch.cat([fake.detach(), condition], 1))
        self.update("d", bce(on_fake, False) + bce(self.d(torch.cat([real, condition], 1)), True))

    def g_phase(self, real):
        self.update("g", bce(self.d(torch.cat(self.fake_and_condition(), 1)), True))


class OwnTensor(torch.Tensor):
    def to(self, *_, **__):
        raise ValueError("use move() instead")


class SubclassLoop(Loop):
    """G returns a subclass of tensors with a ``to`` of its own."""

    def generator(self):
        class Wrapped(nn.Module):
            def __init__(self, inner):
                super().__init__()
                self.inner = inner

            def forward(self, z):
                return self.inner(z).as_subclass(OwnTensor)

        return Wrapped(super().generator())


class ChannelsLastLoop(Loop):
    """The loader delivers channels last, D gets a copy with channels second."""

    def __init__(self):
        super().__init__()
        self.data = (torch.rand(256, 8, 8, 3) * 2 - 1).contiguous()

    def generator(self):
        return nn.Sequential(nn.Linear(self.latents, 192), nn.Tanh(), nn.Unflatten(1, (3, 8, 8)))

    def discriminator(self):
        return nn.Sequential(nn.Flatten(), nn.Linear(192, 32), nn.LeakyReLU(0.2), nn.Linear(32, 1))

    def prepare(self, real):
        return real.permute(0, 3, 1, 2).contiguous()


class SingleSampleLoop(Loop):
    def generator(self):
        return nn.Sequential(nn.Linear(self.latents, 64), nn.Tanh(), nn.Unflatten(1, (1, 8, 8)))

    def fake(self):
        return self.g(torch.randn(1, self.latents))

    def prepare(self, real):
        return real[:1]


class AverageLoop(Loop):
    """Each score less the mean score of the other origin, which is detached, and a backward pass for each origin."""

    losses = bce, bce

    def discriminator(self):
        return nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.LeakyReLU(0.2), nn.Linear(32, 1))

    def d_phase(self, real):
        self.optimizers["d"].zero_grad()
        on_real, on_fake = self.d(real), self.d(self.fake().detach())
        self.backward(self.losses[0](on_real - on_fake.mean().detach(), True))
        self.backward(self.losses[1](on_fake - on_real.mean().detach(), False))
        self.step("d")

    def g_phase(self, real):
        self.optimizers["g"].zero_grad()
        on_fake, on_real = self.d(self.fake()), self.d(self.data[:BATCH]).detach()
        self.backward(self.losses[0](on_fake - on_real.mean(), True))
        self.step("g")


def squares(score, real):
    return (score - (1.0 if real else -1.0)).pow(2).mean()


class AverageSquaresLoop(AverageLoop):
    losses = squares, squares


def hinge(score, real):
    return (1.0 - score if real else 1.0 + score).relu().mean()


class AverageHingeLoop(AverageLoop):
    losses = hinge, hinge


class AttachedCriticLoop(Loop):
    """Five updates of D, each on fakes with their graph."""

    d_steps = 5

    def d_phase(self, real):
        self.update("d", bce(self.d(real), True) + bce(self.d(self.fake()), False))


class PenaltiesLoop(Loop):
    """In each step an update of D, and one for each of two gradient penalties."""

    def d_phase(self, real):
        super().d_phase(real)
        for samples in (real, self.fake()):
            x = samples.detach().clone().requires_grad_()
            [gradient] = torch.autograd.grad(self.d(x).sum(), x, create_graph=True)
            self.update("d", 10.0 * gradient.pow(2).sum((1, 2, 3)).mean())


class NonFiniteLoop(Loop):
    """D's loss is not finite from the twentieth iteration on."""

    count = 0

    def d_phase(self, real):
        self.count += 1
        loss = bce(self.d(real), True) + bce(self.d(self.fake().detach()), False)
        self.update("d", loss * torch.nan if self.count >= 20 else loss)

    def norm(self, role, scale=1.0):
        return 0.0


class LabelledLoop(Loop):
    """D gets a label with each sample."""

    def discriminator(self):
        class Conditioned(nn.Module):
            def __init__(self):
                super().__init__()
                self.score, self.embedding = nn.Linear(64, 1), nn.Embedding(3, 64)

            def forward(self, x, y):
                return self.score(x.flatten(1)) + (self.embedding(y) * x.flatten(1)).mean(1, keepdim=True)

        return Conditioned()

    def d_phase(self, real):
        labels = torch.randint(0, 3, (BATCH,))
        self.update("d", bce(self.d(real, labels), True) + bce(self.d(self.fake().detach(), labels), False))

    def g_phase(self, real):
        self.update("g", bce(self.d(self.fake(), torch.randint(0, 3, (BATCH,))), True))
