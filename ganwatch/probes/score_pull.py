"""Directions in which the two losses push the discriminator's scores, and the order that its own loss has brought them into."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ganwatch.capture.step import Call, StepView, Update, reduce_to_scores, sum_per_sample
from ganwatch.core.probe import Probe
from ganwatch.probes.discriminator import MAX_RANKED_SAMPLES, auc


MIN_GRADIENT_SHARE = 0.1
"""Smallest share of samples that must have a gradient; fewer may be the ones with a flipped label."""


class ScorePull(Probe):
    """Pull of D's loss on the scores of reals and fakes, of G's loss on those of its fakes, and the order of D's scores.

    Batches of unknown origin in D's phase count as the reals if there is one for each update and the fakes are known. Reals with a
    condition are left out, because a conditional D also learns to refuse them with a wrong one. Outputs with several channels and those of
    an auto-encoder are left out too, because they are neither high nor low. An optimizer that maximises its loss turns the pull round.
    """

    name = "score_pull"
    signals = ("score_pull", "score_order")
    every = 20
    needs_output_grads = True

    def __init__(self) -> None:
        self._maximizes: dict[str, bool] = {}

    def before_update(self, update: Update) -> None:
        self._maximizes[update.network] = update.maximizes

    def read(self, step: StepView) -> dict[str, Tensor]:
        scored = [call for call in step.calls if call.network == "d" and call.output_grad is not None]
        d_phase = [call for call in scored if not call.in_g_phase]
        d_phase = [call for call in d_phase if call.index == max(one.index for one in d_phase)]
        d_fake = _find_batch(d_phase, "fake")
        d_real = _find_batch(d_phase, "real", max_unknown=step.counts["updates_performed/d"] if d_fake else 0)
        g_fake = _find_batch([call for call in scored if call.in_g_phase], "fake", max_unknown=1)
        scores = [reduce_to_scores(call.output) if call is not None and _has_one_score(call) else None for call in (d_real, d_fake)]
        values = {}
        if scores[0] is not None and scores[1] is not None:
            values["score_order"] = 1.0 - 2.0 * auc(scores[0][:MAX_RANKED_SAMPLES], scores[1][:MAX_RANKED_SAMPLES])
        is_conditional = d_real is not None and len(d_real.inputs) > 1
        for label, call in (("d_real", None if is_conditional else d_real), ("d_fake", d_fake), ("g_fake", g_fake)):
            if call is not None and _has_one_score(call) and not call.has_several_backwards:
                assert call.output_grad is not None
                pull = measure_pull(call.output_grad)
                values[f"score_pull/{label}"] = -pull if self._maximizes.get(label[0]) else pull
        return values


def _find_batch(calls: Sequence[Call], origin: str, *, max_unknown: int = 0) -> Call | None:
    """Return the latest call on a batch of an origin, or else the latest one of unknown origin if there are no more of them than allowed."""
    known = [call for call in calls if call.origin == origin]
    unknown = [call for call in calls if call.origin == "unknown"]
    return known[-1] if known else unknown[-1] if 0 < len(unknown) <= max_unknown else None


def _has_one_score(call: Call) -> bool:
    """Return True if the output is one score for each sample or place, rather than classes, features or a reconstruction."""
    score = call.output
    return score.ndim == 1 or (score.ndim > 1 and score.shape[1] == 1 and (score[0].numel() == 1 or score.shape != call.inputs[0].shape))


def measure_pull(output_grad: Tensor) -> Tensor:
    """Return the direction in which descent pushes scores: the mean of its signs and that weighted by gradients, averaged.

    A few samples with a large gradient, such as flipped labels, decide the weighted mean alone, and many with a tiny one the other mean.
    Samples without a gradient, such as those beyond a margin, do not count.

    Parameters
    ----------
    output_grad : Tensor, shape (N, …)
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
    push = -sum_per_sample(output_grad)
    has_gradient = push.ne(0).sum()
    by_sign, by_gradient = push.sign().sum() / has_gradient.clamp_min(1), push.sum() / push.abs().sum().clamp_min(1e-38)
    return (by_sign + by_gradient) / 2.0 * (has_gradient >= MIN_GRADIENT_SHARE * len(push))
