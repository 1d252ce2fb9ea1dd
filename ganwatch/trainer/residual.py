"""Generators and discriminators with residual connections (He et al. 2015, arXiv 1512.03385), for images and for vectors."""

from __future__ import annotations

import itertools
import math

from torch import Tensor, nn

from ganwatch.trainer.networks import OUTPUTS, make_activation, norm_layers


class Residual(nn.Module):
    """A residual block: the sum of a body and a shortcut.

    Parameters
    ----------
    body : nn.Module
        Maps ``(N, A, …)`` to ``(N, B, …)``.
    shortcut : nn.Module
        Does the same without an activation; the identity where A equals B.
    """

    def __init__(self, body: nn.Module, shortcut: nn.Module) -> None:
        super().__init__()
        self.body = body
        self.shortcut = shortcut

    def forward(self, x: Tensor) -> Tensor:
        """Add the outputs of body and shortcut."""
        out: Tensor = self.body(x) + self.shortcut(x)
        return out


def dense_block(width: int, *, activation: str, norm: str, dropout: float = 0.0) -> Residual:
    """Build a block of two hidden layers of ``width`` units and the identity."""

    def layer() -> list[nn.Module]:
        drop = [nn.Dropout(dropout)] if dropout else []
        return [*norm_layers(nn.BatchNorm1d, width, norm), make_activation(activation), *drop, nn.Linear(width, width)]

    return Residual(nn.Sequential(*layer(), *layer()), nn.Identity())


def conv_block(width: int, wider: int, *, resize: nn.Module, activation: str, norm: str, dropout: float = 0.0) -> Residual:
    """Build a block of two 3x3 convolutions and a 1x1 convolution as the shortcut; ``resize`` comes first in both."""

    def layer(inputs: int) -> list[nn.Module]:
        drop = [nn.Dropout2d(dropout)] if dropout else []
        return [*norm_layers(nn.BatchNorm2d, inputs, norm), make_activation(activation), *drop, nn.Conv2d(inputs, wider, 3, 1, 1)]

    return Residual(nn.Sequential(resize, *layer(width), *layer(wider)), nn.Sequential(resize, nn.Conv2d(width, wider, 1)))


def conv_generator(
    shape: tuple[int, int, int], inputs: int, *, channels: int, depth: int, activation: str, norm: str, output: str
) -> nn.Module:
    """Build a projection to 4x4, then per doubling a block and ``depth`` more; arguments as for ``networks.conv_generator``."""
    doublings = int(math.log2(shape[1])) - 2
    widths = [channels * 2 ** min(level, 3) for level in range(doublings, -1, -1)]
    layers: list[nn.Module] = [nn.Linear(inputs, widths[0] * 16), nn.Unflatten(1, (widths[0], 4, 4))]
    for width, narrower in itertools.pairwise(widths):
        layers.append(conv_block(width, narrower, resize=nn.Upsample(scale_factor=2), activation=activation, norm=norm))
        layers += [conv_block(narrower, narrower, resize=nn.Identity(), activation=activation, norm=norm) for _ in range(depth)]
    last = [*norm_layers(nn.BatchNorm2d, widths[-1], norm), make_activation(activation)]
    return nn.Sequential(*layers, *last, nn.Conv2d(widths[-1], shape[0], 3, 1, 1), OUTPUTS[output]())


def conv_features(
    shape: tuple[int, int, int], *, channels: int, depth: int, activation: str, norm: str, dropout: float
) -> tuple[list[nn.Module], int]:
    """Build blocks that halve the resolution down to 2x2, the mirror of ``conv_generator``; return them and the number of features."""
    halvings = int(math.log2(shape[1])) - 1
    widths = [channels * 2 ** min(level, 3) for level in range(halvings)]
    layers: list[nn.Module] = [nn.Conv2d(shape[0], widths[0], 3, 1, 1)]
    for width, wider in itertools.pairwise([widths[0], *widths]):
        layers.append(conv_block(width, wider, resize=nn.AvgPool2d(2), activation=activation, norm=norm, dropout=dropout))
        same = {"resize": nn.Identity(), "activation": activation, "norm": norm, "dropout": dropout}
        layers += [conv_block(wider, wider, **same) for _ in range(depth)]  # type: ignore[arg-type]  # values of different types
    return [*layers, make_activation(activation), nn.Flatten()], widths[-1] * 4


def dense_generator(
    shape: tuple[int, ...], inputs: int, *, width: int, depth: int, activation: str, norm: str, output: str
) -> nn.Module:
    """Build ``depth`` blocks of ``width`` units between two linear layers."""
    blocks = [dense_block(width, activation=activation, norm=norm) for _ in range(depth)]
    last = [make_activation(activation), nn.Linear(width, math.prod(shape)), nn.Unflatten(1, shape), OUTPUTS[output]()]
    return nn.Sequential(nn.Linear(inputs, width), *blocks, *last)


def dense_features(
    shape: tuple[int, ...], *, width: int, depth: int, activation: str, norm: str, dropout: float
) -> tuple[list[nn.Module], int]:
    """Build the mirror of ``dense_generator``; return its layers and the number of their features."""
    blocks = [dense_block(width, activation=activation, norm=norm, dropout=dropout) for _ in range(depth)]
    return [nn.Flatten(), nn.Linear(math.prod(shape), width), *blocks, make_activation(activation)], width
