"""Targets of least-squares losses: outputs at which their gradients are zero, and what the targets of two networks say of each other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

MAX_DEVIATION = 1e-3
"""Largest deviation of the gradients from a line, in standard deviations of theirs."""
MIN_SPREAD = 1e-3
"""Smallest standard deviation of the gradients, relative to the largest one; below it rounding decides."""
MAX_SAME = 0.25
"""Largest distance of G's target from that of D's fakes, relative to the one between D's two targets, at which it is the same."""


class Target(NamedTuple):
    """Output at which a gradient is zero that is a line, as that of a squared distance is."""

    value: Tensor
    """The output, shape ()."""
    slope: Tensor
    """Slope of the gradient, in units of its largest value, shape (); negative where the loss pushes away from its target."""
    is_line: Tensor
    """True if the gradient is a line, shape ()."""


def fit_target(score: Tensor, gradient: Tensor) -> Target:
    """Fit a line to the gradients of outputs, and find where it is zero.

    Parameters
    ----------
    score, gradient : Tensor, shape (N,)

    Examples
    --------
    >>> score = torch.tensor([0.5, 0.2, -0.4, 0.1])
    >>> target = fit_target(score, 2.0 * (score - 1.0) / 4.0)
    >>> round(target.value.item(), 4), target.is_line.item()
    (1.0, True)
    """
    score, gradient = score.float(), gradient.float()  # not every device has float64
    gradient = gradient / gradient.abs().max().clamp_min(1e-38)
    deviation = score - score.mean()
    slope = (deviation * (gradient - gradient.mean())).sum() / deviation.square().sum().clamp_min(1e-38)
    rest = gradient - gradient.mean() - slope * deviation
    spread = gradient.std(correction=0)
    is_line = (rest.square().mean().sqrt() <= MAX_DEVIATION * spread) & (spread > MIN_SPREAD)
    return Target(score.mean() - gradient.mean() / torch.where(slope == 0, 1.0, slope), slope, is_line)


def compare_targets(targets: Mapping[str, Target]) -> dict[str, Tensor]:
    """Return the direction in which each target lies from that of D's other batch, 1 for higher; NaN unless all losses have one.

    Two targets of D that are the same have the same direction. G's has that of the reals, unless it is the target of D's fakes; a loss
    that pushes away from its target has the other direction.

    Parameters
    ----------
    targets : mapping of str to Target
        Those of ``d_real``, ``d_fake`` and, if known, ``g_fake``.
    """
    real, fake = targets["d_real"], targets["d_fake"]
    are_lines = torch.stack([target.is_line for target in targets.values()]).all() & (real.slope > 0) & (fake.slope > 0)
    distance = real.value - fake.value
    to_real = torch.where(distance < 0, -1.0, 1.0)
    is_same = distance.abs() <= MAX_SAME * torch.maximum(real.value.abs(), fake.value.abs())
    directions = {"d_real": to_real, "d_fake": torch.where(is_same, to_real, -to_real)}
    if "g_fake" in targets:
        of_g = targets["g_fake"]
        is_of_fakes = ((of_g.value - fake.value).abs() < MAX_SAME * distance.abs()) != (of_g.slope < 0)
        directions["g_fake"] = torch.where(is_of_fakes & ~is_same, -to_real, to_real)
    return {name: torch.where(are_lines, direction, torch.nan) for name, direction in directions.items()}
