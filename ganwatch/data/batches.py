"""Samples in batches, in an order that stays, and a list of what was left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ganwatch.core.errors import UserError
from ganwatch.data.images import eight_bit
from ganwatch.data.opening import open_source
from ganwatch.data.rounding import Rounding
from ganwatch.data.source import Item, NotIndexableError, Source, channels_first
from ganwatch.isolation.generators import living_generators
from ganwatch.isolation.random_state import preserved_random_state

if TYPE_CHECKING:
    from torch import Tensor

BYTES = 2**25
"""Size from which on a batch is closed, so that large images stay few at a time."""
LISTED = 1000
"""Skipped items that a report lists; all are counted."""


@dataclass(frozen=True, slots=True)
class Skipped:
    """An item that was left out: where it is, and why."""

    where: int | str
    reason: str


class SampleBatches:
    """Batches of samples, from anything that ``open_source`` opens.

    Each iteration reads anew, in the same order, one batch at a time. What cannot be read by a stated rule (``ganwatch.data.images``),
    holds no values, or values that are not finite, is left out and listed.

    Parameters
    ----------
    data : like that of ``open_source``
        Where the samples are.
    limit : int or None, >= 1
        Samples to read at most, chosen by chance from ``seed`` and read in the order of the data; None reads all.
    seed : int, >= 0
        Of that choice, and of whatever a data set draws while it is read; the random state of the process is not moved.
    batch_size : int, >= 1
        Samples in a batch; fewer where some are left out, or where they fill 32 MiB.
    argument : str
        What an error calls the data.

    Attributes
    ----------
    name : str
        For people.
    size, wanted : int
        Items there are, and items that an iteration reads.
    values : (low, high) or None
        Range of floating-point values, where the data say; 8-bit pixels are 0…255.
    skipped : list of Skipped
        What the last iteration has left out so far.
    rules : Counter of str
        How often it has applied which rule.

    Raises
    ------
    UserError
        The data are empty, do not exist, or cannot be read by index; at the end of an iteration, where no sample is left, or where
        float32 does not tell vectors apart.

    Examples
    --------
    >>> samples = SampleBatches("digits", limit=100, batch_size=64)
    >>> [tuple(batch.shape) for batch in samples]
    [(64, 1, 8, 8), (36, 1, 8, 8)]
    """

    def __init__(self, data: Any, *, limit: int | None = None, seed: int = 0, batch_size: int = 256, argument: str = "data") -> None:
        for name, value, least in (("limit", limit, 1), ("seed", seed, 0), ("batch_size", batch_size, 1)):
            if value is not None and value < least:
                raise UserError(f"{name} must be >= {least}, got {value}")
        try:
            self.source: Source = data if isinstance(data, Source) else open_source(data, argument)
        except NotIndexableError as error:
            raise UserError(f"{argument} must be readable by index: {error}") from error
        self.name, self.size, self.values = self.source.name, self.source.size, self.source.values
        self.wanted = self.size if limit is None else min(limit, self.size)
        self.seed, self.batch_size, self.argument = seed, batch_size, argument
        self.skipped: list[Skipped] = []
        self.rules: Counter[str] = Counter()

    def __iter__(self) -> Iterator[Tensor | list[Tensor]]:
        """Batches, ``(N, C, H, W)`` of images and ``(N, D)`` of vectors; a list where sizes or types differ within a batch.

        8-bit pixels stay uint8, everything else becomes float32.
        """
        import torch

        self.skipped, self.rules = [], Counter()
        rounding = Rounding()
        chosen = np.sort(np.random.default_rng(self.seed).choice(self.size, self.wanted, replace=False))
        generators, start = living_generators(), 0
        while start < self.wanted:
            with preserved_random_state(*generators, seed=self.seed + start):
                read = list(self._some(chosen[start : start + self.batch_size].tolist()))
            start += len(read)
            batch = [torch.from_numpy(array) for array in read if array is not None]
            if len({(one.shape, one.dtype) for one in batch}) == 1:
                together = torch.stack(batch)
                if together.dtype == torch.float64:
                    rounding.add(together.numpy())
                yield together if together.dtype == torch.uint8 else together.to(torch.float32)
            elif batch:
                yield [one if one.dtype == torch.uint8 else one.to(torch.float32) for one in batch]
        if len(self.skipped) == self.wanted:
            raise UserError(
                f"{self.argument} must hold a sample that can be read, got {self.wanted:,} of {self.name} that cannot; the first, "
                f"{self.skipped[0].where}: {self.skipped[0].reason}"
            )
        rounding.check(self.argument)

    def report(self) -> dict[str, Any]:
        """What the last iteration read, as plain types: name, size, read, skipped (a count), ``list`` (the first 1,000), rules (counts)."""
        listed = [{"where": one.where, "reason": one.reason} for one in self.skipped[:LISTED]]
        read = self.wanted - len(self.skipped)
        return {
            "name": self.name, "size": self.size, "read": read, "skipped": len(self.skipped), "list": listed, "rules": dict(self.rules)
        }  # fmt: skip

    def _some(self, indices: list[int]) -> Iterator[np.ndarray[Any, Any] | None]:
        """One batch: all of these, or as many as fill ``BYTES``."""
        held = 0
        for index in indices:
            array = self._read(index)
            yield array
            held += 0 if array is None else array.nbytes
            if held >= BYTES:
                return

    def _read(self, index: int) -> np.ndarray[Any, Any] | None:
        try:
            array, rules = sample(self.source.read(index))
        except Exception as error:  # noqa: BLE001  # whatever a data set raises makes its item unreadable
            self.skipped.append(Skipped(self.source.where(index), f"{type(error).__name__}: {error}"))
            return None
        self.rules.update(rules)
        return array


def sample(item: Item) -> tuple[np.ndarray[Any, Any], tuple[str, ...]]:
    """An item as (C, H, W) uint8 or float32, or as (D,) uint8, float32 or float64, and which rules changed it.

    Raises
    ------
    ValueError
        It has no values, values that are not finite, or pixels without a stated meaning.
    """
    if item.array.size == 0:
        raise ValueError("it holds no values")
    if item.mode:
        return eight_bit(item)
    image = channels_first(item.array)
    array = item.array.reshape(-1) if image is None else image
    exact = np.float64 if image is None and array.dtype.itemsize > np.dtype(np.float32).itemsize else np.float32
    array = np.array(array, np.uint8 if array.dtype == np.uint8 else exact, order="C")
    finite = np.isfinite(array) & (np.abs(array) <= np.finfo(np.float32).max)
    if not finite.all():
        raise ValueError(f"{int((~finite).sum()):,} of {array.size:,} values are not finite")
    return array, ()
