"""A bounded random sample of all rows ever seen, which merges across processes."""

from __future__ import annotations

import zlib
from typing import ClassVar

import torch
from torch import Tensor

ROWS_PER_BLOCK = 1024
"""Rows whose hashes are computed at a time."""


class Reservoir:
    """Uniform random sample of a stream of rows: each row draws a random key, and the rows with the smallest keys stay.

    Each row ever seen stays with the same probability, whatever the order, the batches or the shards of the processes. The sample of a
    union follows from the samples of its parts. Keys depend on the seed, the position in the stream and the content of the batch: the same
    stream gives the same sample, and streams of different content draw independently without communication. Up to ``capacity`` rows all
    stay.

    Parameters
    ----------
    tensors : list of Tensor
        State, changed in place: ``[head, keys, rows]`` with head = (capacity, seed, count), int64; keys ``(K,)`` int64, sorted; rows
        ``(K, …)`` float32. Empty until the first row. Between updates further pairs of keys and rows may follow.

    References
    ----------
    Cohen and Kaplan, "Summarizing data using bottom-k sketches", PODC 2007; keys as priorities: Vitter, 1985.

    Examples
    --------
    >>> reservoir = Reservoir([])
    >>> reservoir.add(torch.arange(100.0)[:, None], capacity=10, seed=0)
    >>> reservoir.count, tuple(reservoir.rows.shape)
    (100, (10, 1))
    """

    DTYPES: ClassVar[tuple[torch.dtype, ...]] = (torch.int64, torch.int64, torch.float32)

    def __init__(self, tensors: list[Tensor]) -> None:
        self.tensors = tensors

    @property
    def count(self) -> int:
        """Number of rows that were seen."""
        return int(self.tensors[0][2]) if self.tensors else 0

    @property
    def rows(self) -> Tensor:
        """The sample, in a random order that only its content and the seed decide; undefined before the first row."""
        self.compact()
        rows = self.tensors[2]
        return rows[hash_order(rows.flatten(1), int(self.tensors[0][1]))]

    def add(self, rows: Tensor, *, capacity: int, seed: int) -> None:
        """Add rows ``(N, …)``; ``capacity`` (rows) and ``seed`` are fixed by the first call."""
        rows = rows.to(torch.float32)
        if not self.tensors:
            head = torch.tensor([capacity, seed, 0], device=rows.device)
            self.tensors += [head, torch.empty(0, dtype=torch.int64, device=rows.device), rows[:0].clone()]
        capacity, seed, count = self.tensors[0].tolist()
        content = zlib.crc32(rows.cpu().contiguous().numpy().data)
        generator = torch.Generator().manual_seed(hash((seed, count, content)) & 0x7FFF_FFFF_FFFF_FFFF)
        keys = torch.randint(2**62, (len(rows),), generator=generator).to(rows.device)
        self.tensors[0] = torch.tensor([capacity, seed, count + len(rows)], device=rows.device)
        if len(self.tensors[1]) == capacity:
            chosen = keys < self.tensors[1][-1]
            keys, rows = keys[chosen], rows[chosen]
        if len(keys):
            self.tensors += [keys, rows.clone()]
        if sum(map(len, self.tensors[1::2])) >= 2 * capacity:
            self.compact()

    def merge(self, other: list[Tensor]) -> None:
        """Add the state of another reservoir of rows of the same shape; the smaller capacity counts."""
        if not other:
            return
        if not self.tensors:
            self.tensors += other
            return
        capacity, seed, count = self.tensors[0].tolist()
        self.tensors[0] = torch.tensor([min(capacity, int(other[0][0])), seed, count + int(other[0][2])], device=self.tensors[0].device)
        self.tensors += other[1:]
        self.compact()

    def compact(self) -> None:
        """Drop the rows beyond the capacity."""
        if len(self.tensors) <= 3:
            return
        keys, order = torch.cat(self.tensors[1::2]).sort(stable=True)
        first = order[: int(self.tensors[0][0])]
        self.tensors[1:] = [keys[: len(first)], torch.cat(self.tensors[2::2])[first]]


def hash_order(rows: Tensor, seed: int) -> Tensor:
    """Return indices that sort rows by a hash of their content, so that the order of arrival does not matter."""
    generator = torch.Generator().manual_seed(seed)
    factors = torch.randint(-(2**63), 2**63 - 1, (rows.shape[1] + 2,), generator=generator).to(rows.device) | 1
    bits = rows.contiguous().view(torch.int32)
    hashes = torch.cat([(block.to(torch.int64) * factors[2:]).sum(1) for block in torch.split(bits, ROWS_PER_BLOCK)])
    for factor in factors[:2]:  # a sum of products alone maps evenly spaced rows to evenly spaced hashes
        hashes = (hashes ^ (hashes >> 32)) * factor
    return hashes.argsort(stable=True)
