"""Tells whether a batch is real or fake, by what the loader delivered and what the generator returned."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ganwatch.capture.attribution.fingerprints import fingerprints, kinds
from ganwatch.capture.step import tensors

REMEMBERED = 24
"""Batches a side by which others are recognised."""
BYTES = 64 * 2**20
"""Memory that they may hold a side, taken to be alike …"""
LEAST = 2
"""… but so many batches in any case."""
MARKS = 8
"""Values of a sample that are compared before the whole is."""

TRIES = 8
"""Looks at samples one by one that may fail in a row; after so many only every so many-th is taken."""

EVERYTHING = slice(None)
Part = slice | Tensor
"""Samples that follow each other, or their places."""


@dataclass(slots=True)
class _Batch:
    step: int
    samples: Tensor
    prints: list[int] | None = None


class BatchOrigin:
    """Remembers recent batches by reference.

    Examples
    --------
    >>> known = BatchOrigin()
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
        self.shape: torch.Size | None = None
        """Of one sample, as the generator returned it last."""
        self._sides: dict[str, deque[_Batch]] = {"fake": deque(), "real": deque()}
        self._noted: deque[tuple[int, str, Any]] = deque(maxlen=LEAST)
        self._end: str | None = None
        self._place: int | None = None
        self._two_reals = False
        self._failed = 0

    def note(self, batch: str, nest: Any) -> None:
        """Take a batch that nobody is likely to ask about: it is not looked into before somebody does, and only the last ones are kept."""
        self._noted.append((self.now, batch, nest))

    def remember(self, batch: str, nest: Any) -> None:
        """Take batches of samples, of shape (N, …), from a nest; tensors of other kinds are passed over."""
        if self._noted:
            self._look_into_noted()
        self._remember(self.now, batch, nest)

    def _look_into_noted(self) -> None:
        for _ in range(len(self._noted)):
            self._remember(*self._noted.popleft())

    def _remember(self, step: int, batch: str, nest: Any) -> None:
        for tensor in (nest,) if isinstance(nest, Tensor) else tensors(nest):
            if tensor.ndim >= 2 and tensor.is_floating_point() and len(tensor):
                self._keep(step, batch, tensor)

    def _keep(self, step: int, batch: str, tensor: Tensor) -> None:
        side = self._sides[batch]
        side.append(_Batch(step, tensor.detach()))
        if len(side) > LEAST and (len(side) > REMEMBERED or len(side) * tensor.nbytes > BYTES):
            side.popleft()

    def nonfinite(self, batch: str, step: int) -> float | None:
        """Largest share of samples with NaN or infinity among batches of a kind that came in a step or the one before it.

        None where none of them is remembered any more.
        """
        self._look_into_noted()
        came = [known.samples for known in [*self._sides[batch]] if step - 1 <= known.step <= step]
        return max((float(1.0 - torch.isfinite(x.flatten(1)).all(1).float().mean()) for x in came), default=None)

    def candidates(self, given: Sequence[Tensor]) -> list[Tensor]:
        """Of what the discriminator was given, what may be samples: what looks like the generator's, or else the first batch."""
        batches = [x for x in given if x.ndim >= 2 and x.is_floating_point()]
        return [x for x in batches if x.shape[1:] == self.shape] or batches[:1]

    def one_of(self, kinds: Sequence[str]) -> tuple[int, str]:
        """Which of several candidates is judged, and what it is: others are its condition, such as the image to translate."""
        if "fake" in kinds:
            self._place = kinds.index("fake")
            return self._place, "fake"
        self._two_reals |= all(kind == "real" for kind in kinds)
        place = len(kinds) - 1 if self._place is None else min(self._place, len(kinds) - 1)
        return place, "real" if all(kind == "real" for kind in kinds) else "unknown"

    def judges_pairs(self, kinds: Sequence[str]) -> bool:
        """Whether a real and a fake batch are judged in one call, rather than a fake with its condition."""
        return sorted(kinds) == ["fake", "real"] and not self._two_reals

    def parts(self, samples: Tensor) -> list[tuple[str, Part]]:
        """What the samples are: one kind as a whole, or several with their places; ``unknown`` where that is not sure."""
        self._look_into_noted()
        storage = place(samples)
        shared = {batch: known.step for batch, side in self._sides.items() for known in [*side] if place(known.samples) == storage}
        if len(shared) == 1:
            [(batch, step)] = shared.items()
            self.reached_back |= step < self.now
            return [(batch, EVERYTHING)]
        parts: list[tuple[str, Part]] = []
        start = 0
        while start < len(samples):
            found = self._beginning(samples[start:])
            if found is None:
                return self._one_by_one(samples)
            batch, length = found
            parts.append((batch, slice(start, start + length)))
            start += length
        return parts if len(parts) > 1 else [(batch, EVERYTHING) for batch, _ in parts] or [("unknown", EVERYTHING)]

    def without_condition(self, samples: Tensor) -> Tensor:
        """Of samples that are longer than what the generator returns, the end at which that was found."""
        size = 0 if self.shape is None else self.shape.numel()
        if self.shape is None or self._end is None or samples[0].numel() <= size:
            return samples
        flat = samples.reshape(len(samples), -1)
        return (flat[:, :size] if self._end == "first" else flat[:, -size:]).reshape(len(samples), *self.shape)

    def _one_by_one(self, samples: Tensor) -> list[tuple[str, Part]]:
        self._failed += 1
        if self.shape is None or (self._failed > TRIES and self._failed % TRIES):
            return [("unknown", EVERYTHING)]
        size = self.shape.numel()
        each, ends = kinds(samples, {batch: self._prints(side, size) for batch, side in self._sides.items()}, size)
        at = [end for end, found in ends.items() if each[0] in found] if len(ends) == 2 and each[0] != "unknown" else []
        if len(at) == 1:
            self._end = at[0]
        if "unknown" in each:
            return [("unknown", EVERYTHING)]
        self._failed = 0
        self.reached_back = True
        if len(set(each)) == 1:
            return [(each[0], EVERYTHING)]
        return [
            (batch, torch.tensor([at for at, kind in enumerate(each) if kind == batch], device=samples.device))
            for batch in sorted(set(each))
        ]

    @staticmethod
    def _prints(side: deque[_Batch], size: int) -> list[list[int]]:
        alike = [known for known in [*side] if known.samples[0].numel() == size]
        for known in alike:
            if known.prints is None:
                known.prints = fingerprints(known.samples.reshape(len(known.samples), -1))
        return [known.prints for known in alike if known.prints is not None]

    def _beginning(self, samples: Tensor) -> tuple[str, int] | None:
        """The kind of the samples' beginning and its length; None where no batch, or one of each kind, equals it."""
        mark = _mark(samples)
        found: dict[str, tuple[int, int]] = {}
        for batch, side in self._sides.items():
            for candidate in [*side][::-1]:
                known, length = candidate.samples, len(candidate.samples)
                comparable = known.shape[1:] == samples.shape[1:] and known.dtype == samples.dtype and length <= len(samples)
                if comparable and _mark(known) == mark and torch.equal(known, samples[:length]):
                    found[batch] = length, candidate.step
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
