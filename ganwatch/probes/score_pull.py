"""Directions in which the two losses push the discriminator's scores."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ganwatch.capture.step import Call, StepView, Update, sum_per_sample
from ganwatch.core.probe import Probe


MIN_GRADIENT_SHARE = 0.1
"""Smallest share of samples that must have a gradient; fewer may be the ones with a flipped label."""


class ScorePull(Probe):
    """Pull of D's loss on the scores of reals and fakes, and of G's loss on those of its fakes.

    Batches of unknown origin in D's phase count as the reals if there is one for each update and the fakes are known. Reals with a
    condition are left out, because a conditional D also learns to refuse them with a wrong one. Outputs with several channels and those of
    an auto-encoder are left out too, because they are neither high nor low. An optimizer that maximises its loss turns the pull round.
    """

    name = "score_pull"
    signals = ("score_pull",)
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
        values = {}
        for label, call in (("d_real", d_real), ("d_fake", d_fake), ("g_fake", g_fake)):
            if call is not None and _has_one_score(call) and not call.has_several_backwards and (label != "d_real" or len(call.inputs) == 1):
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
    """Return the direction in which descent pushes scores: the mean of its signs, or that weighted by gradients, whichever is nearer to 0.

    A few samples with a large gradient, such as flipped labels, decide the weighted mean alone, and many with a tiny one the other mean.
    If the two contradict each other the pull is 0. Samples without a gradient, such as those beyond a margin, do not count.

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
    >>> measure_pull(torch.tensor([-1.0, -1.0, -1.0, 1.0, 0.0]))
    tensor(0.5000)
    """
    push = -sum_per_sample(output_grad)
    signs, has_gradient = push.sign(), push.ne(0).sum()
    by_sign, by_gradient = signs.sum() / has_gradient.clamp_min(1), push.sum() / push.abs().sum().clamp_min(1e-38)
    pull = torch.minimum(by_sign.abs(), by_gradient.abs()) * (by_sign.sign() + by_gradient.sign()) / 2.0
    return pull * (has_gradient >= MIN_GRADIENT_SHARE * len(push))
