"""How near generated samples come to real ones: one extractor for both sides, then every measure on the same features."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from ganwatch.core.errors import UserError
from ganwatch.core.provenance import versions
from ganwatch.data.sides import Kind, Side, both_vectors, in_range, ranges_of
from ganwatch.features.cache import FeatureCache
from ganwatch.features.extraction import extract
from ganwatch.features.registry import Named, extractor
from ganwatch.metrics.coverage import PARTS, Precision
from ganwatch.metrics.estimate import Estimate
from ganwatch.metrics.frechet import ENOUGH, FrechetDistance
from ganwatch.metrics.kernel import KernelDistance
from ganwatch.metrics.vendi import VendiRatio

MEASURES = ("frechet", "kernel", *PARTS, "vendi_ratio")
LEAST = 10
"""Samples that every measure may keep."""


@dataclass(frozen=True, slots=True)
class Score:
    """Every measure by name, and what it takes to measure the same again."""

    estimates: dict[str, Estimate]
    provenance: dict[str, Any]

    def as_dict(self) -> dict[str, Any]:
        """Plain types for JSON."""
        return {name: estimate.as_dict() for name, estimate in self.estimates.items()} | {"provenance": self.provenance}


def score(
    real: Side,
    fake: Side,
    *,
    features: Named = None,
    size: int | None = None,
    values: tuple[float, float] | None = None,
    seed: int = 0,
    cache: FeatureCache | None = None,
    progress: Callable[[Side, int], None] | None = None,
) -> Score:
    """Score generated samples.

    Parameters
    ----------
    real, fake : Samples or Generated
        The two sides.
    features : str, callable or None
        Which extractor, see ``ganwatch.features.registry.extractor``.
    size : int or None, pixels
        Side to which images are resized.
    values : (low, high) or None
        Range of floating-point images whose data do not say it. None takes that of the other side, or else the usual range, that holds
        the first batches.
    seed : int
        Of random weights and subsamples.
    cache : FeatureCache or None
        Where features are kept.
    progress : callable or None
        Told a side and how many samples of it were added.

    Raises
    ------
    UserError
        A side cannot be read, the sides differ in kind, or a range is not known and values lie outside of it.
    """
    kinds = {side.argument: Kind.of(side) for side in (real, fake)}
    vectors = both_vectors(kinds)
    ranges = {} if vectors else ranges_of((real, fake), kinds, values)
    extract_features = extractor(features, vectors=vectors, size=size, seed=seed)
    rows = {}
    for side in (real, fake):
        strict = side.values is None and len(set(ranges.values())) > 1
        checked = side if vectors else in_range(side, ranges[side.argument], strict=strict)
        told = None if progress is None else lambda count, side=side: progress(side, count)
        rows[side.argument] = extract(checked, extract_features, cache=cache, progress=told)
    first, second = rows.values()
    if first.shape[1] != second.shape[1]:
        both = f"{first.shape[1]} in {real.argument} and {second.shape[1]} in {fake.argument}"
        raise UserError(f"samples must have the same number of values on both sides for features {extract_features.name!r}, got {both}")
    provenance = {
        "extractor": extract_features.provenance(),
        "ranges": {argument: list(found) for argument, found in ranges.items()},
        "seed": seed,
        "samples": {side.argument: side.report() for side in (real, fake)},
        "versions": versions(),
    }
    found = measure(first, second, seed=seed)
    return Score(found, provenance | {"notes": notes(rows, found)})


def notes(rows: dict[str, Tensor], found: dict[str, Estimate]) -> list[str]:
    """What stands in the way of a measure, a sentence each, from the features ``(N, D)`` of the two sides by name."""
    (real, first), (fake, second) = rows.items()
    fewest = min(rows, key=lambda side: len(rows[side]))
    said = [f"All samples of {side} have the same features." for side, own in rows.items() if len(own) > 1 and bool((own == own[0]).all())]
    known = {row.tobytes() for row in first.numpy()}
    shared = sum(row.tobytes() in known for row in second.numpy())
    if shared and not said:
        what = "intervals and real against real hold for independent ones"
        said.append(f"{real} and {fake} share {shared:,} of {len(second):,} samples; {what}.")
    few = f"{fewest} has too few samples, {len(rows[fewest]):,}"
    without = {name: [part for part in ("value", "low", "null") if math.isnan(getattr(one, part))] for name, one in found.items()}
    for part, what in {"value": "The value", "low": "The interval"}.items():
        unknown = [name for name, parts in without.items() if parts[:1] == [part]]
        said += [f"{what} of {', '.join(unknown)} is unknown: {few}."] * bool(unknown)
    if without["frechet"] == ["null"]:
        wanted = f"{2 * first.shape[1]:,} samples of each side, or {ENOUGH} times as many of {real} as of {fake}"
        said.append(f"What two real samples would give is unknown of frechet: that takes {wanted}.")
    return said


def measure(real: Tensor, fake: Tensor, *, seed: int = 0) -> dict[str, Estimate]:
    """Every measure on features ``(N, D)`` and ``(M, D)``."""
    size = max(len(real), len(fake), LEAST)
    metrics = {
        "frechet": FrechetDistance(seed=seed, reservoir=size),
        "kernel": KernelDistance(seed=seed, reservoir=size),
        "precision": Precision(seed=seed, reservoir=size),
        "vendi_ratio": VendiRatio(seed=seed),
    }
    for metric in metrics.values():
        metric.update(real, real=True)
        metric.update(fake, real=False)
    found = {name: metric.estimate() for name, metric in metrics.items() if not isinstance(metric, Precision)}
    neighbours = metrics["precision"]
    assert isinstance(neighbours, Precision)
    found |= neighbours.estimates()
    return {name: found[name] for name in MEASURES}
