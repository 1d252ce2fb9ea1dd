"""The places of samples in their data, kept beside their features so that a sample can be shown."""

from __future__ import annotations

import torch
from torch import Tensor


def place_column(n: int, places: Tensor | None, seen: int) -> Tensor:
    """Places of the next n samples as a column ``(N, 1)``, exact in float32: those given, or counted on from what was seen.

    >>> place_column(2, None, 5).tolist()
    [[5], [6]]
    """
    column = torch.arange(seen, seen + n) if places is None else torch.as_tensor(places)
    if column.shape != (n,) or column.is_floating_point():
        raise ValueError(f"places must be {n} integers, got {column.dtype} of shape {tuple(column.shape)}")
    if n and not 0 <= int(column.min()) <= int(column.max()) < 2**24:
        raise ValueError(f"places must be at least 0 and less than 2**24, got {int(column.min())} to {int(column.max())}")
    return column[:, None]
