"""Checks of the features that metrics take."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ganwatch.core.errors import UserError


def check_features(real: Tensor, fake: Tensor) -> None:
    """Raise a UserError unless both are finite features ``(N, D)``, ``(M, D)`` of the same dimensions."""
    for name, rows in (("real", real), ("fake", fake)):
        if rows.ndim != 2:
            raise UserError(f"{name} features must have the shape (N, D), got {tuple(rows.shape)}")
        check_finite(f"{name} features", rows)
    check_same_shape("fake features", fake.shape[1:], "real features", real.shape[1:])


def check_finite(name: str, rows: Tensor) -> None:
    """Raise a UserError for rows with NaN or infinity."""
    if math.isfinite(rows.sum(dtype=torch.float64)):  # one fast pass; the rows are checked one by one only if the sum is not finite
        return
    bad = int((~torch.isfinite(rows)).flatten(1).any(1).sum())
    if bad:
        raise UserError(f"{name} must be finite, got {bad} of {len(rows)} samples with NaN or infinity")


def check_same_shape(name: str, shape: torch.Size, other: str, expected: torch.Size | None) -> None:
    """Raise a UserError that names both unless the shape of one sample is the expected one, or none is expected yet."""
    if expected is not None and expected != shape:
        raise UserError(f"{name} must have the dimensions of the {other}, {tuple(expected)}, got {tuple(shape)}")
