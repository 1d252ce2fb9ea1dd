"""Generators and discriminators: convolutional for square images of 8 to 128 pixels, fully connected for anything."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

if TYPE_CHECKING:
    from collections.abc import Callable

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "leaky_relu": lambda: nn.LeakyReLU(0.2),
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
}
GAINS = {"relu": math.sqrt(2.0), "leaky_relu": math.sqrt(2.0 / 1.04), "sigmoid": 1.0, "tanh": 5.0 / 3.0}
OUTPUTS: dict[str, Callable[[], nn.Module]] = {"tanh": nn.Tanh, "identity": nn.Identity}


def make_activation(name: str) -> nn.Module:
    """Create a layer of ``ACTIVATIONS``."""
    return ACTIVATIONS[name]()


def norm_layers(kind: Callable[[int], nn.Module], width: int, norm: str) -> list[nn.Module]:
    """Create the batch normalisation if ``norm`` asks for it; ``add_spectral_norm`` comes later, on the whole network."""
    return [kind(width)] if norm == "batch" else []


class Generator(nn.Module):
    """Generator: turns latents (and labels, if ``classes`` > 0) into samples.

    Parameters
    ----------
    body : nn.Module
        Maps ``(N, D)`` to ``(N, *shape)``.
    latent_dim : int
        Size of the latent; with classes a learned embedding of the same size is appended, so D is twice as large.
    classes : int
        Number of labels, 0 for an unconditional generator.
    """

    def __init__(self, body: nn.Module, *, latent_dim: int, classes: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(classes, latent_dim) if classes else None
        self.body = body

    def forward(self, latent: Tensor, label: Tensor | None = None) -> Tensor:
        """Turn latents ``(N, latent_dim)`` and labels ``(N,)`` int64 into samples ``(N, *shape)``."""
        if self.embedding is not None and label is not None:
            latent = torch.cat((latent, self.embedding(label)), 1)
        out: Tensor = self.body(latent)
        return out


class Discriminator(nn.Module):
    """Discriminator: turns samples into logits ``(N,)``; with labels by projection (Miyato and Koyama 2018, arXiv 1802.05637).

    Parameters
    ----------
    features : nn.Module
        Maps ``(N, *shape)`` to ``(N, D)``.
    head : nn.Linear
        Maps ``(N, D)`` to ``(N, 1)``.
    classes : int
        Number of labels, 0 for an unconditional discriminator.
    """

    def __init__(self, features: nn.Module, head: nn.Module, *, width: int, classes: int) -> None:
        super().__init__()
        self.features = features
        self.head = head
        self.embedding = nn.Embedding(classes, width) if classes else None

    def forward(self, sample: Tensor, label: Tensor | None = None) -> Tensor:
        """Turn samples ``(N, *shape)`` and labels ``(N,)`` int64 into logits ``(N,)``."""
        features = self.features(sample)
        logit: Tensor = self.head(features).squeeze(1)
        if self.embedding is not None and label is not None:
            logit = logit + (self.embedding(label) * features).sum(1)
        return logit


def conv_generator(
    shape: tuple[int, int, int], inputs: int, *, channels: int, depth: int, activation: str, norm: str, output: str
) -> nn.Module:
    """Build a DCGAN-like body: a projection to 4x4, then a transposed convolution per doubling (Radford et al. 2015, arXiv 1511.06434).

    Parameters
    ----------
    shape : (C, S, S)
        S is a power of two from 8 to 128.
    inputs : int
        Size of the latent, including the label's embedding.
    channels : int
        Channels at full resolution; they double with every halving, up to eight times as many.
    depth : int
        Additional 3x3 convolutions at every resolution.
    activation, norm, output : str
        A key of ``ACTIVATIONS``; ``batch`` or ``none``; a key of ``OUTPUTS``.
    """
    doublings = int(math.log2(shape[1])) - 2
    widths = [channels * 2 ** min(level, 3) for level in range(doublings, -1, -1)]

    def finish(width: int) -> list[nn.Module]:
        return [*norm_layers(nn.BatchNorm2d, width, norm), make_activation(activation)]

    def deepen(width: int) -> list[nn.Module]:
        return [layer for _ in range(depth) for layer in (nn.Conv2d(width, width, 3, 1, 1, bias=norm == "none"), *finish(width))]

    layers: list[nn.Module] = [nn.Linear(inputs, widths[0] * 16), nn.Unflatten(1, (widths[0], 4, 4)), *finish(widths[0])]
    layers += deepen(widths[0])
    for width, narrower in itertools.pairwise(widths):
        layers += [nn.ConvTranspose2d(width, narrower, 4, 2, 1, bias=norm == "none"), *finish(narrower), *deepen(narrower)]
    return nn.Sequential(*layers, nn.Conv2d(widths[-1], shape[0], 3, 1, 1), OUTPUTS[output]())


def conv_features(
    shape: tuple[int, int, int], *, channels: int, depth: int, activation: str, norm: str, dropout: float
) -> tuple[list[nn.Module], int]:
    """Build strided convolutions down to 2x2, the mirror of ``conv_generator``; return them and the number of their features."""
    halvings = int(math.log2(shape[1])) - 1
    widths = [channels * 2 ** min(level, 3) for level in range(halvings)]

    def finish(width: int, *, first: bool = False) -> list[nn.Module]:
        layers: list[nn.Module] = [nn.BatchNorm2d(width)] if norm == "batch" and not first else []
        layers.append(make_activation(activation))
        return [*layers, nn.Dropout2d(dropout)] if dropout else layers

    layers: list[nn.Module] = []
    for index, (width, wider) in enumerate(itertools.pairwise([shape[0], *widths])):
        layers += [nn.Conv2d(width, wider, 4, 2, 1), *finish(wider, first=index == 0)]
        for _ in range(depth):
            layers += [nn.Conv2d(wider, wider, 3, 1, 1), *finish(wider)]
    return [*layers, nn.Flatten()], widths[-1] * 4


def dense_generator(
    shape: tuple[int, ...], inputs: int, *, width: int, depth: int, activation: str, norm: str, output: str
) -> nn.Module:
    """Build ``depth`` hidden layers of ``width`` units, then a layer that outputs ``shape``."""
    layers: list[nn.Module] = []
    for index in range(depth):
        layers.append(nn.Linear(width if index else inputs, width))
        layers += norm_layers(nn.BatchNorm1d, width, norm)
        layers.append(make_activation(activation))
    return nn.Sequential(*layers, nn.Linear(width, math.prod(shape)), nn.Unflatten(1, shape), OUTPUTS[output]())


def dense_features(
    shape: tuple[int, ...], *, width: int, depth: int, activation: str, norm: str, dropout: float
) -> tuple[list[nn.Module], int]:
    """Build ``depth`` hidden layers of ``width`` units; return them and the number of their features."""
    layers: list[nn.Module] = [nn.Flatten()]
    for index in range(depth):
        layers.append(nn.Linear(width if index else math.prod(shape), width))
        layers += [nn.BatchNorm1d(width)] if norm == "batch" and index else []
        layers.append(make_activation(activation))
        layers += [nn.Dropout(dropout)] if dropout else []
    return layers, width


def initialise(network: nn.Module, activation: str, std: float | None) -> None:
    """Draw the weights, zero the biases.

    Parameters
    ----------
    network : nn.Module
        Changed in place.
    activation : str
        Determines the gain if ``std`` is None.
    std : float or None
        Standard deviation of every weight, or None for He et al. 2015 (arXiv 1502.01852), which keeps the scale of the signal
        from layer to layer with and without normalisation.
    """
    for module in network.modules():
        if isinstance(module, nn.Linear | nn.Conv2d | nn.ConvTranspose2d | nn.Embedding):
            if std is not None:
                nn.init.normal_(module.weight, 0.0, std)
            elif isinstance(module, nn.Embedding):
                nn.init.normal_(module.weight, 0.0, 1.0)
            else:
                nn.init.normal_(module.weight, 0.0, GAINS[activation] / math.sqrt(_fan_in(module)))
            if isinstance(module, nn.Linear | nn.Conv2d | nn.ConvTranspose2d) and module.bias is not None:
                nn.init.zeros_(module.bias)


def _fan_in(module: nn.Linear | nn.Conv2d | nn.ConvTranspose2d) -> float:
    if isinstance(module, nn.Linear):
        return module.in_features
    taps = math.prod(module.kernel_size)
    if isinstance(module, nn.ConvTranspose2d):
        return module.in_channels * taps / math.prod(module.stride)
    return module.in_channels * taps


def add_spectral_norm(network: nn.Module) -> None:
    """Add spectral normalisation to every weight, in place (Miyato et al. 2018, arXiv 1802.05957)."""
    for module in list(network.modules()):
        if isinstance(module, nn.Linear | nn.Conv2d | nn.Embedding):
            spectral_norm(module)
