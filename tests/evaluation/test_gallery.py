"""Grids come from the run's own latents, and the run does not change."""

import random

import numpy as np
import pytest
import torch
from torch import nn

from ganwatch.capture.step import Call, Step, StepView
from ganwatch.core.detector import Severity
from ganwatch.core.incidents import Incident, State
from ganwatch.evaluation.gallery import MAX_TILES, Gallery, to_pixels
from ganwatch.evaluation.generator_sampler import GeneratorSampler


class Restless(nn.Module):
    """Changes all that a forward pass can: statistics, spectral vectors, every random state, a generator of its own."""

    def __init__(self):
        super().__init__()
        self.body = nn.utils.parametrizations.spectral_norm(nn.Linear(3, 4))
        self.norm, self.drop = nn.BatchNorm1d(4), nn.Dropout(0.5)
        self.own = torch.Generator().manual_seed(0)
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, z, *, shift=0.0):
        self.calls += 1
        noise = torch.rand(1) + torch.rand(1, generator=self.own) + np.random.rand() + random.random()  # noqa: NPY002  # the global state
        return (self.drop(self.norm(self.body(z))) + shift + 0.0 * noise).view(-1, 1, 2, 2)


def view(index, *calls):
    return StepView(Step(index, calls=list(calls)))


def states(module):
    yield from (tensor.tolist() for tensor in module.state_dict().values())
    yield torch.get_rng_state().tolist()
    yield str(np.random.get_state(legacy=True))  # noqa: NPY002  # the global state
    yield random.getstate()
    yield module.own.get_state().tolist()
    yield [part.training for part in module.modules()]


def first_step(module, n=50, **kwargs):
    z = torch.randn(n, 3)
    return view(1, Call("g", (z,), [], "latent", True, 1, arguments=([z], kwargs)))


def test_a_grid_changes_nothing():
    generator, emitted = Restless(), []
    gallery = Gallery(GeneratorSampler(generator), emitted.append)
    step = first_step(generator, shift=2.0)
    generator.norm.eval()
    before = list(states(generator))
    gallery.on_step(step)
    assert list(states(generator)) == before
    assert [(one.step, one.kind, one.shape) for one in emitted] == [(1, "fixed", (MAX_TILES, 2, 2, 1))]
    assert torch.equal(gallery.generate(), gallery.generate())
    assert all(parameter.grad is None for parameter in generator.parameters())


def test_an_error_while_drawing_restores_the_training_flags():
    generator = Restless()
    gallery = Gallery(GeneratorSampler(generator), print)
    with pytest.raises(TypeError):
        gallery.on_step(first_step(generator, unheard_of=1))
    assert all(part.training for part in generator.modules())


@pytest.mark.parametrize(("given", "own"), [(torch.bfloat16, torch.float32), (torch.float32, torch.float64)])
def test_inputs_of_another_type_are_converted_to_the_generators_own(given, own):
    generator = nn.Sequential(nn.Conv2d(2, 3, 1)).to(own)
    image, labels = torch.ones(4, 2, 3, 3, dtype=given), torch.arange(4)
    assert GeneratorSampler(generator)(([image], {})).dtype == own
    assert GeneratorSampler(nn.Embedding(4, 2).to(own))(([labels], {})).shape == (4, 2)


def test_the_same_latents_after_a_resume():
    generator, emitted = Restless(), []
    first, second = Gallery(GeneratorSampler(generator), emitted.append), Gallery(GeneratorSampler(generator), emitted.append)
    first.on_step(first_step(generator, shift=0.5))
    second.load_state_dict(first.state_dict())
    assert torch.equal(first.generate(), second.generate())


def test_grids_grow_with_the_logarithm_of_the_run():
    gallery = Gallery(GeneratorSampler(nn.Linear(1, 1)), print, every=10)
    due = [step for step in range(1, 100_001) if gallery.is_due(step)]
    assert due[:4] == [1, 10, 20, 30]
    assert len(due) < 250
    with pytest.raises(ValueError, match="every must be >= 1"):
        Gallery(GeneratorSampler(nn.Linear(1, 1)), print, every=0)


def test_one_grid_in_eight_comes_with_a_grid_of_real_samples():
    emitted = []
    gallery = Gallery(GeneratorSampler(nn.Linear(1, 1)), emitted.append, every=10)
    real = torch.linspace(-1.0, 1.0, 32).view(2, 1, 4, 4)
    for step in range(1, 641):
        gallery.on_step(view(step, Call("d", (real,), torch.zeros(2), "real", training=True, index=step)))
    assert [(one.kind, one.step) for one in emitted] == [("real", step) for step in (1, 80, 160, 240, 320, 480, 640)]


@pytest.mark.parametrize("onset", [2, 30, 150, 400, 700, 990])
def test_an_incident_has_samples_from_before_its_onset_and_from_now(onset):
    gallery = Gallery(GeneratorSampler(nn.Linear(1, 1)), [].append)
    for step in range(1, 1001):
        fake = torch.full((2, 1, 4, 4), step / 1000.0)
        gallery.on_step(view(step, Call("d", (fake,), torch.zeros(2), "fake", training=True, index=step)))
    found = gallery.evidence(Incident("GW101-1", "GW101", "mode collapse", Severity.PAGE, State.FIRING, onset, 1000))
    assert {(one.kind, one.incident) for one in found} == {("pinned", "GW101-1")}
    steps = [one.step for one in found]
    assert steps == sorted(steps)
    assert len(steps) <= 6
    assert steps[0] < onset <= steps[1]
    assert steps[-1] == 1000


def test_pixels():
    image = torch.tensor([-1.0, 0.0, 1.0, float("nan")]).view(1, 1, 2, 2)
    assert to_pixels(image, (-1.0, 1.0)).flatten().tolist() == [0, 128, 255, 128]
    assert to_pixels(image.expand(2, 3, 2, 2), (-1.0, 1.0)).shape == (2, 2, 2, 3)
    plot = to_pixels(torch.tensor([[0.0, 0.0], [1.0, 1.0]]), (0.0, 1.0))[0, :, :, 0]
    assert [tuple(place) for place in (plot == 0).nonzero().tolist()] == [(0, 95), (95, 0)]
    assert to_pixels(torch.zeros(2, 5, 4, 4), (0.0, 1.0)) is None


def test_values_beyond_the_range_have_its_ends_as_pixels():
    image = torch.tensor([-9.0, 0.0, 1.5, 9.0]).view(1, 1, 2, 2)
    assert to_pixels(image, (0.0, 3.0)).flatten().tolist() == [0, 0, 128, 255]
    assert to_pixels(image, (1.5, 1.5)).flatten().tolist() == [0, 0, 0, 255]  # a constant image
    plot = to_pixels(torch.tensor([[-1.0, 0.25, 0.5], [2.0, 0.75, 9.0]]), (0.0, 1.0))
    assert plot.shape == (1, 96, 96, 1)
    assert [tuple(place) for place in (plot[0, :, :, 0] != 255).nonzero().tolist()] == [(24, 95), (71, 0)]


@pytest.mark.parametrize(
    ("shape", "pixels"),
    [
        ((2, 1, 3, 5), (2, 3, 5, 1)), ((2, 3, 4, 5), (2, 4, 5, 3)), ((2, 4, 1, 3), None), ((2, 2, 3, 3), None), ((2, 2), (1, 96, 96, 1)),
        ((4, 1), None), ((2, 3, 4), None), ((2, 1, 2, 2, 2), None),
    ],
)  # fmt: skip
def test_images_and_vectors_have_pixels_and_nothing_else(shape, pixels):
    found = to_pixels(torch.zeros(shape), (0.0, 1.0))
    assert (None if found is None else tuple(found.shape)) == pixels


def quiet(**options):
    emitted = []
    return Gallery(GeneratorSampler(nn.Linear(1, 1)), emitted.append, **options), emitted


def test_it_needs_the_calls_of_every_twentieth_step_and_of_grids():
    gallery, _ = quiet()
    assert [step for step in range(1, 121) if gallery.needs_calls(step)] == [1, 20, 40, 60, 80, 100, 120]
    assert [step for step in range(1, 7000) if gallery.is_due(step)] == [1, *range(100, 3201, 100), *range(3400, 6401, 200), 6800]
    odd, _ = quiet(every=7)
    assert [step for step in range(1, 23) if odd.needs_calls(step)] == [1, 7, 14, 20, 21]
    assert [step for step in range(1, 5) if quiet(every=1)[0].needs_calls(step)] == [1, 2, 3, 4]


def grid_of(*batches):
    """Pixels of the grids of real samples of the first step and the eighth."""
    gallery, emitted = quiet(every=1)
    for step, real in zip((1, 8), batches, strict=False):
        gallery.on_step(view(step, Call("d", (real,), torch.zeros(len(real)), "real", training=True, index=step)))
    return [torch.frombuffer(bytearray(one.pixels), dtype=torch.uint8).view(one.shape) for one in emitted]


def test_the_range_of_pixels_is_that_of_the_first_reals():
    ramp = torch.linspace(2.0, 4.0, 5).view(1, 1, 1, 5)
    first, second = grid_of(ramp, ramp + 1.0)
    assert first.flatten().tolist() == [0, 64, 128, 191, 255]
    assert second.flatten().tolist() == [128, 191, 255, 255, 255]
    [unknown] = grid_of(torch.full((1, 1, 2, 2), torch.inf))
    assert unknown.flatten().tolist() == [255] * 4
    after_unknown = grid_of(torch.full((1, 1, 1, 2), torch.nan), torch.tensor([-1.0, -0.5, 0.0, 1.0]).view(1, 1, 2, 2))[1]
    assert after_unknown.flatten().tolist() == [0, 64, 128, 255]


def test_without_reals_the_range_is_that_of_a_tanh():
    emitted, generator = [], nn.Conv2d(1, 1, 1, bias=False)
    nn.init.ones_(generator.weight)
    gallery = Gallery(GeneratorSampler(generator), emitted.append)
    gallery.fixed = ([torch.tensor([-1.0, -0.5, 0.5, 1.0]).view(1, 1, 2, 2)], {})
    gallery.on_step(StepView(Step(1)))
    assert [list(one.pixels) for one in emitted] == [[0, 64, 191, 255]]


def test_points_keep_a_tenth_of_their_range_to_the_border():
    [plot] = grid_of(torch.tensor([[2.0, 2.0], [4.0, 4.0]]))
    margin = round(0.2 / 2.4 * 95)
    assert [tuple(place) for place in (plot[0, :, :, 0] == 0).nonzero().tolist()] == [(margin, 95 - margin), (95 - margin, margin)]


def test_a_grid_has_up_to_36_images_and_a_plot_all_points():
    for samples, shape, black in ((torch.zeros(50, 1, 2, 2), (36, 2, 2, 1), None), (torch.eye(50)[:, :40], (1, 96, 96, 1), 3)):
        [grid] = grid_of(samples)
        assert tuple(grid.shape) == shape
        assert black is None or int((grid == 0).sum()) == black
    points = torch.linspace(0.0, 1.0, 50)[:, None].expand(50, 2)
    assert int((grid_of(points)[0] == 0).sum()) == 50


def test_inputs_of_the_first_call_are_kept_and_only_those_of_each_sample_are_cut():
    gallery, _ = quiet()
    gallery.sampler.is_allowed = False
    scale, latents = torch.ones(50), torch.zeros(40, 1)
    gallery.on_step(view(1, Call("g", (), [], "latent", training=True, index=1, arguments=([], {}))))
    gallery.on_step(view(2, Call("g", (latents,), [], "latent", training=True, index=2)))
    assert gallery.fixed is None  # no inputs, then unknown arguments
    gallery.on_step(view(3, Call("g", (latents,), [], "latent", training=True, index=3, arguments=([latents, scale], {}))))
    assert [len(tensor) for tensor in gallery.fixed[0]] == [36, 50]
    single, _ = quiet()
    single.sampler.is_allowed = False
    inputs = (torch.tensor(1.0), torch.zeros(1))
    single.on_step(view(1, Call("g", inputs, [], "latent", training=True, index=1, arguments=([*inputs, torch.zeros(0)], {}))))
    assert [tuple(tensor.shape) for tensor in single.fixed[0]] == [(), (1,), (0,)]


def test_saved_latents_replace_none_of_the_running_ones():
    gallery, _ = quiet()
    gallery.fixed = ([torch.ones(2, 1)], {})
    other, _ = quiet()
    other.load_state_dict(gallery.state_dict())
    assert torch.equal(other.fixed[0][0], torch.ones(2, 1))
    other.fixed = ([torch.zeros(2, 1)], {})
    other.load_state_dict(gallery.state_dict())
    assert torch.equal(other.fixed[0][0], torch.zeros(2, 1))
    other.load_state_dict({"fixed": None, "range": None})
    assert torch.equal(other.fixed[0][0], torch.zeros(2, 1))
    fresh, _ = quiet()
    fresh.load_state_dict({"fixed": None, "range": [0.0, 2.0]})
    assert (fresh.fixed, fresh.state_dict()) == (None, {"fixed": None, "range": [0.0, 2.0]})
