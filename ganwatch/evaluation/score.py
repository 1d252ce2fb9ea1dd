"""Distance of generated samples from real ones: one extractor for both sides, then every measure on the same features."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from ganwatch.data.sample_format import SampleStream
from ganwatch.evaluation.sides import extract_sides
from ganwatch.features.cache import FeatureCache
from ganwatch.features.registry import ExtractorSpec
from ganwatch.metrics.coverage import NEIGHBOURHOOD_METRICS, Precision
from ganwatch.metrics.estimate import Estimate
from ganwatch.metrics.frechet import MIN_REALS_PER_FAKE, FrechetDistance
from ganwatch.metrics.kernel import KernelDistance
from ganwatch.metrics.vendi import VendiRatio

MEASURES = ("frechet", "kernel", *NEIGHBOURHOOD_METRICS, "vendi_ratio")
MIN_RESERVOIR = 10
"""Samples that every measure may keep, even where the sides have fewer."""


@dataclass(frozen=True, slots=True)
class Score:
    """Every measure by name, and the facts that reproduce it."""

    estimates: dict[str, Estimate]
    provenance: dict[str, Any]

    def as_dict(self) -> dict[str, Any]:
        """Return plain types for JSON."""
        return {name: estimate.as_dict() for name, estimate in self.estimates.items()} | {"provenance": self.provenance}


def score(
    real: SampleStream,
    fake: SampleStream,
    *,
    features: ExtractorSpec = None,
    size: int | None = None,
    value_range: tuple[float, float] | None = None,
    seed: int = 0,
    cache: FeatureCache | None = None,
    progress: Callable[[SampleStream, int], None] | None = None,
) -> Score:
    """Score generated samples.

    Parameters
    ----------
    real, fake : SampleStream
        The two sides.
    features, size, value_range, cache, progress
        As for ``ganwatch.evaluation.sides.extract_sides``.
    seed : int
        Seed of random weights and subsamples.

    Raises
    ------
    UserError
        A side cannot be read, one side holds vectors and the other images, or a range is unknown and values lie outside of it.
    """
    sides = extract_sides(
        (real, fake), features=features, size=size, value_range=value_range, seed=seed, cache=cache, progress=progress
    )
    first, second = sides.features.values()
    estimates = estimate_measures(first, second, seed=seed)
    return Score(estimates, sides.provenance | {"notes": explain_gaps(sides.features, estimates)})


def explain_gaps(rows: dict[str, Tensor], estimates: dict[str, Estimate]) -> list[str]:
    """Explain, a sentence each, what a measure lacks, from the features ``(N, D)`` of the two sides by name."""
    (real, first), (fake, second) = rows.items()
    fewest = min(rows, key=lambda side: len(rows[side]))
    sentences = [
        f"All samples of {side} have the same features." for side, own in rows.items() if len(own) > 1 and bool((own == own[0]).all())
    ]
    known = {row.tobytes() for row in first.numpy()}
    shared = sum(row.tobytes() in known for row in second.numpy())
    if shared and not sentences:
        what = "intervals and real against real hold for independent samples only"
        sentences.append(f"{real} and {fake} share {shared:,} of {len(second):,} samples; {what}.")
    few = f"{fewest} has too few samples, {len(rows[fewest]):,}"
    without = {name: [part for part in ("value", "low", "null") if math.isnan(getattr(one, part))] for name, one in estimates.items()}
    for part, what in {"value": "The value", "low": "The interval"}.items():
        unknown = [name for name, parts in without.items() if parts[:1] == [part]]
        sentences += [f"{what} of {', '.join(unknown)} is unknown: {few}."] * bool(unknown)
    if without["frechet"] == ["null"]:
        needed = f"{2 * first.shape[1]:,} samples of each side, or {MIN_REALS_PER_FAKE} times as many of {real} as of {fake}"
        sentences.append(f"Real against real is unknown for frechet: it takes {needed}.")
    return sentences


def estimate_measures(real: Tensor, fake: Tensor, *, seed: int = 0) -> dict[str, Estimate]:
    """Estimate every measure on features ``(N, D)`` and ``(M, D)``."""
    size = max(len(real), len(fake), MIN_RESERVOIR)
    metrics = {
        "frechet": FrechetDistance(seed=seed, reservoir=size),
        "kernel": KernelDistance(seed=seed, reservoir=size),
        "precision": Precision(seed=seed, reservoir=size),
        "vendi_ratio": VendiRatio(seed=seed),
    }
    for metric in metrics.values():
        metric.update(real, real=True)
        metric.update(fake, real=False)
    estimates = {name: metric.estimate() for name, metric in metrics.items() if not isinstance(metric, Precision)}
    neighbours = metrics["precision"]
    assert isinstance(neighbours, Precision)
    estimates |= neighbours.estimates()
    return {name: estimates[name] for name in MEASURES}
