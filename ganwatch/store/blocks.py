"""Readings of one series as bytes: 256 steps a block, nine bytes a reading, exact."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from typing import Any

import numpy as np
import numpy.typing as npt

WIDTH = 256
"""Steps in a block."""
WALL_TIME = "wall_time"
"""The series that holds the wall time of each step."""

Steps = npt.NDArray[np.int64]
Values = npt.NDArray[np.float64]


class Block:
    r"""Readings of one series within one block, in order of step.

    Attributes
    ----------
    fresh : int
        Readings taken since the block was last written.
    whole : bool
        Whether the store is known to hold no reading of the block that is missing here.

    Examples
    --------
    >>> block = Block()
    >>> block.put(1, 0.5)
    >>> block.pack()
    (b'\x01', b'\x00\x00\x00\x00\x00\x00\xe0?')
    """

    __slots__ = ("fresh", "offsets", "values", "whole")

    def __init__(self) -> None:
        self.offsets = bytearray()
        self.values = array("d")
        self.fresh = 0
        self.whole = False

    def put(self, offset: int, value: float) -> None:
        """Take a reading; of two of one step the later one holds."""
        self.fresh += 1
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

    def complete(self, offsets: bytes, readings: bytes) -> None:
        """Add what was written earlier, where there is nothing newer."""
        taken, fresh = set(self.offsets), self.fresh
        for offset, value in zip(offsets, np.frombuffer(readings, "<f8").tolist(), strict=True):
            if offset not in taken:
                self.put(offset, value)
        self.fresh = fresh

    def pack(self) -> tuple[bytes, bytes]:
        """Offsets within the block (uint8) and values (float64, little-endian)."""
        return bytes(self.offsets), np.asarray(self.values, "<f8").tobytes()

    def summary(self, number: int) -> dict[str, Any]:
        """The row of a rollup, without its key; ``number`` is the block's own."""
        values = np.asarray(self.values)
        finite = values[np.isfinite(values)]
        some = len(finite) > 0
        return {
            "first_step": number * WIDTH + self.offsets[0],
            "last_step": number * WIDTH + self.offsets[-1],
            "count": len(values),
            "nonfinite": len(values) - len(finite),
            "low": float(finite.min()) if some else None,
            "high": float(finite.max()) if some else None,
            "mean": float((finite / len(finite)).sum()) if some else None,
        }


def unpack(block: int, offsets: bytes, readings: bytes) -> tuple[Steps, Values]:
    r"""Steps and values of a packed block.

    >>> unpack(2, b"\x00\x07", np.array([1.5, np.nan]).tobytes())
    (array([512, 519]), array([1.5, nan]))
    """
    steps = np.frombuffer(offsets, dtype=np.uint8).astype(np.int64) + block * WIDTH
    return steps, np.frombuffer(readings, dtype="<f8").astype(np.float64)


def envelope(steps: Steps, values: Values, max_points: int) -> tuple[Steps, Values]:
    """Smallest and largest value of each of ``max_points // 2`` stretches, where they occur, in order of step.

    A stretch without a finite value keeps its first one, so that a gap stays a gap.

    >>> envelope(np.arange(6), np.array([1.0, 5.0, 2.0, 0.0, 3.0, 9.0]), 4)
    (array([0, 1, 3, 5]), array([1., 5., 0., 9.]))
    """
    if len(steps) <= max_points:
        return steps, values
    kept: set[int] = set()
    for stretch in np.array_split(np.arange(len(steps)), max(1, max_points // 2)):
        finite = stretch[np.isfinite(values[stretch])]
        kept |= {int(finite[values[finite].argmin()]), int(finite[values[finite].argmax()])} if len(finite) else {int(stretch[0])}
    order = sorted(kept)
    return steps[order], values[order]
