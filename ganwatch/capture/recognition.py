"""Tells whether a batch is real or fake, by what the loader delivered and what the generator returned."""

from __future__ import annotations

from collections import deque

import torch
from torch import Tensor

REMEMBERED = 24
"""Batches a side by which others are recognised."""
BYTES = 64 * 2**20
"""Memory that they may hold a side, taken to be alike …"""
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
        self.now = 0
        """The step that batches come and are recognised in."""
        self.reached_back = False
        """Whether a batch of an earlier step has been recognised; whoever reads it resets it."""
        self._sides: dict[str, deque[tuple[int, Tensor]]] = {"fake": deque(), "real": deque()}

    def remember(self, batch: str, tensor: Tensor) -> None:
        """Take a batch of samples of shape (N, …); tensors of other kinds are passed over."""
        if tensor.ndim < 2 or not tensor.is_floating_point() or not len(tensor):
            return
        side = self._sides[batch]
        side.append((self.now, tensor.detach()))
        if len(side) > LEAST and (len(side) > REMEMBERED or len(side) * tensor.nbytes > BYTES):
            side.popleft()

    def nonfinite(self, batch: str, step: int) -> float | None:
        """Largest share of samples with NaN or infinity among batches of a kind that came in a step or the one before it.

        None where none of them is remembered any more.
        """
        came = [tensor for known, tensor in self._sides[batch] if step - 1 <= known <= step]
        return max((float(1.0 - torch.isfinite(x.flatten(1)).all(1).float().mean()) for x in came), default=None)

    def parts(self, samples: Tensor) -> list[tuple[str, slice]]:
        """What the samples are: one kind as a whole, or kinds that follow each other; ``unknown`` where that is not sure."""
        storage = place(samples)
        shared = {batch: step for batch, side in self._sides.items() for step, known in side if place(known) == storage}
        if len(shared) == 1:
            [(batch, step)] = shared.items()
            self.reached_back |= step < self.now
            return [(batch, EVERYTHING)]
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
        found: dict[str, tuple[int, int]] = {}
        for batch, side in self._sides.items():
            for step, known in reversed(side):
                length = len(known)
                comparable = known.shape[1:] == samples.shape[1:] and known.dtype == samples.dtype and length <= len(samples)
                if comparable and _mark(known) == mark and torch.equal(known, samples[:length]):
                    found[batch] = length, step
                    break
        if len(found) != 1:
            return None
        [(batch, (length, step))] = found.items()
        self.reached_back |= step < self.now
        return batch, length


def place(tensor: Tensor) -> int:
    """Where its storage is."""
    return tensor.untyped_storage().data_ptr()


def _mark(samples: Tensor) -> list[float]:
    """A few values of the first sample."""
    first = samples[0].reshape(-1)
    values: list[float] = first[:: max(1, len(first) // MARKS)].tolist()
    return values
