"""Separation of real and fake by the discriminator, independent of its loss."""

from __future__ import annotations

import torch
from torch import Tensor

from ganwatch.capture.step import Call, StepView, Update, has_one_score, reduce_to_scores, sum_per_sample
from ganwatch.core.probe import Probe

MIN_RANKED_SAMPLES, MAX_RANKED_SAMPLES = 2, 256
"""Samples of each side that are ranked against each other; the rank of one pair says nothing."""


class Discriminator(Probe):
    """Outputs on real and fake samples in the discriminator's own phase: means, margin, and share of pairs ranked right.

    Right is what D's loss asks for. A loss that asks for low scores of reals has fakes on the high side; the gradients at the scores tell.
    """

    name = "discriminator"
    signals = ("d_output", "d_auc", "d_margin")
    every = 20
    is_paced = True
    needs_output_grads = True

    def __init__(self) -> None:
        self._maximizes = False
        self._votes: Tensor | float = 0.0
        """Sampled steps whose loss raised the scores of reals against those of fakes, less those that lowered them."""

    def before_update(self, update: Update) -> None:
        if update.network == "d":
            self._maximizes = update.maximizes

    def read(self, step: StepView) -> dict[str, Tensor]:
        real_call = step.last_call("d", "real")
        fake_call = step.last_call("d", "fake", in_g_phase=False) or step.last_call("d", "fake")
        values: dict[str, Tensor] = {}
        real = reduce_to_scores(real_call.output) if real_call else None
        fake = reduce_to_scores(fake_call.output) if fake_call else None
        if real is not None:
            values["d_output/real"] = real.mean()
        if fake is not None:
            values["d_output/fake"] = fake.mean()
        if real_call is None or fake_call is None or real is None or fake is None or min(len(real), len(fake)) < MIN_RANKED_SAMPLES:
            return values
        side = self._find_side(real_call, fake_call)
        values["d_auc"] = auc(side * real[:MAX_RANKED_SAMPLES], side * fake[:MAX_RANKED_SAMPLES])
        pooled = ((real.var(correction=0) + fake.var(correction=0)) / 2).sqrt()
        values["d_margin"] = (values["d_output/real"] - values["d_output/fake"]) / pooled.clamp_min(1e-12)
        return values

    def _find_side(self, real: Call, fake: Call) -> Tensor | float:
        """Return 1 if D's loss asks for high scores of reals, -1 if for low ones, by all sampled steps so far."""
        is_usable = has_one_score(real) and has_one_score(fake) and not (real.in_g_phase or fake.in_g_phase)
        if is_usable and real.output_grad is not None and fake.output_grad is not None:
            raises_reals = sum_per_sample(fake.output_grad).mean() - sum_per_sample(real.output_grad).mean()
            self._votes = self._votes + torch.nan_to_num(torch.sign(-raises_reals if self._maximizes else raises_reals))
        return torch.where(self._votes < 0, -1.0, 1.0) if isinstance(self._votes, Tensor) else 1.0


class Saturation(Probe):
    """Share of outputs at which the loss has almost no slope left.

    Parameters
    ----------
    flat_fraction : float
        Fraction of the steepest slope of the run so far below which an output counts as saturated.
    """

    name = "saturation"
    signals = ("d_saturation",)
    every = 20
    is_paced = True
    needs_output_grads = True

    def __init__(self, flat_fraction: float = 0.01) -> None:
        self.flat_fraction = flat_fraction
        self._steepest: dict[str, Tensor] = {}

    def read(self, step: StepView) -> dict[str, Tensor]:
        values = {}
        for batch in ("real", "fake"):
            call = step.last_call("d", batch, in_g_phase=False)
            if call is None or call.output_grad is None:
                continue
            output_grad = sum_per_sample(call.output_grad).abs()
            steepest = torch.maximum(self._steepest.get(batch, output_grad.max()), output_grad.max())
            self._steepest[batch] = steepest
            values[f"d_saturation/{batch}"] = (output_grad < self.flat_fraction * steepest).float().mean() + 0.0 * output_grad.sum()
        return values


def auc(real: Tensor, fake: Tensor) -> Tensor:
    """Return the share of pairs in which the real score is the higher one; ties count half.

    Parameters
    ----------
    real, fake : Tensor, shape (N,) and (M,)

    Returns
    -------
    Tensor, shape (), in [0, 1]
        NaN where a score is not finite.

    Examples
    --------
    >>> auc(torch.tensor([1.0, 2.0]), torch.tensor([0.0, 1.0]))
    tensor(0.8750)
    """
    order = torch.sign(real[:, None] - fake[None, :])
    return (order.mean() + 1) / 2 + 0.0 * (real.sum() + fake.sum())
