"""What every metric asks of features."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ganwatch.core.errors import UserError


def checked(real: Tensor, fake: Tensor) -> None:
    """Raise a UserError unless both are finite features ``(N, D)``, ``(M, D)`` of the same dimensions."""
    for side, rows in zip(("real", "fake"), (real, fake), strict=True):
        if rows.ndim != 2:
            raise UserError(f"{side} features must have the shape (N, D), got {tuple(rows.shape)}")
        finite(f"{side} features", rows)
    same_shape("fake features", fake.shape[1:], "real features", real.shape[1:])


def finite(what: str, rows: Tensor) -> None:
    """Raise a UserError for rows with NaN or infinity."""
    if math.isfinite(rows.sum(dtype=torch.float64)):  # one pass over all; where only the sum overflows, each is looked at
        return
    bad = int((~torch.isfinite(rows)).flatten(1).any(1).sum())
    if bad:
        raise UserError(f"{what} must be finite, got {bad} of {len(rows)} samples with NaN or infinity")


def same_shape(what: str, shape: torch.Size, other: str, known: torch.Size | None) -> None:
    """Raise a UserError, naming both, where a shape of one sample is known and differs."""
    if known is not None and known != shape:
        raise UserError(f"{what} must have the dimensions of the {other}, {tuple(known)}, got {tuple(shape)}")
