"""Recognises samples one by one, where a batch as a whole is neither what came nor what was made: pools, mixtures, labels beside."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from functools import cache

import torch
from torch import Tensor

VALUES = 64
"""Values of a sample that make its fingerprint."""


def fingerprints(rows: Tensor) -> list[int]:
    """One number a row of (N, F) values, the same for the same values.

    Examples
    --------
    >>> x = torch.randn(3, 200)
    >>> fingerprints(x.clone()) == fingerprints(x), len(set(fingerprints(x)))
    (True, 3)
    >>> len(set(fingerprints(torch.tensor([[1.0, 0.0, 0.0, 1.0], [0.0, 1.0, 1.0, 0.0]]))))
    2
    """
    some = rows[:, :: max(1, rows.shape[1] // VALUES)].float().contiguous().view(torch.int32).long()
    values: list[int] = (some * _weights(some.shape[1]).to(rows.device)).sum(1).tolist()
    return values


@cache
def _weights(count: int) -> Tensor:
    """Always the same, and without a pattern in which values of zero and one would cancel out."""
    draw = random.Random(count)
    return torch.tensor([draw.getrandbits(62) for _ in range(count)])


def kinds(samples: Tensor, known: Mapping[str, Iterable[list[int]]], size: int) -> tuple[list[str], dict[str, list[str]]]:
    """What each sample of (N, …) is, ``real``, ``fake`` or ``unknown``, by the fingerprints of samples with ``size`` values.

    A sample may be longer: labels or a condition stand before or behind it. Then each end is compared, and one that was made decides;
    one that came does not, where what is left could be a whole sample too and is not known.

    Returns
    -------
    tuple of list of str and dict
        The kinds, and those by the end that was compared, ``first`` and ``last``.
    """
    flat = samples.reshape(len(samples), -1)
    rest = flat.shape[1] - size
    if rest < 0:
        return ["unknown"] * len(flat), {}
    index: dict[int, str] = {}
    for kind, batches in known.items():
        for batch in batches:
            for print_ in batch:
                index[print_] = kind if index.get(print_, kind) == kind else "unknown"
    ends = {"first": flat[:, :size], "last": flat[:, rest:]} if rest else {"first": flat}
    found = {end: [index.get(print_, "unknown") for print_ in fingerprints(part)] for end, part in ends.items()}
    return [_decide(set(each), rest == size) for each in zip(*found.values(), strict=True)], found


def _decide(kinds: set[str], two: bool) -> str:
    if "fake" in kinds:
        return "fake"
    return "real" if "real" in kinds and not (two and "unknown" in kinds) else "unknown"
