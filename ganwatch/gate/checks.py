"""Checks of a gate on features: two distances from held-out real samples, lost modes, and copies of training samples."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from ganwatch.core.errors import UserError
from ganwatch.gate.outcome import GateCheck, GateOutcome
from ganwatch.gate.paired import (
    MAX_NEEDED,
    MIN_SAMPLES,
    SAMPLES_PER_DIMENSION,
    Distances,
    PairedComparison,
    compare_distances,
    frechet_without_blocks,
    kernel_without_blocks,
)
from ganwatch.metrics.kmeans import assign, kmeans
from ganwatch.metrics.memorisation import COPY_QUANTILE, compare_to_training
from ganwatch.metrics.modes import MIN_REALS_PER_CLUSTER, modes_of

MAX_MODES = 50
"""Largest number of clusters of the real samples."""
MIN_COPIES_RATIO = 2.0
"""Share of copies, against that of the baseline and that of real samples, above which a candidate copies."""
MAX_NAMED = 5
"""Largest number of lost modes that a sentence names."""


@dataclass(frozen=True, slots=True)
class GateFeatures:
    """Features ``(N, D)`` of held-out reals, and ``(M, D)`` of candidate and baseline, from the same latents row by row if there are any.

    ``training`` has those of samples that the candidate was trained on, or is None.
    """

    real: Tensor
    candidate: Tensor
    baseline: Tensor
    training: Tensor | None = None


def run_checks(features: GateFeatures, *, margin: float = 0.05, level: float = 0.01, seed: int = 0) -> list[GateCheck]:
    """Run all checks.

    Parameters
    ----------
    features : GateFeatures
    margin : float, > 0
        Share of the baseline's distance by which the candidate may be worse.
    level : float in (0, 0.5)
        Probability that a candidate that is worse by the margin is called *not worse*; for each check, that one which is not is called
        *worse*.
    seed : int
        Seed of the clusters.

    Examples
    --------
    >>> import torch
    >>> draw = torch.Generator().manual_seed(0)
    >>> real, latents = torch.randn(400, 2, generator=draw), torch.randn(400, 2, generator=draw)
    >>> [str(check.outcome) for check in run_checks(GateFeatures(real, latents + 2.0, latents + 0.5))]
    ['worse', 'worse', 'worse', 'not checked']
    """
    counts = {"real": len(features.real), "candidate": len(features.candidate), "baseline": len(features.baseline)}
    fewest = min(counts, key=lambda name: counts[name])
    if counts[fewest] < MIN_SAMPLES:
        reason = f"every set must have at least {MIN_SAMPLES} samples for an interval that holds, and {fewest} has {counts[fewest]}"
        return [GateCheck(name, GateOutcome.INCONCLUSIVE, reason) for name in ("kernel", "frechet", "modes")]
    return [
        _check_distance("kernel", features, kernel_without_blocks, margin, level),
        _check_frechet(features, margin, level),
        _check_modes(features, level, seed),
        _check_copies(features, level, seed),
    ]


def _check_frechet(features: GateFeatures, margin: float, level: float) -> GateCheck:
    dim, few = features.real.shape[1], min(len(features.real), len(features.candidate))
    if few < SAMPLES_PER_DIMENSION * dim:
        reason = f"the Fréchet distance of {dim:,} features takes at least {SAMPLES_PER_DIMENSION * dim:,} samples of each set, and one has"
        return GateCheck("frechet", GateOutcome.NOT_CHECKED, f"{reason} {few:,}; the kernel distance decides")
    return _check_distance("frechet", features, frechet_without_blocks, margin, level)


def _check_distance(name: str, features: GateFeatures, distances: Distances, margin: float, level: float) -> GateCheck:
    try:
        found = compare_distances(features.real, features.candidate, features.baseline, distances, margin=margin, level=level)
    except UserError as error:
        return GateCheck(name, GateOutcome.INCONCLUSIVE, str(error))
    outcome = GateOutcome.INCONCLUSIVE
    if found.is_not_worse or found.is_worse:
        outcome = GateOutcome.NOT_WORSE if found.is_not_worse else GateOutcome.WORSE
    reason = _describe_distance(found)
    if outcome is GateOutcome.INCONCLUSIVE:
        reason += f"; {_describe_needed(found)}"
    return GateCheck(name, outcome, reason, found.as_dict())


def _describe_distance(found: PairedComparison) -> str:
    allowed = max(found.baseline, 0.0) * found.margin
    interval = f"difference {found.difference:+.4g}, {1 - 2 * found.level:.0%} interval {found.low:+.4g} to {found.high:+.4g}"
    return f"distance {found.candidate:.4g}, baseline {found.baseline:.4g}; {interval}; allowed {allowed:+.4g}"


def _describe_needed(found: PairedComparison) -> str:
    if found.needed_samples >= MAX_NEEDED:
        return "more samples would hardly tell"
    return f"about {float(f'{found.needed_samples:.2g}'):,.0f} samples of each set would tell"


def _check_modes(features: GateFeatures, level: float, seed: int) -> GateCheck:
    """Compare the shares of clusters of the reals, and find those that the baseline has and the candidate has lost."""
    centres = kmeans(features.real, max(2, min(MAX_MODES, len(features.real) // MIN_REALS_PER_CLUSTER)), seed=seed)
    modes = modes_of(assign(features.baseline, centres), assign(features.candidate, centres), level=level)
    shares = [{"mode": one.label, "baseline": one.expected, "candidate": one.observed, "p_value": one.p_value} for one in modes]
    lost = [one for one in modes if one.is_missing]
    if not lost:
        return GateCheck("modes", GateOutcome.NOT_WORSE, f"none of {len(modes)} modes is lost", {"modes": shares})
    named = ", ".join(f"mode {one.label} from {one.expected:.1%} to {one.observed:.1%}" for one in lost[:MAX_NAMED])
    more = f" and {len(lost) - MAX_NAMED} more" if len(lost) > MAX_NAMED else ""
    return GateCheck("modes", GateOutcome.WORSE, f"{len(lost)} of {len(modes)} modes are lost: {named}{more}", {"modes": shares})


def _check_copies(features: GateFeatures, level: float, seed: int) -> GateCheck:
    """Compare the shares of samples that lie nearer to a training sample than real ones do."""
    if features.training is None:
        return GateCheck("copies", GateOutcome.NOT_CHECKED, "copies need the training samples; give them with --training")
    from scipy.stats import fisher_exact

    counts = [
        (len(compare_to_training(features.training, features.real, rows, seed=seed).copies), len(rows))
        for rows in (features.candidate, features.baseline)
    ]
    shares = [count / total for count, total in counts]
    p_value = float(fisher_exact([[count, total - count] for count, total in counts], alternative="greater").pvalue)
    is_worse = p_value < level and shares[0] > MIN_COPIES_RATIO * max(COPY_QUANTILE, shares[1])
    reason = f"{shares[0]:.1%} are nearly training samples, baseline {shares[1]:.1%}, real samples {COPY_QUANTILE:.0%}"
    detail = {"candidate": shares[0], "baseline": shares[1], "real": COPY_QUANTILE, "p_value": p_value}
    return GateCheck("copies", GateOutcome.WORSE if is_worse else GateOutcome.NOT_WORSE, reason, detail)
