"""Shape and value range of the samples on the two sides of a comparison."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from ganwatch.core.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

RANGE_TOLERANCE = 0.05
"""Share of a range by which values may leave it."""
BYTE_RANGE = (0.0, 255.0)
SIGNED_RANGE = (-1.0, 1.0)
COMMON_RANGES = (SIGNED_RANGE, (0.0, 1.0), BYTE_RANGE)
"""Ranges that floating-point images are commonly scaled to."""

ValueRange = tuple[float, float]


def find_common_range(low: float, high: float) -> ValueRange | None:
    """Return the common range that images with these extremes fit, or None where none does.

    >>> find_common_range(-0.9, 1.0), find_common_range(0.0, 0.8), find_common_range(0.0, 200.0), find_common_range(-3.0, 3.0)
    ((-1.0, 1.0), (0.0, 1.0), (0.0, 255.0), None)
    """
    return next((one for one in COMMON_RANGES if one[0] <= low and high <= one[1] and (one[0] == 0 or low < 0)), None)


class SampleStream(Protocol):
    """Batches of samples that can be read again and again, such as ``ganwatch.data.batches.SampleBatches``."""

    argument: str
    name: str
    sample_size: int

    @property
    def value_range(self) -> ValueRange | None:
        """Range of floating-point values, where it is known."""

    def __iter__(self) -> Iterator[Any]:
        """Read the batches anew."""

    def report(self) -> dict[str, Any]:
        """Report on the last iteration, as plain types."""


@dataclass(frozen=True, slots=True)
class SampleFormat:
    """Shape and extremes of the first batch of a stream.

    Parameters
    ----------
    shape : tuple of int
        Shape of the first sample.
    bytes : bool
        True if all samples are 8-bit pixels.
    low, high : float
        Extremes of the floating-point samples, 0 where there are none.
    """

    shape: tuple[int, ...]
    bytes: bool
    low: float
    high: float

    @classmethod
    def of(cls, stream: SampleStream) -> SampleFormat:
        """Read the first batch of a stream."""
        return cls.from_batch(next(iter(stream)))

    @classmethod
    def from_batch(cls, batch: Any) -> SampleFormat:
        """Measure a batch: a tensor, or a list of samples."""
        floats = [one for one in batch if one.is_floating_point()]
        lows, highs = [float(one.min()) for one in floats], [float(one.max()) for one in floats]
        return cls(tuple(batch[0].shape), not floats, min(lows, default=0.0), max(highs, default=0.0))


def are_vectors(formats: dict[str, SampleFormat]) -> bool:
    """Return True if every side holds vectors, False if every side holds images.

    Raises
    ------
    UserError
        One side holds vectors and the other images, or the vectors differ in length.
    """
    words = " and ".join(f"{'vectors' if len(each.shape) == 1 else 'images'} {each.shape} in {side}" for side, each in formats.items())
    vectors = {len(each.shape) == 1 for each in formats.values()}
    if len(vectors) > 1:
        raise UserError(f"both sides must hold images, or both vectors, got {words}")
    if True in vectors and len({each.shape for each in formats.values()}) > 1:
        raise UserError(f"vectors must have the same length on both sides, got {words}")
    return True in vectors


def infer_ranges(
    sides: Sequence[SampleStream], formats: dict[str, SampleFormat], value_range: ValueRange | None
) -> dict[str, ValueRange]:
    """Return the value range of the images of each side, by argument.

    8-bit pixels have 0…255, and some data know their range. Any other side gets the first of these that exists: ``value_range``; the
    range of another side, if it holds the values; the common range that holds them; the lowest to the highest value of all sides, if no
    range is known.

    Raises
    ------
    UserError
        One side has a range and nothing gives that of the other.
    """
    known = {side.argument: BYTE_RANGE if formats[side.argument].bytes else side.value_range for side in sides}
    unknown = [argument for argument, one in known.items() if one is None]
    low = min((formats[argument].low for argument in unknown), default=0.0)
    high = max((formats[argument].high for argument in unknown), default=0.0)
    others = [one for argument, one in known.items() if one is not None and not formats[argument].bytes]
    inferred = value_range or next((one for one in others if one[0] <= low and high <= one[1]), None) or find_common_range(low, high)
    if inferred is None and len(unknown) < len(sides):
        raise UserError(f"values of {unknown[0]} must have a range that is known, got {low:g} to {high:g}; give it with --range LOW HIGH")
    inferred = inferred or (low, high if high > low else low + 1.0)
    return {argument: inferred if one is None else one for argument, one in known.items()}


def rescale_batches(stream: SampleStream, value_range: ValueRange, *, strict: bool) -> Iterator[Tensor | list[Tensor]]:
    """Yield the batches of a stream, with floating-point images rescaled from their range to [-1, 1].

    Raises
    ------
    UserError
        If ``strict``, a value leaves the range by more than 5 % of it.
    """
    low, high = value_range
    slack = RANGE_TOLERANCE * (high - low)

    def rescale(samples: Tensor) -> Tensor:
        return (samples - low) * (2.0 / (high - low)) - 1.0 if samples.is_floating_point() and value_range != SIGNED_RANGE else samples

    for batch in stream:
        for one in batch if strict else []:
            if one.is_floating_point() and (one.min() < low - slack or one.max() > high + slack):
                got = f"{float(one.min()):g} to {float(one.max()):g}; give the range with --range LOW HIGH"
                raise UserError(f"values of {stream.argument} must lie in {low:g} to {high:g}, got {got}")
        yield [rescale(one) for one in batch] if isinstance(batch, list) else rescale(batch)
