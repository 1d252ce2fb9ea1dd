"""Directions in which the two losses push the discriminator's scores, and the order that its own loss has brought them into."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ganwatch.capture.step import Call, StepView, Update, has_one_score, reduce_to_scores, sum_per_sample
from ganwatch.core.probe import Probe
from ganwatch.probes.discriminator import MAX_RANKED_SAMPLES, auc
from ganwatch.probes.score_targets import compare_targets, fit_target

MIN_GRADIENT_SHARE = 0.1
"""Smallest share of samples that must have a gradient; fewer may be the ones with a flipped label."""

MAX_DISTANCE_RATIO = 100.0
"""Distance of a goal from the scores, in their standard deviations, from which it counts as infinite."""

MAX_LABEL_SPREAD = 0.05
"""Largest spread of the ratio of gradient and probability, relative to that of the probability, at which the two are proportional."""


class ScorePull(Probe):
    """Pull of D's loss on the scores of reals and fakes, of G's loss on those of its fakes, and the order of D's scores.

    Batches of unknown origin in D's phase count as the reals if there is one for each update and the fakes are known. Reals with a
    condition are left out, because a conditional D also learns to refuse them with a wrong one. Outputs with several channels and those of
    an auto-encoder are left out too, because they are neither high nor low. A loss that is not finite asks for nothing. Least
    squares pull towards their targets, wherever the scores are: these are compared. An optimizer that maximises its loss turns the pull
    round.
    """

    name = "score_pull"
    signals = ("score_pull", "score_order")
    every = 20
    early_every = 5
    is_paced = True
    needs_output_grads = True

    def __init__(self) -> None:
        self._maximizes = {"d": False, "g": False}

    def before_update(self, update: Update) -> None:
        self._maximizes[update.network] = update.maximizes

    def read(self, step: StepView) -> dict[str, Tensor]:
        scored = [call for call in step.calls if call.network == "d" and call.output_grad is not None]
        d_phase = [call for call in scored if not call.in_g_phase]
        d_phase = [call for call in d_phase if call.index == max(one.index for one in d_phase)]
        d_fake = _find_batch(d_phase, "fake")
        d_real = _find_batch(d_phase, "real", max_unknown=step.counts["updates_performed/d"] if d_fake else 0)
        g_fake = _find_batch([call for call in scored if call.in_g_phase], "fake", max_unknown=1)
        calls = {"d_real": d_real, "d_fake": d_fake, "g_fake": g_fake}
        usable = {label: call for label, call in calls.items() if call and has_one_score(call) and not call.has_several_backwards}
        gradients = {name: _gradient(call, maximizes=self._maximizes[name[0]]) for name, call in usable.items()}
        values = {f"score_pull/{name}": measure_pull(sum_per_sample(gradient)) for name, gradient in gradients.items()}
        if {"d_real", "d_fake"} <= set(usable):
            real, fake = usable["d_real"], usable["d_fake"]
            scores = [_scores(call)[:MAX_RANKED_SAMPLES] for call in (real, fake)]
            certainty = _compare_goals(real, fake)
            values["score_pull/d_fake"] = values["score_pull/d_fake"] * certainty
            values["score_order"] = (1.0 - 2.0 * auc(*scores)) * certainty
            targets = {name: fit_target(call.output.flatten(), gradients[name].flatten()) for name, call in usable.items()}
            for name, direction in compare_targets(targets).items():
                pull = values[f"score_pull/{name}"]
                values[f"score_pull/{name}"] = torch.where(direction.isnan(), pull, direction.to(pull))
            if len(real.inputs) > 1:
                del values["score_pull/d_real"]
        is_sound = {role: torch.isfinite(loss) for role, loss in step.losses.items()}
        return {name: value * is_sound.get("g" if name == "score_pull/g_fake" else "d", 1.0) for name, value in values.items()}


def _find_batch(calls: Sequence[Call], origin: str, *, max_unknown: int = 0) -> Call | None:
    """Return the latest call on a batch of an origin, or else the latest of unknown origin if there are no more of them than allowed."""
    known = [call for call in calls if call.origin == origin]
    unknown = [call for call in calls if call.origin == "unknown"]
    return known[-1] if known else unknown[-1] if 0 < len(unknown) <= max_unknown else None


def _gradient(call: Call, *, maximizes: bool = False) -> Tensor:
    """Return the gradient at each output that the optimizer descends, shape (N, …)."""
    assert call.output_grad is not None
    return -call.output_grad if maximizes else call.output_grad


def _compare_goals(real: Call, fake: Call) -> Tensor:
    """Return 1 if the directions of D's loss on reals and fakes show what it asks for.

    Before D has learned anything, a least squares loss may raise all scores, towards a near target and a far one. Then the result is the
    ratio of the distances.
    """
    (real_goal, real_pull), (fake_goal, fake_pull) = (
        (_measure_distance(call), sum_per_sample(_gradient(call)).mean()) for call in (real, fake)
    )
    farthest = MAX_DISTANCE_RATIO * (_scores(real).std(correction=0) + _scores(fake).std(correction=0))
    near, far = torch.minimum(real_goal, fake_goal), torch.minimum(torch.maximum(real_goal, fake_goal), farthest).clamp_min(1e-30)
    return torch.where(real_pull * fake_pull > 0, (near / far).clamp_max(1.0), 1.0)


def _measure_distance(call: Call) -> Tensor:
    """Return the distance from the mean score to where the gradient is zero: infinite for a label of 0 or 1 of a cross-entropy.

    Other gradients are taken to go on as a line.
    """
    score, gradient = _scores(call), sum_per_sample(_gradient(call))
    deviation = score - score.mean()
    slope = (deviation * gradient).sum() / deviation.square().sum().clamp_min(1e-30)
    is_endless = (slope <= 0) | _has_hard_label(call)
    return torch.where(is_endless, torch.inf, gradient.mean().abs() / slope)


def _has_hard_label(call: Call) -> Tensor:
    """Return True if the gradient is that of a cross-entropy with a label of 0 or 1: proportional to the probability of the other one."""
    score, gradient = call.output.flatten().float(), _gradient(call).flatten().float()
    probability = torch.sigmoid(score * gradient.sum().sign())
    ratio = gradient / probability.clamp_min(1e-30)
    spread, usual = (values.std(correction=0) / values.mean().abs().clamp_min(1e-30) for values in (ratio, probability))
    return spread < MAX_LABEL_SPREAD * usual


def _scores(call: Call) -> Tensor:
    scores = reduce_to_scores(call.output)
    assert scores is not None
    return scores


def measure_pull(gradient: Tensor) -> Tensor:
    """Return the direction in which descent pushes scores: the mean of its signs and that weighted by gradients, averaged.

    A few samples with a large gradient, such as flipped labels, decide the weighted mean alone, and many with a tiny one the other mean.
    Samples without a gradient, such as those beyond a margin, do not count.

    Parameters
    ----------
    gradient : Tensor, shape (N,)
        Gradient of the loss at the scores.

    Returns
    -------
    Tensor, shape (), in [-1, 1]
        1 if every score is raised, -1 if every one is lowered, 0 if fewer than a tenth of the samples have a gradient.

    Examples
    --------
    >>> measure_pull(torch.tensor([-3.0, -1.0, -2.0, 2.0, 0.0]))
    tensor(0.5000)
    """
    push = -gradient
    has_gradient = push.ne(0).sum()
    by_sign, by_gradient = push.sign().sum() / has_gradient.clamp_min(1), push.sum() / push.abs().sum().clamp_min(1e-38)
    return (by_sign + by_gradient) / 2.0 * (has_gradient >= MIN_GRADIENT_SHARE * len(push))
