"""Recognises samples one by one where no batch as a whole is known: pools, mixtures, labels beside the samples."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from functools import cache

import torch
from torch import Tensor

MIN_VALUES = 64
"""Values of a sample that its fingerprint is computed from, if it has as many."""


def compute_fingerprints(rows: Tensor) -> list[int]:
    """Return one number per row of (N, F) values; equal rows have equal numbers.

    Examples
    --------
    >>> x = torch.randn(3, 200)
    >>> compute_fingerprints(x.clone()) == compute_fingerprints(x), len(set(compute_fingerprints(x)))
    (True, 3)
    >>> len(set(compute_fingerprints(torch.tensor([[1.0, 0.0, 0.0, 1.0], [0.0, 1.0, 1.0, 0.0]]))))
    2
    """
    values = rows[:, :: max(1, rows.shape[1] // MIN_VALUES)].float().contiguous().view(torch.int32).long()
    fingerprints: list[int] = (values * _weights(values.shape[1]).to(rows.device)).sum(1).tolist()
    return fingerprints


@cache
def _weights(count: int) -> Tensor:
    """Fixed random weights: without a pattern in which values of zero and one could cancel out."""
    generator = random.Random(count)
    return torch.tensor([generator.getrandbits(62) for _ in range(count)])


def identify_samples(samples: Tensor, known: Mapping[str, Iterable[list[int]]], size: int) -> tuple[list[str], dict[str, list[str]]]:
    """Return the origin of each sample of (N, …), ``real``, ``fake`` or ``unknown``, by the fingerprints of samples with ``size`` values.

    A sample may be longer: labels or a condition precede or follow it. Then both ends are compared, and an end that is fake decides. An
    end that is real does not, if the rest could be a whole sample too and is unknown.

    Returns
    -------
    tuple of list of str and dict
        The origins, and those by the end that was compared, ``first`` and ``last``.
    """
    flat = samples.reshape(len(samples), -1)
    rest = flat.shape[1] - size
    if rest < 0:
        return ["unknown"] * len(flat), {}
    by_fingerprint: dict[int, str] = {}
    for origin, batches in known.items():
        for batch in batches:
            for fingerprint in batch:
                by_fingerprint[fingerprint] = origin if by_fingerprint.get(fingerprint, origin) == origin else "unknown"
    ends = {"first": flat[:, :size], "last": flat[:, rest:]} if rest else {"first": flat}
    by_end = {
        end: [by_fingerprint.get(fingerprint, "unknown") for fingerprint in compute_fingerprints(part)] for end, part in ends.items()
    }
    return [_merge_origins(set(origins), rest == size) for origins in zip(*by_end.values(), strict=True)], by_end


def _merge_origins(origins: set[str], has_two_samples: bool) -> str:
    """Return the origin of a sample by those of its ends."""
    if "fake" in origins:
        return "fake"
    return "real" if "real" in origins and not (has_two_samples and "unknown" in origins) else "unknown"
