"""Shapes, initialisation and arguments of the networks."""

import pytest
import torch
from torch import nn

from ganwatch.core.errors import UserError
from ganwatch.trainer.arguments import CONV_SIZES
from ganwatch.trainer.module import GAN


@pytest.mark.parametrize("size", CONV_SIZES)
@pytest.mark.parametrize("colours", [1, 3])
def test_convolutions_fit_every_size(size, colours):
    gan = GAN((colours, size, size), channels=2, latent_dim=4)
    samples = gan.sample(2)
    assert samples.shape == (2, colours, size, size)
    assert samples.abs().max() <= 1.0
    assert gan.discriminator(samples).shape == (2,)


@pytest.mark.parametrize("shape", [(5,), (1, 8, 8), (3, 7, 9)])
def test_fully_connected_networks_fit_every_shape(shape):
    gan = GAN(shape, network="mlp", width=8, depth=4)
    assert gan.sample(3).shape == (3, *shape)
    assert gan.discriminator(gan.sample(3)).shape == (3,)
    assert sum(isinstance(module, nn.Linear) for module in gan.generator.modules()) == 5


def test_labels_change_samples_and_logits():
    torch.manual_seed(0)
    gan = GAN(classes=3, channels=2).eval()
    latent = torch.randn(1, 32).expand(2, -1)
    samples = gan.generator(latent, torch.tensor([0, 1]))
    assert not torch.equal(samples[0], samples[1])
    assert gan.discriminator(samples[:1], torch.tensor([0])) != gan.discriminator(samples[:1], torch.tensor([2]))


def test_extra_convolutions_per_resolution():
    def count(depth):
        return sum(isinstance(module, nn.Conv2d) for module in GAN(depth=depth).generator.modules())

    assert count(3) - count(None) == 2 * 3


def test_default_initialisation_keeps_the_signal_and_init_std_sets_it():
    torch.manual_seed(0)
    deep = GAN((64,), depth=12, g_norm="none", output="identity", latent_dim=64)
    hidden = list(deep.generator.body)[:-3]
    assert 0.4 < nn.Sequential(*hidden)(torch.randn(256, 64)).square().mean().sqrt() < 2.5
    small = GAN((64,), depth=3, init_std=0.003)
    assert small.generator.body[0].weight.std().item() == pytest.approx(0.003, rel=0.1)


def test_deep_sigmoid_generator_without_normalisation_starves_its_first_layer():
    torch.manual_seed(0)
    gan = GAN((2,), depth=8, g_norm="none", activation="sigmoid")
    gan.discriminator(gan.generator(torch.randn(64, 32))).mean().backward()
    linear = [module for module in gan.generator.modules() if isinstance(module, nn.Linear)]
    assert linear[0].weight.grad.norm() < 1e-3 * linear[-1].weight.grad.norm()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"shape": (1, 9, 9)}, r"shape for network='conv' must be \(channels, S, S\).*got \(1, 9, 9\)"),
        ({"shape": (4,), "network": "conv"}, "shape for network='conv' must be"),
        ({"shape": (1, 2)}, "shape must be"),
        ({"loss": "vanilla"}, "loss must be one of"),
        ({"g_norm": "spectral"}, "g_norm must be one of"),
        ({"g_lr": -1e-3}, "g_lr must be >= 0, got -0.001"),
        ({"d_lr": float("nan")}, "d_lr must be >= 0, got nan"),
        ({"ema": 1.0}, r"ema must be in \(0, 1\)"),
        ({"dropout": 1.0}, r"dropout must be in \[0, 1\)"),
        ({"d_steps": 2, "g_steps": 2}, "g_steps must be 1 where d_steps is greater, got 2"),
        ({"shape": (2,), "depth": 0}, "depth must be >= 1, got 0"),
        ({"g_betas": (0.5,)}, "g_betas must be two numbers"),
        ({"g_betas": (0.5, 1.0)}, "g_betas must be two numbers"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(UserError, match=message):
        GAN(**arguments)
