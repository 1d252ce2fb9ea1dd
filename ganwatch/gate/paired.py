"""Paired comparison of two distances from the same real data, with an interval from a jackknife over blocks of samples."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ganwatch.core.errors import UserError
from ganwatch.metrics.frechet import FrechetReference
from ganwatch.metrics.kernel import kernel_distances
from ganwatch.metrics.moments import Moments

BLOCKS = 40
"""Blocks of samples, each left out once."""
MIN_SAMPLES = 100
"""Samples of each set, at least; of fewer, the intervals are too short."""
SAMPLES_PER_DIMENSION = 2
"""Samples per feature from which the bias of the Fréchet distance is nearly proportional to one over their number."""

MAX_NEEDED = 1_000_000
"""Samples beyond which no number is given."""

Distances = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Features ``(N, D)``, ``(M, D)`` and a block number per row to distances without each block, and at last of all samples."""


@dataclass(frozen=True, slots=True)
class PairedComparison:
    """Distances of a candidate and a baseline from the same reals, and how sure their difference is.

    Attributes
    ----------
    candidate, baseline : float
        Distances, corrected for the bias of a finite sample.
    difference, low, high : float
        Candidate minus baseline, with its interval at ``level`` on either side.
    excess_low, excess_high : float
        The same interval of the candidate minus ``1 + margin`` times the baseline.
    level : float
        Probability that the true value lies below the interval; the same above it.
    margin : float
        Share of the baseline's distance by which the candidate may be worse.
    samples : int
        Samples of the smaller set.
    """

    candidate: float
    baseline: float
    difference: float
    low: float
    high: float
    excess_low: float
    excess_high: float
    level: float
    margin: float
    samples: int

    @property
    def is_not_worse(self) -> bool:
        """True if the candidate is surely not worse by more than the margin, or surely not worse at all, as no distance is below 0."""
        return self.excess_high < 0.0 or self.high <= 0.0

    @property
    def is_worse(self) -> bool:
        """True if the candidate is surely worse by more than the margin."""
        return self.excess_low > 0.0

    @property
    def needed_samples(self) -> int:
        """Samples of the smaller set with which such a difference would be sure; intervals shrink with the root of the number."""
        excess, width = abs(self.excess_low + self.excess_high) / 2.0, (self.excess_high - self.excess_low) / 2.0
        return math.ceil(min(self.samples * (width / max(excess, 1e-6 * width)) ** 2, MAX_NEEDED)) if width > 0.0 else self.samples

    def as_dict(self) -> dict[str, Any]:
        """Return plain types for JSON."""
        interval = {"value": self.difference, "low": self.low, "high": self.high}
        excess = {"low": self.excess_low, "high": self.excess_high}
        return {"candidate": self.candidate, "baseline": self.baseline, "difference": interval, "excess_over_margin": excess}


def compare_distances(
    real: Tensor, candidate: Tensor, baseline: Tensor, distances: Distances, *, margin: float, level: float
) -> PairedComparison:
    """Compare the distances of two sets of generated samples from the same real samples.

    Real samples and pairs of generated ones are divided into 40 blocks each. The distances without block k of both, for each k, give the
    bias and the variance of the distances and of their difference (Künsch, "The jackknife and the bootstrap for general stationary
    observations", 1989; Efron and Stein, 1981). Rows of ``candidate`` and ``baseline`` that come from one latent vary together, which
    makes the interval of their difference short.

    Parameters
    ----------
    real : Tensor ``(N, D)``
        Features of real samples that neither was trained on.
    candidate, baseline : Tensor ``(M, D)``
        Features of generated samples, row by row from the same latents if there are latents.
    distances : callable
        ``kernel_without_blocks`` or ``frechet_without_blocks``.
    margin : float, > 0
        Share of the baseline's distance.
    level : float in (0, 0.5)
        Probability of calling a candidate *not worse* whose distance is larger by exactly the margin.

    Raises
    ------
    UserError
        The sets have fewer than 100 samples, candidate and baseline do not have the same number, or a distance is not finite.

    Examples
    --------
    >>> draw = torch.Generator().manual_seed(0)
    >>> real, latents = (torch.randn(1000, 2, generator=draw) for _ in range(2))
    >>> compare = lambda shift: compare_distances(
    ...     real, latents + shift, latents + 0.5, frechet_without_blocks, margin=0.05, level=0.01)
    >>> compare(0.45).is_not_worse, compare(0.6).is_worse
    (True, True)
    """
    if len(candidate) != len(baseline):
        raise UserError(f"candidate and baseline must have the same number of samples, got {len(candidate):,} and {len(baseline):,}")
    if min(len(real), len(candidate)) < MIN_SAMPLES:
        raise UserError(f"every set must have >= {MIN_SAMPLES} samples, got {len(real):,} real and {len(candidate):,} generated")
    of_real, of_fake = (torch.arange(len(rows), device=rows.device) % BLOCKS for rows in (real, candidate))
    both = torch.stack([distances(real, rows, torch.cat([of_real, of_fake])) for rows in (candidate, baseline)])
    weights = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, -1.0], [1.0, -1.0 - margin]], dtype=both.dtype)
    combined = weights @ both.cpu()
    without, whole = combined[:, :BLOCKS], combined[:, BLOCKS:]
    values = (BLOCKS * whole - (BLOCKS - 1) * without.mean(1, keepdim=True))[:, 0].tolist()
    errors = ((BLOCKS - 1) * without.var(1, correction=0)).sqrt()
    if not bool(torch.isfinite(errors).all()):
        raise UserError("features must be small enough for their distances, got distances that are not finite")
    difference, excess = (_t_quantile(level) * errors[2:]).tolist()
    return PairedComparison(
        candidate=values[0],
        baseline=values[1],
        difference=values[2],
        low=values[2] - difference,
        high=values[2] + difference,
        excess_low=values[3] - excess,
        excess_high=values[3] + excess,
        level=level,
        margin=margin,
        samples=min(len(real), len(candidate)),
    )


def kernel_without_blocks(real: Tensor, fake: Tensor, blocks: Tensor) -> Tensor:
    """Return the unbiased kernel distance (KID) without each block, and of all samples: ``(BLOCKS + 1,)``."""
    is_member = torch.cat([blocks[:, None] != torch.arange(BLOCKS, device=blocks.device), torch.ones_like(blocks[:, None]).bool()], dim=1)
    return kernel_distances(real, fake, is_member[: len(real)], is_member[len(real) :])


def frechet_without_blocks(real: Tensor, fake: Tensor, blocks: Tensor) -> Tensor:
    """Return the Fréchet distance without each block, and of all samples: ``(BLOCKS + 1,)``."""
    of_real, of_fake = blocks[: len(real)], blocks[len(real) :]
    values = []
    for block in range(BLOCKS + 1):  # no row has the number of the last one
        moments = [Moments.from_batches(rows[of != block]) for rows, of in ((real, of_real), (fake, of_fake))]
        values.append(FrechetReference(moments[0]).distance(moments[1]))
    return torch.tensor(values, dtype=torch.float64)


def _t_quantile(level: float) -> float:
    from scipy.stats import t

    return float(t.isf(level, BLOCKS - 1))
