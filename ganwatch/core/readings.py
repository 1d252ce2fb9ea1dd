"""What flows through ganwatch: plain, immutable records without a tensor in them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeGuard


@dataclass(frozen=True, slots=True)
class Readings:
    """The values of one observed step.

    Parameters
    ----------
    step : int
        Main-phase updates of the primary generator so far, counted by ganwatch, from 1.
    values : mapping of str to float
        Series name to value. Only what was measured at this step is present; a value may be NaN or infinite.
    attempt : int
        Which start of the process produced it, from 1. Of two readings of one step the higher attempt wins.
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
        """The value of a series, or None where it was not measured at this step."""
        return self.values.get(name)

    def select(self, names: Sequence[str]) -> tuple[float | None, ...]:
        """The values of several series, None for each that was not measured."""
        return tuple(map(self.values.get, names))


@dataclass(frozen=True, slots=True)
class Run:
    """One training, however often its process was started.

    ``provenance`` holds plain JSON types only: configuration, optimizers, arguments, seed, versions, device, dataset.
    """

    id: str
    name: str
    attempt: int = 1
    started: float = 0.0
    provenance: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SampleImages:
    """Images of one step as raw bytes.

    Parameters
    ----------
    step : int
        The observed step that they belong to.
    kind : str
        ``fixed`` (from the fixed latents), ``real``, ``fake`` (the loop's own batch), ``pinned`` (evidence of an incident) or ``missing``
        (real samples of kinds that are not generated).
    shape : (N, H, W, C)
        C is 1 or 3.
    pixels : bytes
        uint8, C order, ``N*H*W*C`` of them.
    incident : str or None
        The incident that they are evidence of, for ``pinned`` and ``missing``.
    """

    step: int
    kind: str
    shape: tuple[int, int, int, int]
    pixels: bytes
    incident: str | None = None

    def __post_init__(self) -> None:
        if len(self.pixels) != math.prod(self.shape):
            raise ValueError(f"pixels must hold N*H*W*C = {math.prod(self.shape)} bytes, got {len(self.pixels)}")


def finite(value: float | None) -> TypeGuard[float]:
    """Whether a value was measured and is neither NaN nor infinite."""
    return value is not None and math.isfinite(value)
