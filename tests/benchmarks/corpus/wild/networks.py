"""Networks of the wild part: pairs of a generator and a discriminator by name, for each family of data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torch.nn.utils import parametrizations


@dataclass(frozen=True)
class Pair:
    """Builders of a generator body ``(latents, shape)`` and of a discriminator ``(shape)``, and their widths."""

    generator: Callable[[int, tuple[int, ...]], nn.Module]
    discriminator: Callable[[tuple[int, ...]], nn.Module]


class Residual(nn.Module):
    """A block whose input is added to its output."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.body = nn.Sequential(*layers)

    def forward(self, inputs: Tensor) -> Tensor:
        return inputs + self.body(inputs)


class MixedOutput(nn.Module):
    """Continuous columns as they are, and one-hot blocks drawn by Gumbel softmax (Jang et al., 2017, arXiv:1611.01144)."""

    def __init__(self, categories: tuple[int, ...]) -> None:
        super().__init__()
        self.categories = categories

    def forward(self, inputs: Tensor) -> Tensor:
        sizes = [inputs.shape[1] - sum(self.categories), *self.categories]
        columns, *blocks = inputs.split(sizes, 1)
        return torch.cat([columns, *(F.gumbel_softmax(block, tau=0.3) for block in blocks)], 1)


class ConditionalGenerator(nn.Module):
    """A generator that gets the embedding of a label beside its latents."""

    def __init__(self, body: nn.Module, kinds: int, width: int) -> None:
        super().__init__()
        self.body, self.embedding = body, nn.Embedding(kinds, width)

    def forward(self, latents: Tensor, labels: Tensor) -> Tensor:
        outputs: Tensor = self.body(torch.cat([latents, self.embedding(labels)], 1))
        return outputs


class ConditionalDiscriminator(nn.Module):
    """A discriminator that gets the embedding of a label as a further channel."""

    def __init__(self, body: nn.Module, kinds: int, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.body, self.shape, self.embedding = body, shape, nn.Embedding(kinds, prod(shape[1:]))

    def forward(self, samples: Tensor, labels: Tensor) -> Tensor:
        channel = self.embedding(labels).view(-1, 1, *self.shape[1:])
        outputs: Tensor = self.body(torch.cat([samples, channel], 1))
        return outputs


def build_mlp_generator(
    norm: Callable[[int], nn.Module] | None, activation: Callable[[], nn.Module], width: int = 128
) -> Callable[..., nn.Module]:
    """Return a builder of a generator of dense layers."""

    def build(latents: int, shape: tuple[int, ...]) -> nn.Module:
        layers: list[nn.Module] = []
        for size in (latents, width):
            layers += [nn.Linear(size, width), *([norm(width)] if norm else []), activation()]
        return nn.Sequential(*layers, nn.Linear(width, prod(shape)), nn.Unflatten(1, shape))

    return build


def build_mlp_discriminator(
    activation: Callable[[], nn.Module], *, spectral: bool = False, norm: bool = False, dropout: float = 0.0, width: int = 128
) -> Callable[..., nn.Module]:
    """Return a builder of a discriminator of dense layers."""

    def build(shape: tuple[int, ...]) -> nn.Module:
        layers: list[nn.Module] = [nn.Flatten()]
        for size in (prod(shape), width):
            layers += [_wrap(nn.Linear(size, width), spectral), *([nn.LayerNorm(width)] if norm else []), activation()]
            layers += [nn.Dropout(dropout)] if dropout else []
        return nn.Sequential(*layers, _wrap(nn.Linear(width, 1), spectral))

    return build


def build_residual_mlp(latents: int, shape: tuple[int, ...]) -> nn.Module:
    """Return a generator of two residual blocks."""
    blocks = [Residual(nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 128)) for _ in range(2)]
    return nn.Sequential(nn.Linear(latents, 128), *blocks, nn.ReLU(), nn.Linear(128, prod(shape)), nn.Unflatten(1, shape))


def build_dcgan_generator(latents: int, shape: tuple[int, ...], width: int = 12) -> nn.Module:
    """Return a generator of transposed convolutions with batch norm (Radford et al., 2016, arXiv:1511.06434)."""
    side = shape[1] // 4
    return nn.Sequential(
        nn.Linear(latents, 2 * width * side**2), nn.Unflatten(1, (2 * width, side, side)), nn.BatchNorm2d(2 * width), nn.ReLU(),
        nn.ConvTranspose2d(2 * width, width, 4, 2, 1), nn.BatchNorm2d(width), nn.ReLU(), nn.ConvTranspose2d(width, shape[0], 4, 2, 1),
    )  # fmt: skip


def build_upsampling_generator(latents: int, shape: tuple[int, ...], width: int = 12) -> nn.Module:
    """Return a generator that enlarges by repeating pixels and convolves."""
    side = shape[1] // 4
    layers: list[nn.Module] = [nn.Linear(latents, width * side**2), nn.Unflatten(1, (width, side, side))]
    for _ in range(2):
        layers += [nn.Upsample(scale_factor=2), nn.Conv2d(width, width, 3, padding=1), nn.BatchNorm2d(width), nn.SiLU()]
    return nn.Sequential(*layers, nn.Conv2d(width, shape[0], 3, padding=1))


def build_residual_generator(latents: int, shape: tuple[int, ...], width: int = 12) -> nn.Module:
    """Return a generator of residual blocks."""
    side = shape[1] // 2

    def block() -> nn.Module:
        return Residual(nn.BatchNorm2d(width), nn.ReLU(), nn.Conv2d(width, width, 3, padding=1))

    first = (nn.Linear(latents, width * side**2), nn.Unflatten(1, (width, side, side)))
    return nn.Sequential(*first, block(), nn.Upsample(scale_factor=2), block(), nn.ReLU(), nn.Conv2d(width, shape[0], 3, padding=1))


def build_conv_discriminator(*, spectral: bool = False, norm: bool = False, width: int = 12) -> Callable[..., nn.Module]:
    """Return a builder of a discriminator of strided convolutions."""

    def build(shape: tuple[int, ...]) -> nn.Module:
        middle = [nn.BatchNorm2d(2 * width)] if norm else []
        convolutions = nn.Conv2d(shape[0], width, 4, 2, 1), nn.Conv2d(width, 2 * width, 4, 2, 1)
        first, second = (_wrap(each, spectral) for each in convolutions)
        last = _wrap(nn.Linear(2 * width * (shape[1] // 4) ** 2, 1), spectral)
        return nn.Sequential(first, nn.LeakyReLU(0.2), second, *middle, nn.LeakyReLU(0.2), nn.Flatten(), last)

    return build


def build_residual_discriminator(shape: tuple[int, ...], width: int = 8) -> nn.Module:
    """Return a discriminator of residual blocks with pooling."""

    def block() -> nn.Module:
        return Residual(nn.LeakyReLU(0.2), nn.Conv2d(width, width, 3, padding=1))

    end = (nn.AvgPool2d(2), nn.LeakyReLU(0.2), nn.Flatten(), nn.Linear(width * (shape[1] // 4) ** 2, 1))
    return nn.Sequential(nn.Conv2d(shape[0], width, 3, padding=1), nn.AvgPool2d(2), block(), *end)


def build_signal_generator(latents: int, shape: tuple[int, ...], width: int = 12) -> nn.Module:
    """Return a generator of transposed convolutions along time."""
    side = shape[1] // 4
    return nn.Sequential(
        nn.Linear(latents, width * side), nn.Unflatten(1, (width, side)), nn.BatchNorm1d(width), nn.ReLU(),
        nn.ConvTranspose1d(width, width, 4, 2, 1), nn.BatchNorm1d(width), nn.ReLU(), nn.ConvTranspose1d(width, shape[0], 4, 2, 1),
    )  # fmt: skip


def build_signal_discriminator(shape: tuple[int, ...], width: int = 12) -> nn.Module:
    """Return a discriminator of strided convolutions along time."""
    convolutions = (nn.Conv1d(shape[0], width, 6, 2, 2), nn.LeakyReLU(0.2), nn.Conv1d(width, 2 * width, 6, 2, 2), nn.LeakyReLU(0.2))
    return nn.Sequential(*convolutions, nn.Flatten(), nn.Linear(2 * width * (shape[1] // 4), 1))


def _leaky() -> nn.Module:
    return nn.LeakyReLU(0.2)


def _wrap(layer: nn.Module, spectral: bool) -> nn.Module:
    return parametrizations.spectral_norm(layer) if spectral else layer


DENSE = {
    "mlp": Pair(build_mlp_generator(None, nn.ReLU), build_mlp_discriminator(_leaky)),
    "batch-norm": Pair(build_mlp_generator(nn.BatchNorm1d, nn.ReLU), build_mlp_discriminator(_leaky)),
    "layer-norm": Pair(build_mlp_generator(nn.LayerNorm, nn.SiLU), build_mlp_discriminator(nn.SiLU, norm=True)),
    "spectral": Pair(build_mlp_generator(nn.BatchNorm1d, _leaky), build_mlp_discriminator(_leaky, spectral=True)),
    "dropout": Pair(build_mlp_generator(nn.BatchNorm1d, nn.ReLU), build_mlp_discriminator(_leaky, dropout=0.2, width=96)),
    "selu": Pair(build_mlp_generator(None, nn.SELU), build_mlp_discriminator(nn.SiLU)),
    "residual": Pair(build_residual_mlp, build_mlp_discriminator(_leaky)),
}
"""Pairs for any data."""
NETWORKS = {
    "vector": DENSE,
    "image": {
        "dcgan": Pair(build_dcgan_generator, build_conv_discriminator()),
        "dcgan-norm": Pair(build_dcgan_generator, build_conv_discriminator(norm=True)),
        "upsampling": Pair(build_upsampling_generator, build_conv_discriminator(spectral=True)),
        "residual-conv": Pair(build_residual_generator, build_residual_discriminator),
        "batch-norm": DENSE["batch-norm"],
        "dropout": DENSE["dropout"],
    },
    "signal": {
        "conv1d": Pair(build_signal_generator, build_signal_discriminator),
        "batch-norm": DENSE["batch-norm"],
        "layer-norm": DENSE["layer-norm"],
        "spectral": DENSE["spectral"],
        "selu": DENSE["selu"],
    },
}
"""Pairs by family of data and name."""
