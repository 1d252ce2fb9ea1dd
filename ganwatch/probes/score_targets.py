"""Targets of losses: outputs or probabilities at which their gradients are zero, and what the targets of two networks say of each other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

MAX_DEVIATION = 1e-3
"""Largest deviation of the gradients from a line, in standard deviations of theirs."""
MIN_SPREAD = 1e-3
"""Smallest standard deviation of the gradients, relative to the largest one; below it rounding decides."""
MAX_SAME, MIN_DISTANCE = 0.25, 0.02
"""Largest distance of G's target from that of D's fakes, relative to the one between D's two targets, at which it is the same; and the
smallest distance between D's two targets, relative to the larger one and in all, at which they differ."""


class Target(NamedTuple):
    """Place where a gradient is zero: over the outputs, as of a squared distance, and over their logistic function, as of a cross entropy.

    So all have shape (2,).
    """

    value: Tensor
    """The output, and the probability that is the label."""
    slope: Tensor
    """Slope of the gradient, in units of its largest value; negative where the loss pushes away from its target."""
    is_line: Tensor
    """True if the gradient is a line."""


def fit_target(score: Tensor, gradient: Tensor) -> Target:
    """Fit lines to the gradients of outputs, and find where they are zero.

    Parameters
    ----------
    score, gradient : Tensor, shape (N,)

    Examples
    --------
    >>> score = torch.tensor([0.5, 0.2, -0.4, 0.1])
    >>> target = fit_target(score, 2.0 * (score - 1.0) / 4.0)
    >>> round(target.value[0].item(), 4), target.is_line.tolist()
    (1.0, [True, False])
    >>> target = fit_target(score, (torch.sigmoid(score) - 0.9) / 4.0)
    >>> round(target.value[1].item(), 4), target.is_line.tolist()
    (0.9, [False, True])
    """
    score, gradient = score.float(), gradient.float()  # not every device has float64
    gradient = gradient / gradient.abs().max().clamp_min(1e-38)
    spread, change = gradient.std(correction=0), gradient - gradient.mean()
    place = torch.stack([score, torch.sigmoid(score)])
    middle = place.mean(1)
    deviation = place - middle[:, None]
    slope = (deviation * change).sum(1) / deviation.square().sum(1).clamp_min(1e-38)
    rest = change - slope[:, None] * deviation
    is_line = (rest.square().mean(1).sqrt() <= MAX_DEVIATION * spread) & (spread > MIN_SPREAD)
    return Target(middle - gradient.mean() / torch.where(slope == 0, 1.0, slope), slope, is_line)


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
    are_lines = torch.stack([target.is_line for target in targets.values()]).all(0) & (real.slope > 0) & (fake.slope > 0)
    distance = real.value - fake.value
    to_real = torch.where(distance < 0, -1.0, 1.0)
    is_same = distance.abs() <= (MAX_SAME * torch.maximum(real.value.abs(), fake.value.abs())).clamp_min(MIN_DISTANCE)
    directions = {"d_real": to_real, "d_fake": torch.where(is_same, to_real, -to_real)}
    if "g_fake" in targets:
        of_g = targets["g_fake"]
        is_of_fakes = ((of_g.value - fake.value).abs() < MAX_SAME * distance.abs()) != (of_g.slope < 0)
        directions["g_fake"] = torch.where(is_of_fakes & ~is_same, -to_real, to_real)
    least_squares, cross_entropy = 0, 1
    unknown = torch.full_like(distance[0], torch.nan)
    found = {name: direction.where(are_lines, unknown) for name, direction in directions.items()}
    return {name: one[least_squares].where(are_lines[least_squares], one[cross_entropy]) for name, one in found.items()}
