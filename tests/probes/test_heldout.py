"""Held-out reals show if discriminator or generator memorises the training data; the training does not change."""

import random

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

import ganwatch
from ganwatch.core.errors import UserError
from ganwatch.evaluation.heldout import HeldoutSamples, read_heldout
from ganwatch.probes.quality import Quality
from ganwatch.session.defaults import default_probes
from ganwatch.sinks.memory import MemorySink

pytestmark = pytest.mark.usefixtures("older_objects_hidden")
WIDE = 24


def drawn(count, seed):
    return torch.randn(count, WIDE, generator=torch.Generator().manual_seed(seed))


class Discriminator(nn.Module):
    """Scores samples, with labels if there are some; ``parts`` may hold statistics and random layers, which must not change."""

    def __init__(self, *, classes, parts=()):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(WIDE + classes, 128), *parts, nn.LeakyReLU(0.2), nn.Linear(128, 1))
        self.classes = classes

    def forward(self, x, y=None):
        return self.body(x if y is None else torch.cat([x, nn.functional.one_hot(y, self.classes).float()], 1))


class Generator(nn.Module):
    """Returns samples from a fixed set, with more or less noise."""

    def __init__(self, known, noise):
        super().__init__()
        self.weight, self.known, self.noise = nn.Parameter(torch.ones(1)), known, noise

    def forward(self, latents, y=None):
        return self.weight * self.known[(latents[:, 0] * 1e4).long() % len(self.known)] + self.noise * latents


def train(training, *, heldout=None, steps=300, classes=0, known=None, noise=1.0, quality=None, parts=()):
    torch.manual_seed(0)
    g, d = Generator(training if known is None else known, noise), Discriminator(classes=classes, parts=parts)
    of_g, of_d = torch.optim.SGD(g.parameters(), 1e-9), torch.optim.Adam(d.parameters(), 5e-3)
    of = [torch.arange(len(training)) % classes] if classes else []
    sink, loader = MemorySink(), DataLoader(TensorDataset(training, *of), 40, shuffle=True, drop_last=True)
    batches = (batch for _ in iter(int, 1) for batch in loader)
    loss = nn.functional.binary_cross_entropy_with_logits
    probes = default_probes(*([] if quality is None else [quality]))
    with ganwatch.watch(G=g, D=d, heldout=heldout, store=None, sinks=[sink], probes=probes, audit_seconds=0.0) as watching:
        for _ in range(steps):
            real, *y = next(batches)
            fake = g(torch.randn(40, WIDE), *y)
            of_d.zero_grad()
            (loss(d(real, *y), torch.ones(40, 1)) + loss(d(fake.detach(), *y), torch.zeros(40, 1))).backward()
            of_d.step()
            of_g.zero_grad()
            loss(d(fake, *y), torch.ones(40, 1)).backward()
            of_g.step()
        assert watching.observer.guard.errors == {}
        needs = watching.observer.not_applicable()
    end = [value for net in (g, d) for value in net.state_dict().values()] + [torch.get_rng_state()]
    return sink, end, needs


@pytest.mark.parametrize("classes", [0, 2])
def test_a_discriminator_that_memorises_its_data_is_found(classes):
    held = (drawn(80, 1), torch.arange(80) % 2) if classes else drawn(80, 1)
    sink, *_ = train(drawn(80, 0), heldout=held, classes=classes, known=drawn(4000, 2), noise=0.0)
    assert sink.series("d_heldout_auc")[0] == [100, 200, 300]
    assert sink.series("d_heldout_auc")[1][-1] > 0.9
    assert sink.series("d_heldout_gap")[1][-1] > 0.6
    assert "GW203" in [incident.code for incident in sink.reports]


def test_one_that_does_not_memorise_raises_no_incident():
    sink, _, needs = train(drawn(4000, 0), heldout=drawn(80, 1), known=drawn(4000, 2), noise=0.0)
    assert abs(sink.series("d_heldout_auc")[1][-1] - 0.5) < 4.0 * sink.series("d_heldout_error")[1][-1]
    assert "GW203" not in [incident.code for incident in sink.reports]
    assert "GW203" not in needs


@pytest.mark.parametrize(("noise", "copied"), [(0.05, True), (1.2, True), (6.0, False)])
def test_noisy_copies_are_found(noise, copied):
    quality = Quality(samples=100, reals=200, interval=40, share=1.0, clock=lambda: 0.0)
    sink, *_ = train(drawn(80, 0), heldout=drawn(80, 1), steps=200, noise=noise, quality=quality)
    share, near = sink.series("memorisation")[1][-1], sink.series("copy_share")[1][-1]
    assert share > 0.85 if copied else share < 0.75
    assert near > 0.8 if noise < 1.0 else near < 0.5
    assert ("GW103" in [incident.code for incident in sink.reports]) is copied


def test_the_training_does_not_change():
    with_it, without = (
        train(drawn(80, 0), heldout=held, steps=120, parts=(nn.BatchNorm1d(128), nn.Dropout(0.2)))[1] for held in (drawn(80, 1), None)
    )
    assert all(map(torch.equal, with_it, without))


def test_without_held_out_reals_detectors_name_the_missing_argument():
    sink, _, needs = train(drawn(80, 0), steps=160, quality=Quality(samples=40, reals=80, interval=40, share=1.0, clock=lambda: 0.0))
    assert not [name for one in sink.steps for name in one.values if name.startswith(("d_heldout", "memorisation"))]
    assert needs["GW203"] == needs["GW103"] == "needs held-out reals: heldout=… of watch() or GanWatch"


def test_reals_of_another_preprocessing_are_not_compared(caplog):
    sink, *_ = train(drawn(80, 0), heldout=100.0 * drawn(80, 1), steps=220)
    assert not sink.series("d_heldout_auc")[0]
    assert sum("heldout differs from the real samples" in record.message for record in caplog.records) == 1


class RandomItems(Dataset):
    """Augments with whatever generator there is."""

    def __len__(self):
        return 1000

    def __getitem__(self, index):
        return torch.rand(3) + random.random() + np.random.rand(), index % 7  # noqa: NPY002


@pytest.mark.parametrize("data", [RandomItems(), DataLoader(RandomItems(), 10, shuffle=True), drawn(300, 0), "ring"])
def test_a_few_hundred_are_read_and_no_random_state_changes(data):
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002
    one, other = read_heldout(data), read_heldout(data)
    assert len(one.samples) == 256
    assert torch.equal(one.samples, other.samples)
    assert torch.equal(before[0], torch.get_rng_state())
    assert before[1:] == (random.getstate(), np.random.get_state()[1].tolist())  # noqa: NPY002


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (drawn(39, 0), "heldout must have at least 40 samples, got 39"),
        ([torch.zeros(2)] * 30 + [torch.zeros(3)] * 30, r"heldout must have samples of one shape, got \(2,\), \(3,\)"),
        (["a"] * 50, "heldout must be readable, got TypeError"),
        ((batch for batch in [drawn(50, 0)]), "heldout must be readable by index"),
        (3, "heldout must be a torch Dataset"),
    ],
)
def test_invalid_held_out_data_are_refused_before_the_run_begins(data, message):
    with pytest.raises(UserError, match=message):
        ganwatch.watch(G=nn.Linear(2, 2), D=nn.Linear(2, 1), heldout=data, store=None)


def test_samples_are_converted_to_the_type_of_the_training_reals():
    heldout = HeldoutSamples(drawn(50, 0))
    assert heldout.convert_like(drawn(9, 1).double()).dtype == torch.float64
    assert heldout.convert_like(drawn(9, 1) + 1.0) is None
    assert heldout.convert_like(drawn(9, 1)[:, :2]) is None
