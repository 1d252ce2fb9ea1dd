"""One bounded pass over the data that leaves a few numbers for each item; the checks work on those alone."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ganwatch.audit.descriptor import SIDE, describe
from ganwatch.data.source import Item, Source, channels_first

EXAMPLES = 8


@dataclass(frozen=True, slots=True)
class Row:
    """What stays of one item.

    ``low``, ``high``, ``mean`` and ``spread`` (standard deviation) are over finite values, NaN where there are none; ``broken`` counts
    the others; ``constant`` says that there are several pixels (or values, where it is no image), all equal; ``digest`` is a hash of
    dtype, shape and bytes; ``vector`` is the description, None where values are not finite.
    """

    index: int
    digest: bytes
    low: float
    high: float
    mean: float
    spread: float
    broken: int
    constant: bool
    shape: tuple[int, ...]
    mode: str
    label: int | str | None
    vector: NDArray[np.float32] | None


@dataclass(slots=True)
class Survey:
    """What was read of a source.

    Parameters
    ----------
    source : Source
        Where it was read.
    wanted, looked : int
        Items that were to be read, and items that time allowed.
    rows : list of Row
        The readable ones, in the order of their index.
    unreadable : list of (int, str)
        Index and error of the others.
    steady : bool
        Whether an item read twice is the same both times; otherwise reading involves chance.
    """

    source: Source
    wanted: int
    looked: int = 0
    rows: list[Row] = field(default_factory=list)
    unreadable: list[tuple[int, str]] = field(default_factory=list)
    steady: bool = True

    @property
    def complete(self) -> bool:
        """Whether every item that was to be read has been."""
        return self.looked == self.wanted

    @property
    def images(self) -> bool:
        """Whether the first readable item is an image."""
        return bool(self.rows) and channels_first(np.empty(self.rows[0].shape, np.uint8)) is not None

    @property
    def sample(self) -> str:
        """How much was read, for an explanation: empty where it was all."""
        return "" if self.looked == self.source.size else f" (read {self.looked:,} of {self.source.size:,}, chosen by chance)"

    def where(self, rows: Iterable[Row]) -> tuple[int | str, ...]:
        """The first 8 of some rows, as a person knows them."""
        return tuple(self.source.where(row.index) for row, _ in zip(rows, range(EXAMPLES), strict=False))

    def distinct(self) -> list[Row]:
        """Rows that are finite, not constant, described in the usual length, and no exact copy of an earlier one."""
        lengths = [len(row.vector) for row in self.rows if row.vector is not None]
        usual = max(set(lengths), key=lengths.count, default=0)
        first: dict[bytes, Row] = {}
        for row in self.rows:
            if row.vector is not None and len(row.vector) == usual and not row.constant:
                first.setdefault(row.digest, row)
        return list(first.values())


def survey(source: Source, *, limit: int, seed: int, expired: Callable[[], bool]) -> Survey:
    """Read up to ``limit`` items, chosen by chance from ``seed``, until ``expired``; at least one is read.

    The items come in random order, so that what has been read when time is up is a fair sample too.
    """
    wanted = min(limit, source.size)
    result = Survey(source, wanted)
    form: tuple[int, int] | None = None
    for index in map(int, np.random.default_rng(seed).choice(source.size, wanted, replace=False)):
        if result.looked and expired():
            break
        result.looked += 1
        try:
            item = source.read(index)
            if item.array.size == 0:
                raise ValueError("it holds no values")  # noqa: TRY301  # one way to be unreadable
            if form is None:
                form = _form(item)
                result.steady = digest(item.array) == digest(source.read(index).array)
        except Exception as error:  # noqa: BLE001  # whatever a data set raises makes its item unreadable
            result.unreadable.append((index, f"{type(error).__name__}: {error}"))
        else:
            result.rows.append(_measure(index, item, form))
    result.rows.sort(key=lambda row: row.index)
    result.unreadable.sort()
    return result


def digest(array: NDArray[Any]) -> bytes:
    """A hash of dtype, shape and bytes, 16 bytes long."""
    value = hashlib.blake2b(f"{array.dtype.str}{array.shape}".encode(), digest_size=16)
    value.update(np.ascontiguousarray(array).tobytes())
    return value.digest()


def _form(item: Item) -> tuple[int, int]:
    image = channels_first(item.array)
    if image is None:
        return 1, 0
    return 3 if image.shape[0] >= 3 else 1, min(SIDE, *image.shape[1:])  # red, green, blue


def _measure(index: int, item: Item, form: tuple[int, int]) -> Row:
    array = item.array
    finite = np.isfinite(array)
    whole = bool(finite.all())
    values = (array if whole else array[finite]).astype(np.float64)
    low, high, mean, spread = (values.min(), values.max(), values.mean(), values.std()) if values.size else (math.nan,) * 4
    return Row(
        index=index,
        digest=digest(array),
        low=float(low),
        high=float(high),
        mean=float(mean),
        spread=float(spread),
        broken=int(array.size - values.size),
        constant=whole and _constant(array),
        shape=array.shape,
        mode=item.mode,
        label=item.label,
        vector=describe(array, channels=form[0], side=form[1]) if whole else None,
    )


def _constant(array: NDArray[Any]) -> bool:
    image = channels_first(array)
    pixels = array.reshape(1, -1) if image is None else image.reshape(len(image), -1)
    return pixels.shape[1] > 1 and bool((pixels == pixels[:, :1]).all())


def moments(rows: list[Row]) -> tuple[float, float]:
    """Mean and standard deviation over the finite values of some rows, each row weighing the same."""
    mean = float(np.mean([row.mean for row in rows]))
    return mean, float(np.sqrt(np.mean([row.spread**2 + (row.mean - mean) ** 2 for row in rows])))
