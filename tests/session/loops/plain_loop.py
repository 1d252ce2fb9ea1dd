"""A GAN loop in plain PyTorch that keeps account of its own updates; variants override what differs."""

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812  # as everybody calls it
from torch.utils.data import DataLoader, TensorDataset

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
"""By name: the loss of D from its scores of reals and fakes, and the loss of G from D's scores of fakes."""


class Loop:
    """A loop in plain PyTorch."""

    loss, g_first, d_steps, latents = "bce", False, 1, 8
    brightness = 1.0
    """Factor between the data and the reals that D gets."""
    d_reals = ()
    """Reals that D got, if they are not those of the data."""
    family = None
    """Expected loss family, if it is not that of ``loss``."""
    score = staticmethod(lambda output: output)
    samples = staticmethod(lambda inputs: inputs[0])
    """Samples in the inputs of D."""

    def __init__(self):
        torch.manual_seed(1)
        self.data = torch.rand(256, 1, 8, 8) * 2 - 1
        self.g, self.d = self.generator(), self.discriminator()
        self.events, self.pending = [], 0.0
        """Every update: its network, its loss, the norm of its gradient, and that after clipping."""

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

    def prepare(self, real):
        return real if self.brightness == 1.0 else real * self.brightness

    def d_phase(self, real):
        fake = self.fake().detach()
        self.update("d", LOSSES[self.loss][0](self.score(self.d(real)), self.score(self.d(fake))))

    def g_phase(self, real):
        g_loss = LOSSES[self.loss][1]
        on_fake = self.score(self.d(self.fake()))
        self.update("g", g_loss(on_fake) if g_loss else F.softplus(self.score(self.d(real)).detach() - on_fake).mean())

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
                self.d_phase(self.prepare(next(batches)))
            if not self.g_first:
                self.g_phase(next(batches))


def variant(base=Loop, **attributes):
    """Return a subclass of a loop with other attributes."""
    return type("Variant", (base,), attributes)


def final_state(loop):
    return {"g": loop.g.state_dict(), "d": loop.d.state_dict(), "random": torch.get_rng_state()}


def equal(one, other):
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(equal(one[key], other[key]) for key in one)
    return one.dtype == other.dtype and one.numpy().tobytes() == other.numpy().tobytes()  # NaN included
