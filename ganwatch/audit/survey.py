"""One bounded pass over the data that keeps a few numbers of each item, for the checks to work on."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ganwatch.audit.descriptor import IMAGE_SIDE, describe
from ganwatch.data.source import Item, Source, to_channels_first

MAX_EXAMPLES = 8
"""Examples of a finding."""
CHUNK = 2**20
"""Values that are converted to double precision at a time."""


@dataclass(frozen=True, slots=True)
class ItemSummary:
    """Statistics of one item.

    ``low``, ``high``, ``mean`` and ``spread`` (standard deviation) are over finite values, NaN without any. ``nonfinite`` counts the other
    values. ``is_constant`` is True if the item has several pixels (values, if it is no image) and all are equal. ``digest`` is a hash of
    dtype, shape and bytes. ``vector`` is the description, None if a value is not finite.
    """

    index: int
    digest: bytes
    low: float
    high: float
    mean: float
    spread: float
    nonfinite: int
    is_constant: bool
    shape: tuple[int, ...]
    pixel_mode: str
    label: int | str | None
    vector: NDArray[np.float32] | None


@dataclass(slots=True)
class Survey:
    """Statistics of the items that were read of a source.

    Parameters
    ----------
    source : Source
    sample_size : int
        Items to read.
    read_count : int
        Items that were read within the time.
    items : list of ItemSummary
        The readable items, in the order of their index.
    unreadable : list of (int, str)
        Index and error of the others.
    is_deterministic : bool
        True if an item read twice is the same both times, False if reading is random.
    """

    source: Source
    sample_size: int
    read_count: int = 0
    items: list[ItemSummary] = field(default_factory=list)
    unreadable: list[tuple[int, str]] = field(default_factory=list)
    is_deterministic: bool = True

    @property
    def is_complete(self) -> bool:
        """True if every item that was to be read was read."""
        return self.read_count == self.sample_size

    @property
    def has_images(self) -> bool:
        """True if the first readable item is an image."""
        return bool(self.items) and to_channels_first(np.empty(self.items[0].shape, np.uint8)) is not None

    @property
    def coverage(self) -> str:
        """Clause for explanations with the number of items that were read; empty if all were."""
        return "" if self.read_count == self.source.size else f" (read {self.read_count:,} of {self.source.size:,}, chosen at random)"

    def locate(self, items: Iterable[ItemSummary]) -> tuple[int | str, ...]:
        """Return the locations of the first 8 of some items, as a person knows them."""
        return tuple(self.source.locate(item.index) for item, _ in zip(items, range(MAX_EXAMPLES), strict=False))

    def distinct_items(self) -> list[ItemSummary]:
        """Return the items that are finite, not constant, of the commonest description length, and no exact copy of an earlier one."""
        lengths = [len(item.vector) for item in self.items if item.vector is not None]
        commonest = max(set(lengths), key=lengths.count, default=0)
        first: dict[bytes, ItemSummary] = {}
        for item in self.items:
            if item.vector is not None and len(item.vector) == commonest and not item.is_constant:
                first.setdefault(item.digest, item)
        return list(first.values())


def survey(source: Source, *, limit: int, seed: int, is_expired: Callable[[], bool]) -> Survey:
    """Read up to ``limit`` items, chosen at random from ``seed``, until ``is_expired()``; at least one is read.

    The items come in random order, so those that were read when the time is spent are a fair sample too.
    """
    sample_size = min(limit, source.size)
    result = Survey(source, sample_size)
    form: tuple[int, int] | None = None
    for index in map(int, np.random.default_rng(seed).choice(source.size, sample_size, replace=False)):
        if result.read_count and is_expired():
            break
        result.read_count += 1
        try:
            item = source.read(index)
            if item.array.size == 0:
                raise ValueError("it holds no values")  # noqa: TRY301  # counts as unreadable too
            if form is None:
                form = _description_form(item)
                result.is_deterministic = digest(item.array) == digest(source.read(index).array)
        except Exception as error:  # noqa: BLE001  # any error of a data set makes its item unreadable
            result.unreadable.append((index, f"{type(error).__name__}: {error}"))
        else:
            result.items.append(_summarise(index, item, form))
    result.items.sort(key=lambda item: item.index)
    result.unreadable.sort()
    return result


def digest(array: NDArray[Any]) -> bytes:
    """Hash dtype, shape and bytes to 16 bytes."""
    value = hashlib.blake2b(f"{array.dtype.str}{array.shape}".encode(), digest_size=16)
    value.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return value.digest()


def _description_form(item: Item) -> tuple[int, int]:
    """Return channels and side of the descriptions of a data set with such items; a side of 0 where they are no images."""
    image = to_channels_first(item.array)
    if image is None:
        return 1, 0
    return 3 if image.shape[0] >= 3 else 1, min(IMAGE_SIDE, *image.shape[1:])  # red, green, blue


def _summarise(index: int, item: Item, form: tuple[int, int]) -> ItemSummary:
    array = item.array
    finite = np.isfinite(array)
    is_finite = bool(finite.all())
    values = array.reshape(-1) if is_finite else array[finite]
    low, high, mean, spread = (values.min(), values.max(), *_moments(values)) if values.size else (math.nan,) * 4
    return ItemSummary(
        index=index,
        digest=digest(array),
        low=float(low),
        high=float(high),
        mean=float(mean),
        spread=float(spread),
        nonfinite=int(array.size - values.size),
        is_constant=is_finite and _is_constant(array),
        shape=array.shape,
        pixel_mode=item.pixel_mode,
        label=item.label,
        vector=describe(array, channels=form[0], side=form[1]) if is_finite else None,
    )


def _moments(values: NDArray[Any]) -> tuple[float, float]:
    """Return mean and standard deviation in double precision; a large array is not copied as a whole."""
    if values.size <= CHUNK:
        exact = values.astype(np.float64)
        return float(exact.mean()), float(exact.std())
    chunks = [slice(start, start + CHUNK) for start in range(0, values.size, CHUNK)]
    mean = sum(float(values[chunk].astype(np.float64).sum()) for chunk in chunks) / values.size
    squares = sum(float(((values[chunk].astype(np.float64) - mean) ** 2).sum()) for chunk in chunks)
    return mean, math.sqrt(squares / values.size)


def _is_constant(array: NDArray[Any]) -> bool:
    image = to_channels_first(array)
    pixels = array.reshape(1, -1) if image is None else image.reshape(len(image), -1)
    return pixels.shape[1] > 1 and bool((pixels == pixels[:, :1]).all())


def pool_moments(items: list[ItemSummary]) -> tuple[float, float]:
    """Return mean and standard deviation over the finite values of some items, each item with the same weight."""
    mean = float(np.mean([item.mean for item in items]))
    return mean, float(np.sqrt(np.mean([item.spread**2 + (item.mean - mean) ** 2 for item in items])))
