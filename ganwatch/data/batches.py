"""Samples in batches, in a fixed order, and a list of the items that were left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ganwatch.core.errors import UserError, show_error
from ganwatch.data.images import to_eight_bit
from ganwatch.data.opening import open_source
from ganwatch.data.rounding import RoundingCheck
from ganwatch.data.source import Item, NotIndexableError, Source, to_channels_first
from ganwatch.isolation.generators import find_all_generators
from ganwatch.isolation.random_state import preserved_random_state

if TYPE_CHECKING:
    from torch import Tensor

MAX_BATCH_BYTES = 2**25
"""Bytes at which a batch is closed, so that large images come few at a time."""
MAX_LISTED = 1000
"""Skipped items that a report lists; it counts all of them."""


@dataclass(frozen=True, slots=True)
class SkippedItem:
    """An item that was left out: its index or path, and the reason."""

    location: int | str
    reason: str


class SampleBatches:
    """Batches of samples, from anything that ``open_source`` opens.

    Each iteration reads anew, in the same order, one batch at a time. An item is left out and listed if no rule of
    ``ganwatch.data.images`` reads it, if it holds no values, or if a value is not finite.

    Parameters
    ----------
    data : as for ``open_source``
        Source of the samples.
    limit : int or None, >= 1
        Samples to read at most, chosen at random from ``seed`` and read in the order of the data; None reads all.
    seed : int, >= 0
        Seed of that choice, and of the random numbers that a data set draws while it is read. The random state of the process does not
        change.
    batch_size : int, >= 1
        Samples in a batch; fewer if some are left out, or if they fill 32 MiB.
    argument : str
        Name of the data in errors.

    Attributes
    ----------
    name : str
        Name of the data, for people.
    size : int
        Items in the data.
    sample_size : int
        Items that an iteration reads.
    value_range : (low, high) or None
        Range of floating-point values, where the data give one; 8-bit pixels are 0…255.
    skipped : list of Skipped
        Items that the last iteration has left out so far.
    rules : Counter of str
        Number of items that each rule has changed in the last iteration.

    Raises
    ------
    UserError
        The data are empty, do not exist, or cannot be read by index. At the end of an iteration: no sample is left, or float32 does not
        tell vectors apart.

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
        self.name, self.size, self.value_range = self.source.name, self.source.size, self.source.value_range
        self.sample_size = self.size if limit is None else min(limit, self.size)
        self.seed, self.batch_size, self.argument = seed, batch_size, argument
        self.skipped: list[SkippedItem] = []
        self.rules: Counter[str] = Counter()

    def __iter__(self) -> Iterator[Tensor | list[Tensor]]:
        """Read batches: ``(N, C, H, W)`` of images, ``(N, D)`` of vectors, or a list if sizes or types differ within a batch.

        8-bit pixels stay uint8, everything else becomes float32.
        """
        import torch

        self.skipped, self.rules = [], Counter()
        rounding = RoundingCheck()
        chosen = np.sort(np.random.default_rng(self.seed).choice(self.size, self.sample_size, replace=False))
        generators, start = find_all_generators(), 0
        while start < self.sample_size:
            with preserved_random_state(*generators, seed=self.seed + start):
                read = list(self._read_batch(chosen[start : start + self.batch_size].tolist()))
            start += len(read)
            batch = [torch.from_numpy(array) for array in read if array is not None]
            if len({(one.shape, one.dtype) for one in batch}) == 1:
                stacked = torch.stack(batch)
                if stacked.dtype == torch.float64:
                    rounding.add(stacked.numpy())
                yield stacked if stacked.dtype == torch.uint8 else stacked.to(torch.float32)
            elif batch:
                yield [one if one.dtype == torch.uint8 else one.to(torch.float32) for one in batch]
        if len(self.skipped) == self.sample_size:
            raise UserError(
                f"{self.argument} must hold a sample that can be read, got {self.sample_size:,} of {self.name} that cannot; the first, "
                f"{self.skipped[0].location}: {self.skipped[0].reason}"
            )
        rounding.check(self.argument)

    def report(self) -> dict[str, Any]:
        """Report on the last iteration, as plain types.

        ``name``, ``size``, ``read``, ``skipped`` (counts), ``list`` (the first 1,000 skipped items) and ``rules`` (counts).
        """
        listed = [{"location": one.location, "reason": one.reason} for one in self.skipped[:MAX_LISTED]]
        read = self.sample_size - len(self.skipped)
        return {
            "name": self.name, "size": self.size, "read": read, "skipped": len(self.skipped), "list": listed, "rules": dict(self.rules)
        }  # fmt: skip

    def _read_batch(self, indices: list[int]) -> Iterator[np.ndarray[Any, Any] | None]:
        """Read one batch: all of these items, or as many as fill ``MAX_BATCH_BYTES``."""
        held = 0
        for index in indices:
            array = self._read(index)
            yield array
            held += 0 if array is None else array.nbytes
            if held >= MAX_BATCH_BYTES:
                return

    def _read(self, index: int) -> np.ndarray[Any, Any] | None:
        try:
            array, rules = to_sample(self.source.read(index))
        except Exception as error:  # noqa: BLE001  # any error of a data set makes its item unreadable
            self.skipped.append(SkippedItem(self.source.locate(index), show_error(error)))
            return None
        self.rules.update(rules)
        return array


def to_sample(item: Item) -> tuple[np.ndarray[Any, Any], tuple[str, ...]]:
    """Return an item as (C, H, W) uint8 or float32, or as (D,) uint8, float32 or float64, and the rules that changed it.

    Raises
    ------
    ValueError
        The item has no values, values that are not finite, or pixels that no rule covers.
    """
    if item.array.size == 0:
        raise ValueError("it holds no values")
    if item.pixel_mode:
        return to_eight_bit(item)
    image = to_channels_first(item.array)
    array = item.array.reshape(-1) if image is None else image
    exact = np.float64 if image is None and array.dtype.itemsize > np.dtype(np.float32).itemsize else np.float32
    array = np.array(array, np.uint8 if array.dtype == np.uint8 else exact, order="C")
    finite = np.isfinite(array) & (np.abs(array) <= np.finfo(np.float32).max)
    if not finite.all():
        raise ValueError(f"{int((~finite).sum()):,} of {array.size:,} values are not finite")
    return array, ()
