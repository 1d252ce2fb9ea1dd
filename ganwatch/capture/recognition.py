"""Tells whether a batch is real or fake, by what the loader delivered and what the generator returned."""

from __future__ import annotations

from collections import deque

import torch
from torch import Tensor

REMEMBERED = 16
"""Batches a side by which others are recognised."""
BYTES = 64 * 2**20
"""Memory that they may hold a side …"""
LEAST = 2
"""… but so many batches in any case."""
MARKS = 8
"""Values of a sample that are compared before the whole is."""

EVERYTHING = slice(None)


class Recognition:
    """Remembers recent batches by reference.

    Examples
    --------
    >>> known = Recognition()
    >>> real, fake = torch.zeros(2, 3), torch.ones(2, 3)
    >>> known.remember("real", real)
    >>> known.remember("fake", fake)
    >>> known.parts(fake.detach()), known.parts(torch.cat([real, fake]))
    ([('fake', slice(None, None, None))], [('real', slice(0, 2, None)), ('fake', slice(2, 4, None))])
    >>> known.parts(real + 2.0)
    [('unknown', slice(None, None, None))]
    """

    def __init__(self) -> None:
        self._sides = {"fake": _Side(), "real": _Side()}

    def remember(self, batch: str, tensor: Tensor) -> None:
        """Take a batch of samples of shape (N, …); tensors of other kinds are passed over."""
        if not tensor.is_floating_point() or tensor.ndim < 2 or not tensor.numel():
            return
        self._sides[batch].append(_Known(tensor))

    def parts(self, samples: Tensor) -> list[tuple[str, slice]]:
        """What the samples are: one kind as a whole, or kinds that follow each other; ``unknown`` where that is not sure."""
        pointer = samples.untyped_storage().data_ptr()
        shared = [batch for batch, side in self._sides.items() if pointer in side.pointers]
        if len(shared) == 1:
            return [(shared[0], EVERYTHING)]
        parts: list[tuple[str, slice]] = []
        start = 0
        while start < len(samples):
            found = self._beginning(samples[start:])
            if found is None:
                return [("unknown", EVERYTHING)]
            batch, length = found
            parts.append((batch, slice(start, start + length)))
            start += length
        return parts if len(parts) > 1 else [(batch, EVERYTHING) for batch, _ in parts] or [("unknown", EVERYTHING)]

    def _beginning(self, samples: Tensor) -> tuple[str, int] | None:
        """The kind of the samples' beginning and its length; None where no batch, or one of each kind, equals it."""
        mark = _mark(samples)
        found: dict[str, int] = {}
        for batch, side in self._sides.items():
            for known in reversed(side.known):
                length = len(known.tensor)
                comparable = known.tensor.shape[1:] == samples.shape[1:] and known.tensor.dtype == samples.dtype and length <= len(samples)
                if comparable and known.mark == mark and torch.equal(known.tensor, samples[:length]):
                    found[batch] = length
                    break
        return next(iter(found.items())) if len(found) == 1 else None


class _Side:
    __slots__ = ("bytes", "known", "pointers")

    def __init__(self) -> None:
        self.known: deque[_Known] = deque()
        self.pointers: dict[int, int] = {}
        self.bytes = 0

    def append(self, new: _Known) -> None:
        self.known.append(new)
        self.pointers[new.pointer] = self.pointers.get(new.pointer, 0) + 1
        self.bytes += new.tensor.nbytes
        while len(self.known) > REMEMBERED or (self.bytes > BYTES and len(self.known) > LEAST):
            old = self.known.popleft()
            self.bytes -= old.tensor.nbytes
            self.pointers[old.pointer] -= 1
            if not self.pointers[old.pointer]:
                del self.pointers[old.pointer]


class _Known:
    __slots__ = ("_mark", "_version", "pointer", "tensor")

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor
        self.pointer = tensor.untyped_storage().data_ptr()
        self._mark: list[float] = []
        self._version = -1

    @property
    def mark(self) -> list[float]:
        version = self.tensor._version  # noqa: SLF001  # counts changes in place, and has no other name
        if self._version != version:
            self._mark, self._version = _mark(self.tensor), version
        return self._mark


def _mark(samples: Tensor) -> list[float]:
    """A few values of the first sample."""
    first = samples[0].reshape(-1)
    values: list[float] = first[:: max(1, len(first) // MARKS)].tolist()
    return values
