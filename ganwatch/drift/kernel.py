"""The Gaussian kernel between feature vectors, computed in blocks so that the Gram matrix need not fit into memory."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from ganwatch.core.errors import UserError
from ganwatch.data.rounding import to_float32

_BLOCK_ENTRIES = 16_000_000
"""Entries of the Gram matrix in memory at one time: 64 MB."""
_BANDWIDTH_SAMPLES = 1000
"""Largest number of samples whose pairwise distances decide the bandwidth."""


def as_features(values: Any, argument: str) -> Tensor:
    """Convert feature vectors to a finite float32 tensor ``(N, D)`` on the CPU.

    Raises
    ------
    UserError
        They have other than two axes or no column, a value is not finite, or their differences are lost in float32.
    """
    try:
        features = torch.as_tensor(values if isinstance(values, Tensor) else np.asarray(values)).detach().to("cpu")
        features = features if features.dtype == torch.float64 else features.to(torch.float32)
    except (TypeError, ValueError, RuntimeError) as error:
        raise UserError(f"{argument} must be an array of numbers (N, D), got {type(values).__name__}: {error}") from None
    if features.ndim != 2 or features.shape[1] < 1:
        raise UserError(f"{argument} must have two axes (samples, features), got shape {tuple(features.shape)}")
    finite = torch.isfinite(features.float()).all(1)
    if not finite.all():
        raise UserError(f"{argument} must be finite, got {int((~finite).sum())} of {len(features)} samples with NaN or infinity")
    return to_float32(features, argument)


def check_widths(**sides: Tensor) -> None:
    """Raise a ``UserError`` that names both sides if their dimensions differ."""
    widths = {name: features.shape[1] for name, features in sides.items()}
    if len(set(widths.values())) > 1:
        got = ", ".join(f"{width} in {name}" for name, width in widths.items())
        raise UserError(f"both sides must have features of the same dimension, got {got}")


def random_subset(features: Tensor, limit: int, rng: np.random.Generator) -> Tensor:
    """Choose at most ``limit`` rows at random."""
    if len(features) <= limit:
        return features
    return features[torch.from_numpy(np.sort(rng.choice(len(features), limit, replace=False)))]


def default_bandwidth(points: Tensor, rng: np.random.Generator) -> float:
    """Return 0.7 of the median Euclidean distance between points, or 1 if all points are equal.

    A smaller bandwidth is more sensitive to changes of the spread and less to shifts of the mean. At 200 against 200 normal samples of 32
    dimensions and level 0.05 the kernel alone finds 90 % of shifts by 0.1 with the median itself, 89 % with 0.7 of it, 86 % with half of
    it.

    A random subset of 1,000 points is used. It ignores which side a point is from, so the permutation test stays exact.
    """
    distances = torch.pdist(random_subset(points, _BANDWIDTH_SAMPLES, rng))
    positive = distances[distances > 0]
    return 0.7 * float(positive.median()) if len(positive) else 1.0


def kernel_product(rows: Tensor, points: Tensor, weights: Tensor, bandwidth: float) -> Tensor:
    """Compute ``K(rows, points) @ weights`` with ``k(x, y) = exp(-|x - y|² / 2 bandwidth²)``, block by block.

    Parameters
    ----------
    rows, points : (R, D), (P, D) float32
    weights : (P, B) float32
    bandwidth : float > 0, in units of the features

    Returns
    -------
    (R, B) float32
    """
    centre = points.mean(0)
    left, right = (rows - centre) / bandwidth, (points - centre) / bandwidth
    of_left, of_right = left.square().sum(1), right.square().sum(1)
    product = torch.empty(len(rows), weights.shape[1])
    step = max(1, _BLOCK_ENTRIES // max(1, len(points)))
    for start in range(0, len(rows), step):
        part = slice(start, start + step)
        squared = torch.addmm(of_right, left[part], right.T, alpha=-2).add_(of_left[part, None]).clamp_(min=0)
        product[part] = squared.mul_(-0.5).exp_() @ weights
    return product
