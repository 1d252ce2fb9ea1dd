"""Comparison of a candidate with a baseline, from samples of both and held-out real samples."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from torch import Tensor

from ganwatch.checkpoints.durable import hash_file
from ganwatch.core.errors import UserError
from ganwatch.data.sample_format import SampleStream
from ganwatch.evaluation.sides import Sides
from ganwatch.gate.checks import GateFeatures, run_checks
from ganwatch.gate.outcome import FAILURE_CONDITION, SUCCESS_CONDITION, GateCheck, GateOutcome, combine_outcomes

CANDIDATE, BASELINE, REAL, TRAINING = "CANDIDATE", "BASELINE", "--real", "--training"
"""Names of the sides."""
SHOWN_SAMPLES = 24
"""Samples of each generator on the page."""


@dataclass(frozen=True, slots=True)
class GateResult:
    """Outcome of a gate with its checks.

    Attributes
    ----------
    outcome : GateOutcome
    checks : tuple of GateCheck
    margin, level : float
    pairing : str
        ``latents`` if both drew from the same latents; else ``none``.
    samples : mapping of str to Tensor
        A few samples of each side, for the page.
    ranges : mapping of str to (low, high)
        Value range of the images of each side.
    provenance : mapping
        All that is needed to measure the same again.
    """

    outcome: GateOutcome
    checks: tuple[GateCheck, ...]
    margin: float
    level: float
    pairing: str
    samples: dict[str, list[Tensor]] = field(repr=False)
    ranges: dict[str, tuple[float, float]]
    provenance: dict[str, Any] = field(repr=False)

    def as_dict(self) -> dict[str, Any]:
        """Return plain types for JSON, with the conditions of Argo Rollouts' web metric."""
        return {
            "outcome": self.outcome.value,
            "margin": self.margin,
            "level": self.level,
            "pairing": self.pairing,
            "checks": [check.as_dict() for check in self.checks],
            "successCondition": SUCCESS_CONDITION,
            "failureCondition": FAILURE_CONDITION,
            "provenance": self.provenance,
        }


def compare_versions(
    sides: Sequence[SampleStream],
    extract: Callable[[Sequence[SampleStream]], Sides],
    *,
    margin: float = 0.05,
    level: float = 0.01,
    seed: int = 0,
) -> GateResult:
    """Compare a candidate with a baseline.

    Parameters
    ----------
    sides : sequence of SampleStream
        Streams whose ``argument`` is ``CANDIDATE``, ``BASELINE``, ``--real`` and, if copies are to be found, ``--training``.
    extract : callable
        Features of all of them by one extractor.
    margin, level, seed
        As for ``run_checks``.

    Raises
    ------
    UserError
        An argument breaks a rule, or a side cannot be read.
    """
    if not (math.isfinite(margin) and margin > 0.0):
        raise UserError(f"margin must be > 0 (share of the baseline's distance), got {margin:g}")
    if not 0.0 < level < 0.5:
        raise UserError(f"level must be in (0, 0.5), got {level:g}")
    found = extract(sides)
    rows = found.features
    fewest = min(len(rows[CANDIDATE]), len(rows[BASELINE]))
    features = GateFeatures(rows[REAL], rows[CANDIDATE][:fewest], rows[BASELINE][:fewest], rows.get(TRAINING))
    checks = tuple(run_checks(features, margin=margin, level=level, seed=seed))
    streams = {side.argument: side for side in sides}
    is_paired = all(getattr(streams[side], "has_latents", False) for side in (CANDIDATE, BASELINE))
    samples = {side: _first_samples(streams[side]) for side in (CANDIDATE, BASELINE, REAL)}
    hashes = {side: digest for side, stream in streams.items() if (digest := _hash_file(stream.name))}
    return GateResult(
        combine_outcomes(checks),
        checks,
        margin,
        level,
        "latents" if is_paired else "none",
        samples,
        found.ranges,
        found.provenance | {"sha256": hashes},
    )


def _first_samples(stream: SampleStream) -> list[Tensor]:
    """Return the first samples of a stream; of vectors, a whole batch."""
    first = next(iter(stream))
    return list(first if first[0].ndim == 1 else islice(first, SHOWN_SAMPLES))


def _hash_file(name: str) -> str | None:
    """Return the SHA-256 of a file; None if the name is none of a file."""
    return hash_file(Path(name))[1] if Path(name).is_file() else None
