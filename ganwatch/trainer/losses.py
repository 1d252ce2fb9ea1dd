"""Adversarial losses as pairs of functions of the discriminator's outputs, and the gradient penalties."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812  # the field's own name

from ganwatch.core.errors import UserError

DiscriminatorFunction = Callable[[Tensor], Tensor]


@dataclass(frozen=True, slots=True)
class Loss:
    """The losses that the two networks minimise. Outputs of D are logits of any shape; every loss is a scalar.

    Parameters
    ----------
    discriminator : callable
        ``(real, fake) -> loss`` from D's outputs on a real and a fake batch.
    generator : callable
        ``(real, fake) -> loss`` from D's outputs; ``real`` is an empty tensor unless ``relative``.
    relative : bool
        True if the generator's loss needs D's outputs on real data.
    """

    discriminator: Callable[[Tensor, Tensor], Tensor]
    generator: Callable[[Tensor, Tensor], Tensor]
    relative: bool = False


def _log_d(real: Tensor, fake: Tensor) -> Tensor:
    return F.softplus(-real).mean() + F.softplus(fake).mean()


def _log_d_unstable(real: Tensor, fake: Tensor) -> Tensor:
    return -(torch.log(torch.sigmoid(real)).mean() + torch.log(1.0 - torch.sigmoid(fake)).mean())


def _minimax_g(_: Tensor, fake: Tensor) -> Tensor:
    return -F.softplus(fake).mean()


def _minimax_g_unstable(_: Tensor, fake: Tensor) -> Tensor:
    return torch.log(1.0 - torch.sigmoid(fake)).mean()


def _non_saturating_g(_: Tensor, fake: Tensor) -> Tensor:
    return F.softplus(-fake).mean()


def _non_saturating_g_unstable(_: Tensor, fake: Tensor) -> Tensor:
    return -torch.log(torch.sigmoid(fake)).mean()


def _hinge_d(real: Tensor, fake: Tensor) -> Tensor:
    return F.relu(1.0 - real).mean() + F.relu(1.0 + fake).mean()


def _critic_g(_: Tensor, fake: Tensor) -> Tensor:
    return -fake.mean()


def _least_squares_d(real: Tensor, fake: Tensor) -> Tensor:
    return 0.5 * ((real - 1.0).square().mean() + fake.square().mean())


def _least_squares_g(_: Tensor, fake: Tensor) -> Tensor:
    return 0.5 * (fake - 1.0).square().mean()


def _wasserstein_d(real: Tensor, fake: Tensor) -> Tensor:
    return fake.mean() - real.mean()


def _relativistic_d(real: Tensor, fake: Tensor) -> Tensor:
    return 0.5 * (F.softplus(fake.mean() - real).mean() + F.softplus(fake - real.mean()).mean())


def _relativistic_g(real: Tensor, fake: Tensor) -> Tensor:
    return _relativistic_d(fake, real)


LOSSES: dict[str, Loss] = {
    "minimax": Loss(_log_d, _minimax_g),
    "non-saturating": Loss(_log_d, _non_saturating_g),
    "hinge": Loss(_hinge_d, _critic_g),
    "least-squares": Loss(_least_squares_d, _least_squares_g),
    "wgan-gp": Loss(_wasserstein_d, _critic_g),
    "relativistic": Loss(_relativistic_d, _relativistic_g, relative=True),
}
"""Minimax and non-saturating: Goodfellow et al. 2014, arXiv 1406.2661. Hinge: Lim and Ye 2017, arXiv 1705.02894. Least squares
with targets 1 and 0: Mao et al. 2016, arXiv 1611.04076. Wasserstein with gradient penalty: Gulrajani et al. 2017, arXiv
1704.00028. Relativistic average: Jolicoeur-Martineau 2018, arXiv 1807.00734."""

UNSTABLE_LOSSES: dict[str, Loss] = {
    "minimax": Loss(_log_d_unstable, _minimax_g_unstable),
    "non-saturating": Loss(_log_d_unstable, _non_saturating_g_unstable),
}
"""The same functions as ``LOSSES`` written with logarithms of probabilities, as in the paper: infinite once D is certain."""


def loss(name: str, *, stable: bool = True) -> Loss:
    """Return the loss of that name.

    Parameters
    ----------
    name : str
        A key of ``LOSSES``.
    stable : bool
        False takes the logarithm of a probability as the paper writes it.

    Raises
    ------
    UserError
        The name is unknown, or the loss has no logarithm and ``stable`` is False.

    Examples
    --------
    >>> certain = torch.tensor([200.0])
    >>> [loss("minimax", stable=stable).generator(certain, certain).item() for stable in (True, False)]
    [-200.0, -inf]
    """
    if name not in LOSSES:
        raise UserError(f"loss must be one of {sorted(LOSSES)}, got {name!r}")
    if stable:
        return LOSSES[name]
    if name not in UNSTABLE_LOSSES:
        raise UserError(f"stable=False needs a loss of {sorted(UNSTABLE_LOSSES)}, got loss={name!r}")
    return UNSTABLE_LOSSES[name]


def _squared_gradient_norm(discriminate: DiscriminatorFunction, batch: Tensor) -> Tensor:
    batch = batch.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(discriminate(batch).sum(), batch, create_graph=True)
    return gradient.flatten(1).square().sum(1)


def gradient_penalty(discriminate: DiscriminatorFunction, real: Tensor, fake: Tensor) -> Tensor:
    """Return the mean squared distance from 1 of D's gradient norm at random points between real and fake.

    Source: Gulrajani et al. 2017, arXiv 1704.00028.

    >>> double = lambda batch: 2.0 * batch.sum(1)
    >>> gradient_penalty(double, torch.zeros(3, 1), torch.ones(3, 1)).item()
    1.0
    """
    share = torch.rand(len(real), *[1] * (real.dim() - 1), device=real.device, dtype=real.dtype)
    squared = _squared_gradient_norm(discriminate, torch.lerp(real, fake.detach(), share))
    return ((squared + 1e-12).sqrt() - 1.0).square().mean()


def r1_penalty(discriminate: DiscriminatorFunction, real: Tensor) -> Tensor:
    """Return half the mean squared gradient norm of D at real data.

    Source: Mescheder et al. 2018, arXiv 1801.04406.

    >>> double = lambda batch: 2.0 * batch.sum(1)
    >>> r1_penalty(double, torch.zeros(3, 1)).item()
    2.0
    """
    return 0.5 * _squared_gradient_norm(discriminate, real).mean()
