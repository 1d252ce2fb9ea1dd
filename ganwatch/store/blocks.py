"""Readings of one series as bytes: 256 steps a block, nine bytes a reading, exact."""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

WIDTH = 256
"""Steps in a block."""
WALL_TIME = "wall_time"
"""The series that holds the wall time of each step."""

Steps = npt.NDArray[np.int64]
Values = npt.NDArray[np.float64]


def pack(readings: Mapping[int, float]) -> tuple[bytes, bytes]:
    r"""Readings by offset within the block, as offsets (uint8) and values (float64, little-endian), in order of step.

    >>> pack({1: 0.5})
    (b'\x01', b'\x00\x00\x00\x00\x00\x00\xe0?')
    """
    ordered = sorted(readings)
    return bytes(ordered), struct.pack(f"<{len(ordered)}d", *(readings[offset] for offset in ordered))


def unpack(block: int, offsets: bytes, readings: bytes) -> tuple[Steps, Values]:
    """Undo ``pack``: steps and values of a block.

    >>> unpack(2, *pack({0: 1.5, 7: float("nan")}))
    (array([512, 519]), array([1.5, nan]))
    """
    steps = np.frombuffer(offsets, dtype=np.uint8).astype(np.int64) + block * WIDTH
    return steps, np.frombuffer(readings, dtype="<f8").astype(np.float64)


def summarise(block: int, readings: Mapping[int, float]) -> dict[str, Any]:
    """The row of a rollup over a block, without its key."""
    finite = [value for value in readings.values() if math.isfinite(value)]
    mean = math.fsum(value / len(finite) for value in finite) if finite else None
    return {
        "first_step": block * WIDTH + min(readings),
        "last_step": block * WIDTH + max(readings),
        "count": len(readings),
        "nonfinite": len(readings) - len(finite),
        "low": min(finite, default=None),
        "high": max(finite, default=None),
        "mean": mean,
    }


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
