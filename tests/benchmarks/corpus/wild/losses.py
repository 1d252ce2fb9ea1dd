"""Losses of the wild part, each with what belongs to it: penalty, clipping, and updates of the discriminator."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

Scores = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Loss:
    """Losses of both networks from scores of reals and fakes.

    Attributes
    ----------
    d, g : callable
        Take scores of reals and fakes.
    penalty : str
        ``none``, ``r1``, ``r1r2`` or ``gp``.
    weight, every : float, int
        Weight of the penalty, and steps between two of them.
    clip : float
        Bound of the discriminator's weights, 0 for none.
    d_steps : int
        Updates of the discriminator for each of the generator.
    sigmoid : bool
        The discriminator ends in a sigmoid.
    paired : bool
        The generator's loss needs scores of reals.
    """

    d: Scores
    g: Scores
    penalty: str = "none"
    weight: float = 0.0
    every: int = 1
    clip: float = 0.0
    d_steps: int = 1
    sigmoid: bool = False
    paired: bool = False


def _bce(scores: Tensor, target: float) -> Tensor:
    return F.binary_cross_entropy_with_logits(scores, torch.full_like(scores, target))


def _probability_bce(scores: Tensor, target: float) -> Tensor:
    return nn.BCELoss()(scores, torch.full_like(scores, target))


def _least_squares(scores: Tensor, target: float) -> Tensor:
    return 0.5 * ((scores - target) ** 2).mean()


def _softplus_d(real: Tensor, fake: Tensor) -> Tensor:
    return F.softplus(-real).mean() + F.softplus(fake).mean()


LOSSES = {
    "minimax": Loss(lambda r, f: _bce(r, 1.0) + _bce(f, 0.0), lambda r, f: -_bce(f, 0.0)),
    "bce": Loss(lambda r, f: _bce(r, 1.0) + _bce(f, 0.0), lambda r, f: _bce(f, 1.0)),
    "probability-bce": Loss(
        lambda r, f: _probability_bce(r, 1.0) + _probability_bce(f, 0.0), lambda r, f: _probability_bce(f, 1.0), sigmoid=True
    ),
    "smoothed-bce": Loss(lambda r, f: _bce(r, 0.9) + _bce(f, 0.0), lambda r, f: _bce(f, 1.0)),
    "hinge": Loss(lambda r, f: F.relu(1.0 - r).mean() + F.relu(1.0 + f).mean(), lambda r, f: -f.mean()),
    "least-squares": Loss(lambda r, f: _least_squares(r, 1.0) + _least_squares(f, 0.0), lambda r, f: _least_squares(f, 1.0)),
    "wgan-clip": Loss(lambda r, f: f.mean() - r.mean(), lambda r, f: -f.mean(), clip=0.05, d_steps=4),
    "wgan-gp": Loss(lambda r, f: f.mean() - r.mean(), lambda r, f: -f.mean(), "gp", 1.0, d_steps=3),
    "r3gan": Loss(lambda r, f: F.softplus(f - r).mean(), lambda r, f: F.softplus(r - f).mean(), "r1r2", 0.2, paired=True),
    "logistic-r1": Loss(_softplus_d, lambda r, f: F.softplus(-f).mean(), "r1", 0.2, every=8),
}
"""Losses by name. ``r3gan`` is that of Huang et al. (2024, arXiv:2501.05441)."""


def squared_gradient(scores: Tensor, samples: Tensor) -> Tensor:
    """Return the mean squared gradient of scores with respect to samples."""
    (gradient,) = torch.autograd.grad(scores.sum(), samples, create_graph=True)
    return gradient.flatten(1).square().sum(1).mean()


def gradient_norm_penalty(scores: Tensor, samples: Tensor) -> Tensor:
    """Return the mean squared deviation of the gradient norm from 1 (Gulrajani et al., 2017, arXiv:1704.00028)."""
    (gradient,) = torch.autograd.grad(scores.sum(), samples, create_graph=True)
    return ((gradient.flatten(1).norm(dim=1) - 1.0) ** 2).mean()
