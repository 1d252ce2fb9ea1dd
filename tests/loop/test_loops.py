"""Loops as people write them, each a row: the same bit for bit, steps and gradients counted right, real and fake never swapped."""

import copy
import io
import pickle

import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812  # as everybody calls it
from torch.utils.data import DataLoader, TensorDataset

import ganwatch
from ganwatch.capture.step import scores
from ganwatch.contracts import Probe
from ganwatch.presets import default_probes
from ganwatch.sinks.memory import MemorySink
from ganwatch.status import advice

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
    "relativistic": "unknown",
}


class Loop:
    """A loop in plain PyTorch; what a row overrides is what differs."""

    loss, g_first, d_steps, every = "bce", False, 1, 1
    score = staticmethod(lambda output: output)

    def __init__(self):
        torch.manual_seed(1)
        self.data = torch.rand(256, 1, 8, 8) * 2 - 1
        self.g = nn.Sequential(nn.Linear(8, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, 64), nn.Tanh(), nn.Unflatten(1, (1, 8, 8)))
        self.d = self.discriminator()
        self.norms = {"g": [], "d": []}

    def discriminator(self):
        return nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.LeakyReLU(0.2), nn.Dropout(0.1), nn.Linear(32, 1))

    def networks(self):
        return {"G": self.g, "D": self.d}

    def start(self):
        self.optimizers = {role: torch.optim.Adam(network.parameters(), 1e-3) for role, network in (("g", self.g), ("d", self.d))}

    def batches(self):
        while True:
            for (real,) in DataLoader(TensorDataset(self.data), BATCH, shuffle=True, drop_last=True):
                yield real

    def fake(self):
        return self.g(torch.randn(BATCH, 8))

    def d_phase(self, real):
        fake = self.fake().detach()
        self.update("d", LOSSES[self.loss][0](self.score(self.d(real)), self.score(self.d(fake))))

    def g_phase(self, real):
        of_g = LOSSES[self.loss][1]
        on_fake = self.score(self.d(self.fake()))
        self.update("g", of_g(on_fake) if of_g else F.softplus(self.score(self.d(real)).detach() - on_fake).mean())

    def update(self, role, loss):
        optimizer = self.optimizers[role]
        optimizer.zero_grad()
        loss.backward()
        self.step(role)

    def step(self, role):
        network = {"g": self.g, "d": self.d}[role]
        self.norms[role].append(float(torch.cat([p.grad.flatten() for p in network.parameters() if p.grad is not None]).norm()))
        self.optimizers[role].step()

    def run(self, steps=STEPS):
        self.start()
        batches = self.batches()
        for _ in range(steps):
            if self.g_first:
                self.g_phase(next(batches))
            for _ in range(self.d_steps):
                self.d_phase(next(batches))
            if not self.g_first:
                self.g_phase(next(batches))


class Together(Loop):
    def d_phase(self, real):
        on_real, on_fake = self.d(torch.cat([real, self.fake().detach()])).chunk(2)
        self.update("d", LOSSES[self.loss][0](on_real, on_fake))


class Apart(Loop):
    def d_phase(self, real):
        self.optimizers["d"].zero_grad()
        bce(self.d(real), True).backward()
        bce(self.d(self.fake().detach()), False).backward()
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
            self.optimizers["g"].zero_grad()
            of_g.backward()
            self.optimizers["d"].zero_grad()
            of_d.backward()
            self.step("d")
            self.step("g")


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
        (10 * (slope.view(BATCH // 2, -1).norm(dim=1) - 1).pow(2).mean()).backward(retain_graph=True)
        LOSSES[self.loss][0](on_real, on_fake).backward()
        self.step("d")


class Penalised(Loop):
    loss, d_steps = "wasserstein", 2

    def d_phase(self, real):
        fake = self.fake().detach()
        mix = (real + torch.rand(BATCH, 1, 1, 1) * (fake - real)).requires_grad_()
        [slope] = torch.autograd.grad(self.d(mix).sum(), mix, create_graph=True)
        penalty = (slope.flatten(1).norm(dim=1) - 1).pow(2).mean()
        self.update("d", self.d(fake).mean() - self.d(real).mean() + 10 * penalty)


class Rescaled(Loop):
    """Reals change on the way, so that only the slopes tell."""

    def d_phase(self, real):
        super().d_phase(real * 0.5)


class Indexed(Loop):
    """No loader at all."""

    def batches(self):
        while True:
            yield self.data[torch.randint(len(self.data), (BATCH,))]


class Noisy(Indexed):
    """No loader, noise on both."""

    def d_phase(self, real):
        real, fake = (x + 0.1 * torch.randn_like(x) for x in (real, self.fake().detach()))
        self.update("d", LOSSES[self.loss][0](self.d(real), self.d(fake)))


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
    def step(self, role):
        nn.utils.clip_grad_norm_({"g": self.g, "d": self.d}[role].parameters(), 0.01)
        super().step(role)


class Accumulated(Loop):
    def update(self, role, loss):
        self.waiting = getattr(self, "waiting", {"g": 0, "d": 0})
        (loss / 2).backward()
        self.waiting[role] += 1
        if self.waiting[role] == 2:
            self.waiting[role] = 0
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
    "no loader": Indexed,
    "no loader, noise": Noisy,
    "patches": Patches,
    **{name: structured(name) for name in STRUCTURES},
    "clipped": Clipped,
    "accumulated": Accumulated,
    "forward by name": ByName,
    "EMA": Averaged,
    "mixed precision": Mixed,
    "optimizers replaced": Late,
    "cycle": row(Cycle, g_first=True),
}


class Seen(Probe):
    """Every batch that the discriminator was said to see."""

    name, signals = "seen", ()

    def __init__(self):
        self.batches, self.phases = [], set()

    def read(self, step):
        for call in step.calls:
            assert call.network == "g" or len(scores(call.output)) in {len(call.inputs[0]), len(call.inputs[0]) // 2}
        calls = [call for call in step.calls if call.network == "d" and call.index == step.index]
        self.batches += [(call.batch, call.inputs[0].float()) for call in calls]
        self.phases |= {(call.batch, "of g" if call.attached else "of d") for call in calls}
        return {}


def always():
    probes = default_probes()
    for probe in probes:
        probe.every = 1
    return probes


def end(loop):
    return {"g": loop.g.state_dict(), "d": loop.d.state_dict(), "random": torch.get_rng_state()}


def equal(one, other):
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(equal(one[key], other[key]) for key in one)
    return torch.equal(one, other)


@pytest.mark.parametrize("name", ROWS)
def test_loop(name):
    alone = ROWS[name]()
    alone.run()
    loop, sink, seen = ROWS[name](), MemorySink(), Seen()
    forward = [type(network).forward for network in (loop.g, loop.d)]
    with ganwatch.watch(**loop.networks(), store=None, sinks=[sink], probes=[*always(), seen], audit_seconds=0.0) as watching:
        loop.run()
    assert equal(end(alone), end(loop))
    assert watching.observer.monitor.errors == {}
    assert watching.observer.recorder.index == len(loop.norms["g"]) == STEPS

    got = {reading.step: reading.values for reading in sink.steps}
    assert [got[step]["grad_norm/g"] for step in range(1, STEPS + 1)] == pytest.approx(loop.norms["g"], rel=1e-4)
    counted = sum(values.get("updates/d", 0) for values in got.values())
    assert counted == len(loop.norms["d"]) - loop.g_first * loop.d_steps  # those after the last step of G belong to none

    data = {row.numpy().tobytes() for row in (alone.data * (0.5 if issubclass(ROWS[name], Rescaled) else 1.0))}
    known = [(batch, x) for batch, x in seen.batches if batch != "unknown"]
    if name != "no loader, noise":
        for batch, x in known:
            assert {sample.numpy().tobytes() in data for sample in x.flatten(1)[:, : alone.data[0].numel()]} == {batch == "real"}, name
    assert {("real", "of d"), ("fake", "of d")} <= seen.phases
    assert any(phase == "of g" for _, phase in seen.phases)
    assert sum(batch == "real" for batch, _ in known) >= STEPS // 2
    assert {"d_auc", "pairwise_ratio"} <= watching.observer.monitor.latest.keys()

    assert advice(watching.observer, watching.wording) == {}
    family = str(watching.observer.recorder.findings.loss())
    assert family.startswith(FAMILIES[loop.loss]) or (name == "mixed precision" and family == "unknown")
    assert ("inverted" in family) == (loop.loss == "inverted")

    assert [type(network).forward for network in (loop.g, loop.d)] == forward
    for network in (loop.g, loop.d):
        copy.deepcopy(network), pickle.dumps(network), torch.save(network.state_dict(), io.BytesIO())
