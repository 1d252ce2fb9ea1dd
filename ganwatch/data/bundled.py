"""Data sets with a name of their own: digits from scikit-learn, and mixtures of Gaussians."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from ganwatch.core.errors import UserError
from ganwatch.data.arrays import open_arrays
from ganwatch.data.source import Source

if TYPE_CHECKING:
    from torch import Tensor

BUNDLED = ("digits", "ring", "grid")
POINTS = 10_000
"""Points of a mixture."""
GRID_FACTOR = 0.25
"""Factor that brings the grid's centres from [-4, 4] to [-1, 1] and its sigma from .05 to .0125."""


def open_bundled(name: str, argument: str) -> Source:
    """Open 1,797 handwritten digits ``(8, 8)`` float32 in [-1, 1], or the 10,000 points ``(2,)`` of the reference trainer's seed 0."""
    if name == "digits":
        return _open_digits(argument)
    points, modes = draw_ring(POINTS, 0) if name == "ring" else draw_grid(POINTS, 0)
    return open_arrays(points, modes, name, argument)


def _open_digits(argument: str) -> Source:
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise UserError(f"{argument} 'digits' needs scikit-learn: pip install 'ganwatch[lightning]'") from error
    digits = load_digits()
    return open_arrays((digits.images / 8.0 - 1.0).astype(np.float32), digits.target, "digits", argument, value_range=(-1.0, 1.0))


def ring_centres() -> Tensor:
    """Return eight centres ``(8, 2)`` at angles 2πi/8 and radius 1."""
    import torch

    angles = torch.arange(8, dtype=torch.float64) * (2.0 * math.pi / 8.0)
    return torch.stack((angles.cos(), angles.sin()), 1).to(torch.float32)


def grid_centres() -> Tensor:
    """Return 25 centres ``(25, 2)``, 5x5 and 2 apart, from -4 to 4."""
    import torch

    line = torch.arange(-4.0, 5.0, 2.0)
    return torch.cartesian_prod(line, line)


def draw_ring(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Draw points ``(count, 2)`` of eight Gaussians of sigma .01 on the unit circle, and each one's mode ``(count,)`` int64."""
    return _draw(ring_centres(), 0.01, count, seed)


def draw_grid(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Draw points ``(count, 2)`` of 25 Gaussians within [-1, 1], and each one's mode ``(count,)`` int64."""
    return _draw(grid_centres() * GRID_FACTOR, 0.05 * GRID_FACTOR, count, seed)


def _draw(centres: Tensor, sigma: float, count: int, seed: int) -> tuple[Tensor, Tensor]:
    import torch

    generator = torch.Generator().manual_seed(seed)
    modes = torch.randint(len(centres), (count,), generator=generator)
    return centres[modes] + sigma * torch.randn(count, centres.shape[1], generator=generator), modes
