"""Readings of one evaluation of quality, from samples and features alone."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ganwatch.core.errors import UserError

if TYPE_CHECKING:
    from ganwatch.evaluation.reference import Reference
    from ganwatch.probes.quality_reals import RealFeatures

MIN_DISTINCT_REALS = 8
"""Different training samples below which copies of them are no finding."""


def read_comparison(reference: Reference, fake: Tensor) -> dict[str, float]:
    """Return distances and neighbourhoods of generated features; the distances come with their standard errors."""
    values: dict[str, float] = {}
    for name, compared in reference.compare(fake).items():
        values[name] = compared.value
        if name in {"frechet", "kernel_distance"}:
            values[f"{name}_error"] = compared.error
    return values


def read_conditioning(reference: Reference, fake: Tensor, requested: Tensor | None) -> dict[str, float]:
    """Return agreement with the requested labels and distances within labels; nothing if either side has no labels."""
    if requested is None or reference.labels is None:
        return {}
    requested = requested.cpu()
    values: dict[str, float] = {}
    for side, share in reference.label_agreement(fake, requested).items():
        values |= {f"label_agreement/{side}": share.value, f"label_agreement_error/{side}": share.error}
    distances = reference.label_distances(fake, requested)
    return values | {f"label_distance/{label}": distance for label, distance in distances.items() if math.isfinite(distance)}


def read_groups(labels: Tensor, targets: Mapping[int, float]) -> dict[str, float]:
    """Return the share of each target label among generated samples, and the number of shares off target."""
    from ganwatch.metrics.shares import group_shares

    groups = group_shares(labels, targets)
    values = {f"group_share/{each.group}": each.share for each in groups}
    return values | {"groups_off_target": float(sum(not each.is_met for each in groups))}


def read_memorisation(reals: RealFeatures, fake: Tensor) -> dict[str, float]:
    """Return how much nearer generated samples are to training reals than to held-out ones; nothing without held-out reals."""
    if reals.heldout is None:
        return {}
    from ganwatch.metrics.memorisation import compare_to_training, training_proximity

    training = torch.unique(reals.features, dim=0)
    if len(training) < MIN_DISTINCT_REALS:
        return {}
    share, error = training_proximity(training, reals.heldout, fake)
    return {"memorisation": share, "memorisation_error": error, "copy_share": compare_to_training(training, reals.heldout, fake).share}


def read_kinds(reals: RealFeatures) -> dict[str, float]:
    """Return how many held-out reals are of kinds that the training reals lack; nothing without held-out reals."""
    if reals.heldout is None:
        return {}
    from ganwatch.metrics.mismatch import compare_kinds

    if min(len(torch.unique(one, dim=0)) for one in (reals.features, reals.heldout)) < MIN_DISTINCT_REALS:
        return {}
    kinds = compare_kinds(reals.features, reals.heldout)
    return {"heldout_far": kinds.far_share, "heldout_far_error": kinds.error, "heldout_lacking": kinds.lacking_share}


def read_measure(measure: Any, samples: Tensor) -> dict[str, float]:
    """Return an own measure of generated samples and its standard error."""
    measure.reset()
    measure.update(samples, real=False)
    estimate = measure.estimate()
    family = {True: "score", False: "cost", None: "measure"}[measure.higher_is_better]
    return {f"{family}/{measure.name}": estimate.value, f"measure_error/{measure.name}": (estimate.high - estimate.low) / 4.0}


def classify_samples(classify: Callable[[Tensor], Any], samples: Tensor) -> Tensor:
    """Return the label of each sample by a classifier of the user's.

    Raises
    ------
    UserError
        The classifier does not return one integer a sample.
    """
    labels = torch.as_tensor(classify(samples))
    if labels.is_floating_point() or labels.shape != (len(samples),):
        raise UserError(f"classify must return one integer a sample, ({len(samples)},), got {labels.dtype} of shape {tuple(labels.shape)}")
    return labels.long().cpu()
