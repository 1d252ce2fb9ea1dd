"""Two sides that are to be compared: of one kind, and with values in one range."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from ganwatch.core.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

TOLERANCE = 0.05
"""Share of a range by which values may leave it."""
BYTES = (0.0, 255.0)
SIGNED = (-1.0, 1.0)
USUAL = (SIGNED, (0.0, 1.0), BYTES)
"""What floating-point images are commonly scaled to."""

Range = tuple[float, float]


def usual_range(low: float, high: float) -> Range | None:
    """What images with these extremes are commonly scaled to, None where nothing usual does.

    >>> usual_range(-0.9, 1.0), usual_range(0.0, 0.8), usual_range(0.0, 200.0), usual_range(-3.0, 3.0)
    ((-1.0, 1.0), (0.0, 1.0), (0.0, 255.0), None)
    """
    return next((one for one in USUAL if one[0] <= low and high <= one[1] and (one[0] == 0 or low < 0)), None)


class Side(Protocol):
    """Batches that know what they are, such as ``ganwatch.data.batches.SampleBatches``."""

    argument: str
    name: str
    wanted: int

    @property
    def values(self) -> Range | None:
        """Range of floating-point values, where it is known."""

    def __iter__(self) -> Iterator[Any]:
        """Batches, anew each time."""

    def report(self) -> dict[str, Any]:
        """What the last iteration read, as plain types."""


@dataclass(frozen=True, slots=True)
class Kind:
    """What the first batch of a side shows.

    Parameters
    ----------
    shape : tuple of int
        Of the first sample.
    bytes : bool
        All are 8-bit pixels.
    low, high : float
        Extremes of the others, 0 where there are none.
    """

    shape: tuple[int, ...]
    bytes: bool
    low: float
    high: float

    @classmethod
    def of(cls, side: Side) -> Kind:
        """Read the first batch."""
        return cls.shown(next(iter(side)))

    @classmethod
    def shown(cls, batch: Any) -> Kind:
        """What a batch shows."""
        floats = [one for one in batch if one.is_floating_point()]
        lows, highs = [float(one.min()) for one in floats], [float(one.max()) for one in floats]
        return cls(tuple(batch[0].shape), not floats, min(lows, default=0.0), max(highs, default=0.0))


def both_vectors(kinds: dict[str, Kind]) -> bool:
    """Whether both sides hold vectors; not, where both hold images.

    Raises
    ------
    UserError
        They differ in that, or in the length of their vectors.
    """
    words = " and ".join(f"{'vectors' if len(kind.shape) == 1 else 'images'} {kind.shape} in {side}" for side, kind in kinds.items())
    vectors = {len(kind.shape) == 1 for kind in kinds.values()}
    if len(vectors) > 1:
        raise UserError(f"both sides must hold images, or both vectors, got {words}")
    if True in vectors and len({kind.shape for kind in kinds.values()}) > 1:
        raise UserError(f"vectors must have the same length on both sides, got {words}")
    return True in vectors


def ranges_of(sides: tuple[Side, Side], kinds: dict[str, Kind], values: Range | None) -> dict[str, Range]:
    """The range of the images of each side.

    8-bit pixels have theirs, and some data know it. For others it is ``values``; or that of the other side, where it holds them; or the
    usual one that does; or, where both sides are unknown, from the lowest to the highest value of both.

    Raises
    ------
    UserError
        One side has a range and nothing says that of the other.
    """
    known = {side.argument: BYTES if kinds[side.argument].bytes else side.values for side in sides}
    unknown = [argument for argument, found in known.items() if found is None]
    low = min((kinds[argument].low for argument in unknown), default=0.0)
    high = max((kinds[argument].high for argument in unknown), default=0.0)
    others = [found for argument, found in known.items() if found is not None and not kinds[argument].bytes]
    found = values or next((one for one in others if one[0] <= low and high <= one[1]), None) or usual_range(low, high)
    if found is None and len(unknown) == 1:
        raise UserError(f"values of {unknown[0]} must have a range that is known, got {low:g} to {high:g}; say it with --range LOW HIGH")
    found = found or (low, high if high > low else low + 1.0)
    return {argument: found if one is None else one for argument, one in known.items()}


def in_range(side: Side, given: Range, *, strict: bool) -> Iterator[Tensor | list[Tensor]]:
    """The batches of a side, floating-point images brought from their range to [-1, 1].

    Raises
    ------
    UserError
        Where ``strict``, a value leaves the range by more than 5 % of it.
    """
    low, high = given
    slack = TOLERANCE * (high - low)

    def scaled(samples: Tensor) -> Tensor:
        return (samples - low) * (2.0 / (high - low)) - 1.0 if samples.is_floating_point() and given != SIGNED else samples

    for batch in side:
        for one in batch if strict else []:
            if one.is_floating_point() and (one.min() < low - slack or one.max() > high + slack):
                seen = f"{float(one.min()):g} to {float(one.max()):g}; say the range with --range LOW HIGH"
                raise UserError(f"values of {side.argument} must lie in {low:g} to {high:g}, got {seen}")
        yield [scaled(one) for one in batch] if isinstance(batch, list) else scaled(batch)
