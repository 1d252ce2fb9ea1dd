"""Adds the effects of an optimizer's step to the record of the step that is going on."""

from __future__ import annotations

from ganwatch.capture.attribution.update_attribution import OptimizerStep
from ganwatch.capture.step import Step


def add_effects(step: Step, done: OptimizerStep, last_updates: dict[str, int]) -> None:
    """Add counts, losses and learning rates, and note in ``last_updates`` the step in which each network was updated."""
    for role in done.attempted:
        step.counts[f"updates_attempted/{role}"] += 1
        if done.is_skipped:
            step.counts[f"updates_skipped/{role}"] += 1
    for role in done.similar_roles:
        series = f"lookalike_updates/{role}"
        step.wiring[series] = step.wiring.get(series, 0.0) + 1.0
    if done.late_d_loss is not None and "d" in step.losses:
        step.losses["d"] = step.losses["d"] + done.late_d_loss
    for one in done.applied:
        role = one.owned.role
        step.counts[f"updates_performed/{role}"] += 1
        last_updates[role] = step.index
        if one.loss is not None:
            step.losses[role if one.kind.is_comparable else one.network] = one.loss
        if one.learning_rate is not None:
            step.learning_rates[role] = one.learning_rate
