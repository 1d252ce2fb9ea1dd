"""Whether the discriminator takes reals that it was never shown for real as well."""

from __future__ import annotations

import torch
from torch import Tensor

from ganwatch.capture.step import Call, Step
from ganwatch.core.probe import Probe
from ganwatch.evaluation.generator_sampler import EvaluationContext, labels_in
from ganwatch.evaluation.heldout import Heldout
from ganwatch.evaluation.resolution import Preparation
from ganwatch.probes.discriminator import auc

SHOWN = 256
"""Samples per side."""
LOOK = 100
"""Steps from one look to the next."""
CONFIRM = 2
"""Looks in a row that have to show reals of another preparation."""


class HeldoutReals(Probe):
    """Outputs on the first reals of the training, on held-out ones and on the fakes of the step, all from the same undisturbed call.

    The gap is r_v of Karras et al. (2020, arXiv:2006.06676): by which part of the way from training reals to fakes the mean output on
    held-out reals has moved. The ranking of training reals above held-out ones does not depend on the scale of the outputs.
    """

    name = "heldout"
    signals = ("d_heldout_auc", "d_heldout_error", "d_heldout_gap")
    every = 20

    def __init__(self) -> None:
        self._context: EvaluationContext | None = None
        self._shown: list[tuple[Tensor, Tensor | None]] = []
        self._others = 0

    def attach(self, context: EvaluationContext) -> None:
        self._context, self._shown, self._others = context, [], 0

    def read(self, step: Step) -> dict[str, Tensor]:
        context, real = self._context, step.last("d", "real", attached=False)
        if context is None or context.heldout is None or not context.scorer.allowed or real is None:
            return {}
        if real.index == step.index:
            self._collect(real)
        fake = step.last("d", "fake", attached=False) or step.last("d", "fake")
        if step.tick % LOOK or fake is None or not self._shown or self._grown(real):
            return {}
        sides = self._sides(fake, context.heldout)
        if not sides:
            return {}
        on_shown, on_heldout, on_fake = (context.scorer(*side) for side in sides)
        n, lead = len(on_shown), on_shown.mean() - on_fake.mean()
        return {
            "d_heldout_auc": auc(on_shown, on_heldout),
            "d_heldout_error": on_shown.new_tensor(((2 * n + 1) / 12.0) ** 0.5 / n),
            "d_heldout_gap": torch.where(lead > 0.0, (on_shown.mean() - on_heldout.mean()) / lead, torch.nan),
        }

    def _sides(self, fake: Call, heldout: Heldout) -> list[tuple[Tensor, ...]]:
        """What D is to judge: equally many training and held-out reals, and fakes, with labels where it asks for them; or nothing."""
        shown = torch.cat([batch for batch, _ in self._shown])[:SHOWN]
        unseen = heldout.like(shown)
        if unseen is None:
            return []
        n = min(len(shown), len(unseen))
        samples = [shown[:n], unseen[:n], fake.inputs[0]]
        asked = [labels for _, labels in self._shown if labels is not None]
        if len(asked) < len(self._shown):
            return [(each,) for each in samples]
        of_unseen, of_fake = heldout.labels, _labels(fake)
        if of_unseen is None or of_fake is None:
            return []
        return [*zip(samples, [torch.cat(asked)[:n], of_unseen[:n].to(shown.device), of_fake], strict=True)]

    def _grown(self, real: Call) -> bool:
        """Whether D is shown reals of another preparation than before; after some looks they take the place of the first ones."""
        first = Preparation.of(torch.cat([batch for batch, _ in self._shown]))
        self._others = 0 if first.like(Preparation.of(real.inputs[0])) else self._others + 1
        if self._others >= CONFIRM:
            self._shown.clear()
            self._others = 0
        return self._others > 0 or not self._shown

    def _collect(self, real: Call) -> None:
        batch = real.inputs[0]
        if self._shown and self._shown[0][0].shape[1:] != batch.shape[1:]:  # the resolution has grown
            self._shown.clear()
        if sum(len(seen) for seen, _ in self._shown) < SHOWN:
            self._shown.append((batch.clone(), _labels(real)))


def _labels(call: Call) -> Tensor | None:
    found = labels_in([x for x in call.inputs[1:] if isinstance(x, Tensor)], len(call.inputs[0]))
    return None if found is None else found.clone()
