"""Readings of one series packed as bytes: 256 steps per block, nine bytes per reading, exact."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from typing import Any

import numpy as np
import numpy.typing as npt

STEPS_PER_BLOCK = 256
WALL_TIME = "wall_time"
"""The series that holds the wall time of each step."""

Steps = npt.NDArray[np.int64]
Values = npt.NDArray[np.float64]


class Block:
    r"""Readings of one series within one block, in order of step.

    Attributes
    ----------
    unsaved : int
        Readings added since the block was last written.
    counted : int
        Readings that are counted as written, or that an earlier process wrote.
    is_complete : bool
        True if the store is known to hold no reading of the block that is missing here.

    Examples
    --------
    >>> block = Block()
    >>> block.set_reading(1, 0.5)
    >>> block.pack()
    (b'\x01', b'\x00\x00\x00\x00\x00\x00\xe0?')
    """

    __slots__ = ("_committed", "counted", "is_complete", "offsets", "unsaved", "values")

    def __init__(self) -> None:
        self.offsets = bytearray()
        self.values = array("d")
        self.unsaved = 0
        self.is_complete = False
        self.counted = 0
        self._committed: tuple[bytearray, array[float]] | None = None
        """Offsets and values before the first reading that is not committed."""

    def set_reading(self, offset: int, value: float) -> None:
        """Set the reading at an offset within the block; the later of two wins."""
        self.unsaved += 1
        if self._committed is None:
            self._committed = self.offsets[:], self.values[:]
        if not self.offsets or offset > self.offsets[-1]:
            self.offsets.append(offset)
            self.values.append(value)
            return
        position = bisect_left(self.offsets, offset)
        if self.offsets[position] == offset:
            self.values[position] = value
        else:
            self.offsets.insert(position, offset)
            self.values.insert(position, value)

    def commit(self) -> None:
        """Note that the store has every reading."""
        self.unsaved, self._committed = 0, None

    def roll_back(self) -> None:
        """Forget the readings that are not committed."""
        if self._committed is not None:
            self.offsets, self.values = self._committed
        self.unsaved, self._committed, self.is_complete = 0, None, False

    def add_stored(self, offsets: bytes, readings: bytes) -> None:
        """Add readings that the store holds at offsets without a newer one."""
        present, unsaved = set(self.offsets), self.unsaved
        for offset, value in zip(offsets, np.frombuffer(readings, "<f8").tolist(), strict=True):
            if offset not in present:
                self.set_reading(offset, value)
        self.unsaved = unsaved
        self.counted += len(offsets)

    def pack(self) -> tuple[bytes, bytes]:
        """Return offsets within the block (uint8) and values (float64, little-endian)."""
        return bytes(self.offsets), np.asarray(self.values, "<f8").tobytes()

    def rollup(self, number: int) -> dict[str, Any]:
        """Return the row of a rollup without its key, for block ``number``."""
        values = np.asarray(self.values)
        finite = values[np.isfinite(values)]
        has_finite = len(finite) > 0
        return {
            "first_step": number * STEPS_PER_BLOCK + self.offsets[0],
            "last_step": number * STEPS_PER_BLOCK + self.offsets[-1],
            "count": len(values),
            "nonfinite": len(values) - len(finite),
            "low": float(finite.min()) if has_finite else None,
            "high": float(finite.max()) if has_finite else None,
            "mean": float((finite / len(finite)).sum()) if has_finite else None,
        }


def unpack(block: int, offsets: bytes, readings: bytes) -> tuple[Steps, Values]:
    r"""Return the steps and values of a packed block.

    >>> unpack(2, b"\x00\x07", np.array([1.5, np.nan]).tobytes())
    (array([512, 519]), array([1.5, nan]))
    """
    steps = np.frombuffer(offsets, dtype=np.uint8).astype(np.int64) + block * STEPS_PER_BLOCK
    return steps, np.frombuffer(readings, dtype="<f8").astype(np.float64)


def downsample(steps: Steps, values: Values, max_points: int) -> tuple[Steps, Values]:
    """Keep the smallest and largest value of each of ``max_points // 2`` sections, at their steps.

    A section without a finite value keeps its first one, so that a gap stays a gap.

    >>> downsample(np.arange(6), np.array([1.0, 5.0, 2.0, 0.0, 3.0, 9.0]), 4)
    (array([0, 1, 3, 5]), array([1., 5., 0., 9.]))
    """
    if len(steps) <= max_points:
        return steps, values
    positions: set[int] = set()
    for section in np.array_split(np.arange(len(steps)), max(1, max_points // 2)):
        finite = section[np.isfinite(values[section])]
        extremes = {int(finite[values[finite].argmin()]), int(finite[values[finite].argmax()])} if len(finite) else {int(section[0])}
        positions |= extremes
    order = sorted(positions)
    return steps[order], values[order]
