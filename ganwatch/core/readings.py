"""Records that flow through ganwatch: plain, immutable and without tensors."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeGuard

from ganwatch.core.clean_text import clean_text

MAX_STEP = 2**31 - 1
"""Largest step that stores and recordings hold."""


@dataclass(frozen=True, slots=True)
class Readings:
    """The values of one step.

    Parameters
    ----------
    step : int
        Main-phase updates of the primary generator so far, counted by ganwatch, from 1.
    values : mapping of str to float
        Series name to value. Only series that were measured at this step are present. A value may be NaN or infinite.
    attempt : int
        Number of the start of the process that produced them, from 1. If two attempts have the same step, the later one counts.
    wall_time : float, seconds
        Unix time at which the step ended.

    Examples
    --------
    >>> readings = Readings(step=3, values={"loss/g": 0.7})
    >>> readings.select(("loss/g", "loss/d"))
    (0.7, None)
    """

    step: int
    values: Mapping[str, float]
    attempt: int = 1
    wall_time: float = 0.0

    def get(self, name: str) -> float | None:
        """Return the value of a series, or None if it was not measured at this step."""
        return self.values.get(name)

    def select(self, names: Sequence[str]) -> tuple[float | None, ...]:
        """Return the values of several series, None for each that was not measured."""
        return tuple(map(self.values.get, names))


@dataclass(frozen=True, slots=True)
class Run:
    """One training. Its process may have been started several times.

    ``name`` is cleaned by ``clean_text``. ``provenance`` holds plain JSON types only: configuration, optimizers, arguments, seed, versions,
    device, data set.
    """

    id: str
    name: str
    attempt: int = 1
    started: float = 0.0
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", clean_text(self.name))


@dataclass(frozen=True, slots=True)
class SampleImages:
    """Images of one step as raw bytes.

    Parameters
    ----------
    step : int
        Step that they belong to.
    kind : str
        ``fixed`` (from the fixed latents), ``real``, ``fake`` (the loop's own batch), ``pinned`` (evidence of an incident) or ``missing``
        (real samples of modes that are not generated).
    shape : (N, H, W, C)
        C is 1 or 3.
    pixels : bytes
        uint8, C order, ``N*H*W*C`` of them.
    incident : str or None
        Incident that they are evidence of, for ``pinned`` and ``missing``.
    """

    step: int
    kind: str
    shape: tuple[int, int, int, int]
    pixels: bytes
    incident: str | None = None

    def __post_init__(self) -> None:
        if len(self.pixels) != math.prod(self.shape):
            raise ValueError(f"pixels must hold N*H*W*C = {math.prod(self.shape)} bytes, got {len(self.pixels)}")


def is_finite(value: float | None) -> TypeGuard[float]:
    """Return True if a value was measured and is neither NaN nor infinite."""
    return value is not None and math.isfinite(value)
