"""Probes against naive computation with NumPy, SciPy and scikit-learn."""

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist, pdist
from sklearn.metrics import roc_auc_score
from torch import nn

from ganwatch.capture.step import NO_COUNTS, Call, Step, StepView, Update, find_score, reduce_to_scores
from ganwatch.core.discovery import discover
from ganwatch.core.probe import Probe
from ganwatch.core.signals import find_signal
from ganwatch.probes.data import Data, describe_batches
from ganwatch.probes.discriminator import Discriminator, Saturation, auc
from ganwatch.probes.diversity import Diversity, downsample
from ganwatch.probes.gradients import GradientFlow, Gradients, Layers
from ganwatch.probes.latents import Latents
from ganwatch.probes.training import Training


def draw(*shape, seed=0, scale=1.0):
    return scale * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def seen(real=None, fake=None, *, on_real=None, on_fake=None, latent=None, index=40):
    step = Step(index)
    if latent is not None:
        step.calls.append(Call("g", (latent,), [], "latent", True, index))
    for batch, samples, output in (("real", real, on_real), ("fake", fake, on_fake)):
        if samples is not None:
            score = torch.zeros(len(samples), 1) if output is None else output
            step.calls.append(Call("d", (samples,), score, batch, True, index))
    return StepView(step)


def floats(values):
    return {name: float(value) for name, value in values.items()}


@pytest.mark.parametrize("shape", [(1,), (), (1, 3, 3), (4,)], ids=str)
def test_auc_equals_scikit_learns(shape):
    real, fake = draw(40, *shape, seed=1), draw(30, *shape, seed=2).sub(0.3)
    real[:5] = fake[:5]  # ties
    got = floats(Discriminator().read(seen(draw(40, 2), draw(30, 2), on_real=real, on_fake=fake)))
    mean = lambda x: x.reshape(len(x), -1).mean(1).numpy()
    pooled = np.sqrt((mean(real).var() + mean(fake).var()) / 2)
    assert got["d_auc"] == pytest.approx(roc_auc_score([1] * 40 + [0] * 30, [*mean(real), *mean(fake)]), abs=1e-6)
    assert got["d_output/real"] == pytest.approx(mean(real).mean(), rel=1e-5)
    assert got["d_output/fake"] == pytest.approx(mean(fake).mean(), rel=1e-5)
    assert got["d_margin"] == pytest.approx((mean(real).mean() - mean(fake).mean()) / pooled, rel=1e-4)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_auc_of_scores_that_are_not_finite_is_not_a_number(bad):
    assert auc(torch.tensor([bad, 1.0]), torch.tensor([0.0, 1.0])).isnan()


def pairwise_by_hand(real, fake):
    within_real, within_fake, between = pdist(real).mean(), pdist(fake).mean(), cdist(real, fake).mean()
    return within_fake / within_real, 1.0 - (within_real + within_fake) / (2.0 * between)


def vendi_by_hand(samples, width):
    kernel = np.exp(-(cdist(samples, samples) ** 2) / (2.0 * width**2))
    shares = np.linalg.eigvalsh(kernel / len(samples)).clip(1e-300)
    return np.exp(-(shares * np.log(shares)).sum())


@pytest.mark.parametrize("shape", [(64, 2), (64, 1, 8, 8), (20, 5), (100, 3)], ids=str)
def test_diversity_by_hand(shape):
    real, fake = draw(*shape, seed=3), draw(*shape, seed=4, scale=0.3) + 1.0
    rows = [x[:64].flatten(1).double().numpy() for x in (real, fake)]
    step = seen(real, fake)
    got = floats(Diversity().read(step))
    ratio, energy = pairwise_by_hand(*rows)
    width = pdist(rows[0]).mean() / 2.0
    assert got["pairwise_ratio"] == pytest.approx(ratio, rel=1e-4)
    assert got["energy_distance"] == pytest.approx(energy, rel=1e-3, abs=1e-5)
    assert got["vendi_ratio"] == pytest.approx(vendi_by_hand(rows[1], width) / vendi_by_hand(rows[0], width), rel=1e-4)


def test_diversity_of_what_has_collapsed_onto_one_sample():
    fake = draw(1, 1, 8, 8, seed=5).expand(64, -1, -1, -1)
    step = seen(draw(64, 1, 8, 8), fake)
    got = floats(Diversity().read(step))
    assert got["pairwise_ratio"] == pytest.approx(0.0, abs=1e-3)
    assert 0.4 < got["energy_distance"] <= 0.6
    assert got["vendi_ratio"] < 1 / 20


@pytest.mark.parametrize("scale", [1e-3, 1e3])
def test_diversity_does_not_depend_on_the_datas_scale(scale):
    real, fake = draw(64, 8, seed=6), draw(64, 8, seed=7, scale=0.5)
    one, other = (floats(Diversity().read(step)) for step in (seen(real, fake), seen(real * scale, fake * scale)))
    assert scale * one.pop("real_distance") == pytest.approx(other.pop("real_distance"), rel=1e-3)
    assert one == pytest.approx(other, rel=1e-3)


def test_large_images_are_averaged_down_and_sides_must_match():
    image = draw(4, 3, 64, 48)
    assert torch.allclose(downsample(image), image.unflatten(3, (16, 3)).unflatten(2, (16, 4)).mean((3, 5)).flatten(1), atol=1e-6)
    for real, fake in ((draw(4, 3), draw(4, 2)), (draw(1, 3), draw(4, 3)), (draw(4, 3), None)):
        assert Diversity().read(seen(real, fake)) == {}


def test_data_by_hand():
    real = draw(10, 1, 4, 4, seed=8) + 9.0
    real[1] = real[2] = 0.25
    real[3] = real[4]
    real[5, 0, 0, 0], real[5, 0, 0, 1] = float("nan"), float("inf")
    finite = real[torch.arange(10) != 5].numpy()
    got = floats(Data().read(seen(real)))
    assert got == pytest.approx({
        "data_min/real": finite.min(), "data_max/real": finite.max(), "data_constant/real": 0.2, "data_repeated/real": 0.2,
        "data_nonfinite/real": 0.1, "data_mean/real": finite.mean(), "data_std/real": finite.std(),
        "data_reach/real": np.median(np.abs(finite).max((1, 2, 3))),
    }, rel=1e-5)  # fmt: skip


def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.Linear(8, 2, bias=False))


def test_gradients_and_layers_by_hand():
    network, probes = net(), [Gradients(), Layers(), GradientFlow()]
    network(draw(6, 3)).pow(2).sum().backward()
    named = dict(network.named_parameters())
    optimizer = torch.optim.SGD(network.parameters(), lr=0.5)
    update = Update("g", 10, list(named), list(named.values()))
    array = {name: p.grad.double().numpy().copy() for name, p in named.items()}
    weights = np.concatenate([p.detach().double().numpy().ravel() for p in named.values()])
    whole = np.concatenate([grad.ravel() for grad in array.values()])
    output_grad = draw(6, 1, 2, 2, seed=9)
    step = StepView(Step(10, calls=[Call("d", (draw(6, 3),), torch.zeros(6), "fake", True, 10, in_g_phase=True, output_grad=output_grad)]))
    for probe in probes:
        probe.before_update(update)
    optimizer.step()
    for probe in probes:
        probe.after_update(update)
    got = floats({series: value for probe in probes for series, value in probe.read(step).items()})
    summed = np.linalg.norm(output_grad.double().sum((1, 2, 3)).numpy())
    assert got == pytest.approx({
        "grad_norm/g": np.linalg.norm(whole),
        "zero_gradient/g": 0.0,
        "layer_grad_norm/g.0": np.hypot(np.linalg.norm(array["0.weight"]), np.linalg.norm(array["0.bias"])),
        "layer_grad_norm/g.1": np.hypot(np.linalg.norm(array["1.weight"]), np.linalg.norm(array["1.bias"])),
        "layer_grad_norm/g.2": np.linalg.norm(array["2.weight"]),
        "grad_first_to_last/g": np.sqrt((array["0.weight"] ** 2).mean() / (array["2.weight"] ** 2).mean()),
        "weight_norm/g": np.linalg.norm(weights),
        "update_to_weight/g": 0.5 * np.linalg.norm(whole) / np.linalg.norm(weights),
        "output_gradient/g": summed * np.sqrt(6),
        "grad_to_output/g": np.linalg.norm(whole) / summed,
    }, rel=1e-5)  # fmt: skip
    assert all(probe.read(StepView(Step(11))) == {} for probe in probes)


def test_an_update_whose_gradients_come_from_a_closure_is_left_out():
    network, probe = net(), GradientFlow()
    probe.after_update(Update("g", 10, ["0.weight"], [network[0].weight]))
    assert probe.read(StepView(Step(10))) == {}


def test_saturation_against_the_steepest_batch_so_far():
    probe = Saturation()
    values = []
    for slopes in ([0.25] * 4, [0.25, 0.25, 0.001, 0.0], [1.0, 0.001, 0.005, 0.02], [0.005] * 4):
        call = Call("d", (draw(4, 2),), torch.zeros(4), "real", True, 10, output_grad=torch.tensor(slopes)[:, None])
        values.append(float(probe.read(StepView(Step(10, calls=[call])))["d_saturation/real"]))
    assert values == [0.0, 0.5, 0.5, 1.0]


def test_latents_by_hand():
    latent = draw(10, 4, seed=10, scale=3.0)
    latent[1] = latent[0]
    assert floats(Latents().read(seen(latent=latent))) == pytest.approx(
        {"latent_scale": latent.double().numpy().std(), "latent_repeated": 0.1, "latent_continuity": 1.0}, rel=1e-5
    )
    assert Latents().read(seen(latent=torch.zeros(3, 4, dtype=torch.int64))) == {}


N = 5
OUTPUTS = {
    "vector": (torch.arange(5.0), torch.arange(5.0)),
    "map": (torch.arange(5.0).view(N, 1, 1, 1).expand(N, 1, 3, 3), torch.arange(5.0)),
    "features before the score": ([torch.zeros(N, 7, 2, 2), torch.zeros(N, 9), torch.arange(5.0)[:, None]], torch.arange(5.0)),
    "classes beside the score": ((torch.arange(5.0)[:, None], torch.zeros(N, 10)), torch.arange(5.0)),
    "several scales": ([[torch.zeros(N, 7), torch.zeros(N, 1)], [torch.zeros(N, 7), torch.arange(5.0)[:, None]]], torch.arange(5.0)),
    "by name": ({"logits": torch.arange(5.0).half()[:, None], "labels": torch.zeros(N, dtype=torch.int64)}, torch.arange(5.0)),
    "nothing but features": (torch.arange(5.0)[:, None].expand(N, 4), torch.arange(5.0)),
    "one number for all": (torch.tensor(3.0), None),
    "no tensor": ("nothing", None),
}


@pytest.mark.parametrize(("output", "expected"), OUTPUTS.values(), ids=OUTPUTS)
def test_one_score_a_sample(output, expected):
    got = reduce_to_scores(output)
    assert (got is None) == (expected is None)
    if expected is not None:
        assert got.dtype == torch.float32
        assert torch.equal(got, expected)
    assert expected is None or find_score(output) is not None


@pytest.mark.parametrize("cls", discover("ganwatch.probes", Probe), ids=lambda cls: cls.name)
def test_every_probe_gives_nothing_for_an_empty_step_and_only_its_own_signals(cls):
    assert all(find_signal(signal) is not None for signal in cls.signals)
    probe = cls()
    steady = {"observer_time", "process_memory", *NO_COUNTS}
    assert set(probe.read(StepView(Step(1)))) <= steady
    read = probe.read(seen(draw(8, 4), draw(8, 4, seed=1), on_real=draw(8), on_fake=draw(8, seed=1), latent=draw(8, 2)))
    assert {name.partition("/")[0] for name in read} <= set(cls.signals)
    for value in read.values():
        assert not isinstance(value, torch.Tensor) or (value.ndim == 0 and not value.requires_grad)


def test_what_the_loop_set():
    step = StepView(Step(40, calls=[*seen(draw(8, 4), draw(6, 4)).calls], learning_rates={"g": 0.1, "d": 0.2}))
    rates = {"learning_rate/g": 0.1, "learning_rate/d": 0.2}
    assert Training().read(step) == rates | {"batch_size/real": 8.0, "batch_size/fake": 6.0, "reals_given": 1.0}
    fakes = [call for call in step.calls if call.origin == "fake"]
    assert Training().read(StepView(Step(40, calls=fakes)))["reals_given"] == 0.0
    assert "reals_given" not in Training().read(StepView(Step(40)))


def test_a_batch_without_a_finite_value_has_no_range_and_no_variety():
    facts = describe_batches(torch.full((1, 4, 1, 2, 2), torch.nan))
    assert all(facts[name].isnan() for name in ("min", "max", "mean", "std"))
    assert facts["nonfinite"] == 1.0
    step = StepView(Step(40, calls=[Call("d", (x,), x.flatten(1).sum(1), kind, training=True, index=20) for kind, x in (
        ("real", torch.randn(4, 1, 2, 2)), ("fake", torch.full((4, 1, 2, 2), torch.nan)))]))  # fmt: skip
    assert Diversity().read(step)["vendi_ratio"].isnan()
