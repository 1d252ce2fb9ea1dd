"""Interpretable columns of samples: brightness, contrast, sharpness, saturation, entropy, size, shares of labels.

Vectors are their own columns. The Kolmogorov-Smirnov test compares numbers, Fisher's exact test compares shares of labels. P-values are
adjusted for the number of columns (Holm 1979, Scand. J. Statist. 6:65). Columns explain a verdict and decide none.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ganwatch.core.errors import UserError

LABEL = "label"
"""Column whose values are classes, not numbers."""
_GREY_LEVELS = 32
"""Grey levels whose entropy is computed."""
_Z95 = 1.959964
"""Two-sided 95 % of a standard normal."""
Columns = dict[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class ColumnChange:
    """The difference of one column between two samples.

    Parameters
    ----------
    name : str
        For example ``brightness`` or ``label 3``.
    before, after : float
        Means, or shares of a label.
    effect : float
        Difference of the means in standard deviations of the first sample; for shares Cohen's h, the difference of ``2 asin √share``.
    low, high : float
        95 % confidence interval of the effect.
    p_value : float in [0, 1]
        Adjusted for the number of columns.
    """

    name: str
    before: float
    after: float
    effect: float
    low: float
    high: float
    p_value: float

    def as_dict(self) -> dict[str, Any]:
        """Plain types."""
        return asdict(self)

    def __str__(self) -> str:
        return f"{self.name} {self.before:.3g} → {self.after:.3g} (effect {self.effect:+.2f})"


def value_range(samples: Tensor) -> tuple[float, float]:
    """Return the lowest and highest value of samples: 0 and 255 for bytes, otherwise the extremes of these samples."""
    return (0.0, 255.0) if samples.dtype == torch.uint8 else (float(samples.min()), float(samples.max()))


def image_columns(images: Tensor, limits: tuple[float, float]) -> Columns:
    """Compute the visible properties of images.

    Parameters
    ----------
    images : (N, C, H, W) tensor
    limits : (low, high)
        Range of the values; use the same one for all samples that are compared.

    Returns
    -------
    dict of str to (N,) float64
        ``brightness`` (mean, 0 to 1), ``contrast`` (standard deviation), ``sharpness`` (root mean square of neighbour differences over the
        contrast), ``entropy`` (bits, of 32 grey levels), ``height`` and ``width`` (pixels), and with three channels or more ``saturation``
        (largest minus smallest of red, green and blue over the largest, mean over pixels).
    """
    low, high = limits
    scaled = (images.to(torch.float64) - low) / (high - low if high > low else 1.0)
    grey = scaled[:, :3].mean(1)
    contrast = grey.std((1, 2), correction=0)
    steps = [grey.diff(dim=axis).square().mean((1, 2)) for axis in (1, 2) if grey.shape[axis] > 1]
    roughness = torch.stack(steps).mean(0).sqrt() if steps else torch.zeros_like(contrast)
    levels = (grey.clamp(0, 1) * (_GREY_LEVELS - 1)).round().long().flatten(1)
    shares = torch.zeros(len(grey), _GREY_LEVELS, dtype=torch.float64).scatter_add_(1, levels, torch.ones_like(levels, dtype=torch.float64))
    found = {
        "brightness": grey.mean((1, 2)),
        "contrast": contrast,
        "sharpness": roughness / contrast.clamp(min=1e-9),
        "entropy": torch.special.entr(shares / levels.shape[1]).sum(1) / math.log(2),
        "height": torch.full_like(contrast, images.shape[2]),
        "width": torch.full_like(contrast, images.shape[3]),
    }
    if images.shape[1] >= 3:
        colours = scaled[:, :3]
        largest = colours.amax(1)
        found["saturation"] = ((largest - colours.amin(1)) / largest.clamp(min=1e-9)).mean((1, 2))
    return {name: values.numpy() for name, values in found.items()}


def vector_columns(vectors: Tensor) -> Columns:
    """Split vectors ``(N, D)`` into columns named ``x0``, ``x1`` and so on."""
    return {f"x{index}": column for index, column in enumerate(vectors.to(torch.float64).numpy().T)}


def columns_of(samples: Tensor, labels: Any = None, *, limits: tuple[float, float] | None = None) -> Columns:
    """Compute the interpretable columns of samples.

    Parameters
    ----------
    samples : (N, C, H, W) or (N, D) tensor
    labels : (N,) sequence of int or str, optional
    limits : (low, high), optional
        See ``image_columns``; None takes ``value_range(samples)``.

    Raises
    ------
    UserError
        Samples are neither images nor vectors, or the number of labels differs.
    """
    if samples.ndim not in {2, 4}:
        raise UserError(f"samples must be images (N, C, H, W) or vectors (N, D), got shape {tuple(samples.shape)}")
    found = image_columns(samples, limits or value_range(samples)) if samples.ndim == 4 else vector_columns(samples)
    if labels is not None:
        if len(labels) != len(samples):
            raise UserError(f"labels must be as many as samples, got {len(labels)} and {len(samples)}")
        found[LABEL] = np.asarray([str(label) for label in labels])
    return found


def compare_columns(first: Mapping[str, NDArray[Any]], second: Mapping[str, NDArray[Any]]) -> list[ColumnChange]:
    """Compare every column that both samples have, smallest p-value first.

    A column with one value on both sides is left out.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> dark, bright = ({"brightness": rng.normal(mean, 0.1, 200)} for mean in (0.3, 0.4))
    >>> [(column.name, column.p_value < 0.01, column.effect > 0.5) for column in compare_columns(dark, bright)]
    [('brightness', True, True)]
    """
    found: list[ColumnChange] = []
    for name in first:
        if name not in second:
            continue
        x, y = np.asarray(first[name]), np.asarray(second[name])
        if name == LABEL:
            found += _compare_shares(x, y)
        elif len(np.unique(np.concatenate((x, y)))) > 1:
            found.append(_compare_numbers(name, x, y))
    return _adjust_p_values(found)


def _compare_numbers(name: str, x: NDArray[Any], y: NDArray[Any]) -> ColumnChange:
    from scipy.stats import ks_2samp

    unit = _spread(x) or _spread(y) or 1.0
    effect = float(y.mean() - x.mean()) / unit
    margin = _Z95 * math.sqrt(float(x.var(ddof=1)) / len(x) + float(y.var(ddof=1)) / len(y)) / unit
    p_value = float(ks_2samp(x, y, method="asymp").pvalue)
    return ColumnChange(name, float(x.mean()), float(y.mean()), effect, effect - margin, effect + margin, p_value)


def _spread(x: NDArray[Any]) -> float:
    """Return the standard deviation, exactly 0 if all values are equal."""
    return float(x.std(ddof=1)) if np.ptp(x) > 0 else 0.0


def _compare_shares(x: NDArray[Any], y: NDArray[Any]) -> list[ColumnChange]:
    from scipy.stats import fisher_exact

    n, m = len(x), len(y)
    margin = _Z95 * math.sqrt(1 / n + 1 / m)
    found = []
    for label in np.unique(np.concatenate((x, y))):
        a, b = int((x == label).sum()), int((y == label).sum())
        effect = 2 * math.asin(math.sqrt(b / m)) - 2 * math.asin(math.sqrt(a / n))
        p_value = float(fisher_exact([[a, n - a], [b, m - b]]).pvalue)
        found.append(ColumnChange(f"{LABEL} {label}", a / n, b / m, effect, effect - margin, effect + margin, p_value))
    return found


def _adjust_p_values(found: list[ColumnChange]) -> list[ColumnChange]:
    """Sort by p-value, then effect, and adjust the p-values by Holm's rule."""
    order = sorted(found, key=lambda column: (column.p_value, -abs(column.effect)))
    adjusted, largest = [], 0.0
    for place, column in enumerate(order):
        largest = max(largest, min(1.0, column.p_value * (len(order) - place)))
        adjusted.append(ColumnChange(*(asdict(column) | {"p_value": largest}).values()))
    return adjusted
