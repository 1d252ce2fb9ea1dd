"""Directions in which the two losses push the discriminator's scores."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ganwatch.capture.step import Call, StepView, Update, sum_per_sample
from ganwatch.core.probe import Probe


class ScorePull(Probe):
    """Pull of D's loss on the scores of reals and fakes, and of G's loss on those of its fakes.

    A batch of D's phase whose origin is unknown counts as the reals if it is the only one beside known fakes. Scores with several channels
    are left out, and so is an auto-encoder's output: neither is high or low. An optimizer that maximises its loss turns the pull round.
    """

    name = "score_pull"
    signals = ("score_pull",)
    every = 20
    needs_output_grads = True

    def __init__(self) -> None:
        self._maximizes = {"d": False, "g": False}

    def before_update(self, update: Update) -> None:
        self._maximizes[update.network] = update.maximizes

    def read(self, step: StepView) -> dict[str, Tensor]:
        pushed = [call for call in step.calls if call.network == "d" and call.output_grad is not None]
        d_phase = [call for call in pushed if not call.in_g_phase]
        d_phase = [call for call in d_phase if call.index == max(one.index for one in d_phase)]
        d_fake = _find_batch(d_phase, "fake")
        d_real = _find_batch(d_phase, "real", or_unknown=d_fake is not None)
        g_fake = _find_batch([call for call in pushed if call.in_g_phase], "fake", or_unknown=True)
        values = {}
        for label, call in (("d_real", d_real), ("d_fake", d_fake), ("g_fake", g_fake)):
            if call is not None and call.output_grad is not None and _has_one_score(call) and not call.has_several_backwards:
                pull = measure_pull(call.output_grad)
                values[f"score_pull/{label}"] = -pull if self._maximizes[label[0]] else pull
        return values


def _find_batch(calls: Sequence[Call], origin: str, *, or_unknown: bool = False) -> Call | None:
    """Return the latest call on a batch of an origin, or else the only one of unknown origin if that is allowed."""
    known = [call for call in calls if call.origin == origin]
    unknown = [call for call in calls if call.origin == "unknown" and or_unknown]
    return known[-1] if known else unknown[0] if len(unknown) == 1 else None


def _has_one_score(call: Call) -> bool:
    """Return True if the output is one score for each sample or place, rather than classes, features or a reconstruction."""
    score = call.output
    return score.ndim == 1 or (score.ndim > 1 and score.shape[1] == 1 and (score[0].numel() == 1 or score.shape != call.inputs[0].shape))


def measure_pull(output_grad: Tensor) -> Tensor:
    """Return the direction in which descent pushes scores: their signs' mean, or that weighted by gradients, whichever is nearer to 0.

    A few samples with a large gradient, such as flipped labels, decide the weighted mean alone, and many with a tiny one the other mean.
    Where the two contradict each other the pull is 0.

    Parameters
    ----------
    output_grad : Tensor, shape (N, …)
        Gradient of the loss at the scores.

    Returns
    -------
    Tensor, shape (), in [-1, 1]
        1 if every score is raised, -1 if every one is lowered.

    Examples
    --------
    >>> measure_pull(torch.tensor([-1.0, -1.0, -1.0, 1.0]))
    tensor(0.5000)
    """
    push = -sum_per_sample(output_grad)
    by_sign, by_gradient = push.sign().mean(), push.sum() / push.abs().sum().clamp_min(1e-38)
    return torch.minimum(by_sign.abs(), by_gradient.abs()) * (by_sign.sign() + by_gradient.sign()) / 2.0
