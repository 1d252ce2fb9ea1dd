"""Features of several sets of samples by one extractor, so that they can be compared."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from ganwatch.core.errors import UserError
from ganwatch.core.provenance import package_versions
from ganwatch.data.sample_format import SampleFormat, SampleStream, ValueRange, are_vectors, infer_ranges, rescale_batches
from ganwatch.features.cache import FeatureCache
from ganwatch.features.extraction import extract
from ganwatch.features.registry import ExtractorSpec, make_extractor


@dataclass(frozen=True, slots=True)
class Sides:
    """Features ``(N, D)`` and value range of each set by its argument, and the facts that reproduce them."""

    features: dict[str, Tensor]
    ranges: dict[str, ValueRange]
    provenance: dict[str, Any]


def extract_sides(
    sides: Sequence[SampleStream],
    *,
    features: ExtractorSpec = None,
    size: int | None = None,
    value_range: ValueRange | None = None,
    seed: int = 0,
    cache: FeatureCache | None = None,
    progress: Callable[[SampleStream, int], None] | None = None,
) -> Sides:
    """Extract the features of sets of samples.

    Parameters
    ----------
    sides : sequence of SampleStream
        Sets of samples, each with another ``argument``.
    features : str, callable or None
        The extractor, as for ``ganwatch.features.registry.make_extractor``.
    size : int or None, pixels
        Side to which images are resized.
    value_range : (low, high) or None
        Range of floating-point images whose data give none. None takes the range of another side if it holds the first batches, else the
        common range that does.
    seed : int
        Seed of random weights.
    cache : FeatureCache or None
        Cache of the features.
    progress : callable or None
        Called with a side and the number of its samples that were added.

    Raises
    ------
    UserError
        A side cannot be read, sides hold vectors and images, or a range is unknown and values lie outside of it.
    """
    formats = {side.argument: SampleFormat.of(side) for side in sides}
    vectors = are_vectors(formats)
    ranges = {} if vectors else infer_ranges(sides, formats, value_range)
    extract_features = make_extractor(features, vectors=vectors, size=size, seed=seed)
    rows = {}
    for side in sides:
        strict = side.value_range is None and len(set(ranges.values())) > 1
        batches = side if vectors else rescale_batches(side, ranges[side.argument], strict=strict)
        on_added = None if progress is None else lambda count, side=side: progress(side, count)
        rows[side.argument] = extract(batches, extract_features, cache=cache, progress=on_added)
    lengths = {argument: one.shape[1] for argument, one in rows.items()}
    if len(set(lengths.values())) > 1:
        all_of_them = " and ".join(f"{length} in {argument}" for argument, length in lengths.items())
        which = "both sides" if len(sides) == 2 else "all sides"
        rule = f"samples must have the same number of values on {which} for features {extract_features.name!r}"
        raise UserError(f"{rule}, got {all_of_them}")
    provenance = {
        "extractor": extract_features.provenance(),
        "ranges": {argument: list(one) for argument, one in ranges.items()},
        "seed": seed,
        "samples": {side.argument: side.report() for side in sides},
        "versions": package_versions(),
    }
    return Sides(rows, ranges, provenance)
