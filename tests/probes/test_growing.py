"""A training that lets the resolution of its images grow is measured against its present reals, and raises no incident."""

import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn

import ganwatch
from ganwatch.capture.step import Call, Step, StepView
from ganwatch.evaluation.context import EvaluationContext
from ganwatch.evaluation.discriminator_scorer import DiscriminatorScorer
from ganwatch.evaluation.generator_sampler import GeneratorSampler
from ganwatch.evaluation.heldout import HeldoutSamples
from ganwatch.probes.heldout import HeldoutReals
from ganwatch.probes.quality import Quality
from ganwatch.session.defaults import default_probes
from ganwatch.sinks.memory import MemorySink

pytestmark = pytest.mark.usefixtures("older_objects_hidden")
DIGITS = torch.from_numpy(load_digits().images[:, None]).float() / 8.0 - 1.0
COARSE = nn.functional.interpolate(nn.functional.avg_pool2d(DIGITS, 2), scale_factor=2.0)
SMALL = nn.functional.avg_pool2d(DIGITS, 2)
GROWN = 300


class Generator(nn.Module):
    """Returns digits from a fixed set."""

    def __init__(self, known):
        super().__init__()
        self.weight, self.known = nn.Parameter(torch.ones(1)), known

    def forward(self, latents):
        return self.weight * self.known[(latents[:, 0] * 1e4).long() % len(self.known)]


class Discriminator(nn.Module):
    """Scores images of any size."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(16, 16), nn.LeakyReLU(0.2), nn.Linear(16, 1))

    def forward(self, x):
        return self.body(x)


def train(first, *, steps=900):
    torch.manual_seed(0)
    draw = torch.Generator().manual_seed(0)
    real, known, heldout = torch.arange(0, 1200), torch.arange(1200, 1500), torch.arange(1500, 1797)
    g, d = Generator(first[known]), Discriminator()
    of_g, of_d = torch.optim.SGD(g.parameters(), 1e-9), torch.optim.Adam(d.parameters(), 1e-3)
    sink, probes = MemorySink(), default_probes(Quality(samples=100, reals=200, interval=40, share=1.0, clock=lambda: 0.0))
    with ganwatch.watch(G=g, D=d, heldout=DIGITS[heldout], store=None, sinks=[sink], probes=probes, audit_seconds=0.0) as watching:
        for step in range(1, steps + 1):
            images = first if step <= GROWN else DIGITS
            g.known = images[known]
            fake, batch = g(torch.randn(50, 10)), images[real[torch.randint(1200, (50,), generator=draw)]]
            of_d.zero_grad()
            (nn.functional.softplus(-d(batch)) + nn.functional.softplus(d(fake.detach()))).mean().backward()
            of_d.step()
            of_g.zero_grad()
            nn.functional.softplus(-d(fake)).mean().backward()
            of_g.step()
        assert watching.observer.guard.errors == {}
    return sink


@pytest.mark.parametrize("first", [COARSE, SMALL], ids=["coarse", "small"])
def test_the_reference_grows_with_the_resolution(first):
    sink = train(first)
    measured = dict(zip(*sink.series("frechet"), strict=True))
    references = dict(zip(*sink.series("reference"), strict=True))
    assert references == {step: 1.0 if step <= GROWN else 2.0 for step in measured}
    assert min(step for step in measured if step > GROWN) < GROWN + 160
    assert min(sink.series("d_heldout_auc")[0]) > GROWN
    assert not [one.code for one in sink.reports if one.code in {"GW102", "GW103", "GW203", "GW401"}]


def step_with(index, reals, fakes):
    """A step in which the generator makes some images, and the discriminator scores these and real ones."""
    latents = torch.arange(len(fakes))[:, None] / 1e4 + 1e-5
    made = Call("g", (latents,), fakes, "latent", training=True, index=index, arguments=([latents], {}))
    scored = [Call("d", (x,), torch.zeros(len(x)), origin, training=True, index=index) for origin, x in (("real", reals), ("fake", fakes))]
    return StepView(Step(index, calls=[made, *scored]))


def test_one_batch_of_another_resolution_is_no_new_reference():
    quality = Quality(samples=40, reals=40, interval=20, clock=lambda: 0.0)
    quality.attach(EvaluationContext(GeneratorSampler(Generator(DIGITS[:40])), DiscriminatorScorer(Discriminator())))
    read = lambda index, reals: quality.read(step_with(index, reals, DIGITS[:40]))
    first = read(20, DIGITS[100:140])
    assert first["reference"] == 1.0
    assert read(40, COARSE[200:240]) == {}
    assert read(60, DIGITS[300:340]) == first  # the same reals as before
    assert read(80, COARSE[400:440]) == read(100, COARSE[400:440]) == {}
    second = read(120, COARSE[500:540])
    assert second["reference"] == 2.0
    assert second["frechet"] != first["frechet"]


def test_one_batch_of_another_resolution_leaves_the_collected_reals():
    torch.manual_seed(0)
    heldout = HeldoutSamples(DIGITS[1200:1300])
    context = EvaluationContext(GeneratorSampler(Generator(DIGITS[:40])), DiscriminatorScorer(Discriminator()), heldout)
    interrupted, undisturbed = HeldoutReals(), HeldoutReals()
    for probe in (interrupted, undisturbed):
        probe.attach(context)
        assert probe.read(step_with(20, DIGITS[:256], DIGITS[:40])) == {}
    assert interrupted.read(step_with(100, COARSE[300:600], DIGITS[:40])) == {}
    last = step_with(200, DIGITS[600:900], DIGITS[:40])
    assert interrupted.read(last) == undisturbed.read(last) != {}
