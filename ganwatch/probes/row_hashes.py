"""Hashes of samples: equal samples have equal ones, and others differ, whatever values they have."""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor

MAX_WEIGHTS, MAX_VALUES = 2**16, 2**22
"""Values of a row, and of a batch, that are hashed at once: large images need no second batch of twice the size."""


def hash_rows(rows: Tensor) -> Tensor:
    """Return one hash per sample of (N, …): shape (N,), int64. Every value counts, with 32 bits of its float32.

    Exact whole-number arithmetic on the bits, modulo 2^64. So nothing is rounded, and samples that are rearrangements of one another
    differ.

    >>> hashes = hash_rows(torch.tensor([[1.0, 0.0, 0.0, 1.0], [0.0, 1.0, 1.0, 0.0], [1.0, 0.0, 0.0, 1.0]]))
    >>> (hashes[0] == hashes[2]).item(), (hashes[0] == hashes[1]).item()
    (True, False)
    """
    flat = rows.detach().float().flatten(1) if rows.ndim > 1 else rows.detach().float()[:, None]
    bits = flat.contiguous().view(torch.int32)
    first, *others = torch.split(bits, min(MAX_WEIGHTS, max(1, MAX_VALUES // max(1, len(bits)))), 1)
    hashes = _sum_weighted(first)
    for part in others:
        hashes = mix(hashes) + _sum_weighted(part)
    return mix(hashes)


def _sum_weighted(bits: Tensor) -> Tensor:
    return (bits * weights(bits.shape[1], str(bits.device))).sum(1)


def mix(values: Tensor) -> Tensor:
    """Return int64 values, each mapped to another one so that sums of them coincide by chance only (Steele et al., 2014)."""
    values = (values ^ ((values >> 30) & 0x3FFFFFFFF)) * -4658895280553007687
    values = (values ^ ((values >> 27) & 0x1FFFFFFFFF)) * -7723592293110705685
    return values ^ ((values >> 31) & 0x1FFFFFFFF)


@cache
def weights(count: int, device: str) -> Tensor:
    """Return fixed odd weights, shape (count,), int64, without a pattern in which zeros and ones could cancel out."""
    return mix(torch.arange(1, count + 1, device=device) * -7046029254386353131) | 1


def count_repeats(hashes: Tensor) -> Tensor:
    """Return the number of values that equal an earlier one, along the last axis of (…, N).

    >>> count_repeats(torch.tensor([[5, 7, 5, 5], [1, 2, 3, 4]])).tolist()
    [2, 0]
    """
    ordered = hashes.sort(-1).values
    return (ordered[..., 1:] == ordered[..., :-1]).sum(-1)
