"""Outputs of the discriminator on held-out reals, which it has never received, against those on training reals."""

from __future__ import annotations

import torch
from torch import Tensor

from ganwatch.capture.step import Call, StepView
from ganwatch.core.probe import Probe
from ganwatch.evaluation.context import EvaluationContext
from ganwatch.evaluation.heldout import HeldoutSamples
from ganwatch.evaluation.labels import find_call_labels
from ganwatch.evaluation.resolution import ResolutionWatch, SampleResolution
from ganwatch.probes.discriminator import auc

MAX_SAMPLES = 256
"""Samples of each side."""
READ_INTERVAL = 100
"""Steps from one reading to the next."""


class HeldoutReals(Probe):
    """Outputs on the first reals of the training, on held-out reals and on the fakes of the step, all from the same isolated call.

    The gap is r_v of Karras et al. (2020, arXiv:2006.06676): the fraction of the way from training reals to fakes at which the mean output
    on held-out reals lies. The ranking of training reals above held-out ones does not depend on the scale of the outputs.
    """

    name = "heldout"
    signals = ("d_heldout_auc", "d_heldout_error", "d_heldout_gap")
    every = 20

    def __init__(self) -> None:
        self._context: EvaluationContext | None = None
        self._train_reals: list[tuple[Tensor, Tensor | None]] = []
        self._resolution = ResolutionWatch()

    def attach(self, context: EvaluationContext) -> None:
        self._context, self._train_reals, self._resolution = context, [], ResolutionWatch()

    def read(self, step: StepView) -> dict[str, Tensor]:
        context, real = self._context, step.last_call("d", "real", in_g_phase=False)
        if context is None or context.heldout is None or not context.scorer.is_allowed or real is None:
            return {}
        if real.index == step.index:
            self._collect(real)
        fake = step.last_call("d", "fake", in_g_phase=False) or step.last_call("d", "fake")
        if step.tick % READ_INTERVAL or fake is None or not self._train_reals or self._has_other_resolution(real):
            return {}
        inputs = self._scorer_inputs(fake, context.heldout)
        if not inputs:
            return {}
        on_train, on_heldout, on_fake = (context.scorer(*each) for each in inputs)
        n, lead = len(on_train), on_train.mean() - on_fake.mean()
        return {
            "d_heldout_auc": auc(on_train, on_heldout),
            "d_heldout_error": on_train.new_tensor(((2 * n + 1) / 12.0) ** 0.5 / n),
            "d_heldout_gap": torch.where(lead > 0.0, (on_train.mean() - on_heldout.mean()) / lead, torch.nan),
        }

    def _scorer_inputs(self, fake: Call, heldout: HeldoutSamples) -> list[tuple[Tensor, ...]]:
        """Return as many training as held-out reals, and fakes, with labels if D takes some; empty if a side or its labels are missing."""
        train = torch.cat([batch for batch, _ in self._train_reals])[:MAX_SAMPLES]
        unseen = heldout.convert_like(train)
        if unseen is None:
            return []
        n = min(len(train), len(unseen))
        samples = [train[:n], unseen[:n], fake.inputs[0]]
        labels = [each for _, each in self._train_reals if each is not None]
        if len(labels) < len(self._train_reals):
            return [(each,) for each in samples]
        of_unseen, of_fake = heldout.labels, find_call_labels(fake)
        if of_unseen is None:
            self.problem = (
                "D receives a label with each sample and heldout has none, so overfitting of D is not measured: give heldout=… pairs of a "
                "sample and an integer label"
            )
        if of_unseen is None or of_fake is None:
            return []
        return [*zip(samples, [torch.cat(labels)[:n], of_unseen[:n].to(train.device), of_fake], strict=True)]

    def _has_other_resolution(self, real: Call) -> bool:
        """Return True if D receives reals of another resolution than those collected; once that is confirmed, drop the collected ones."""
        collected = SampleResolution.of(torch.cat([batch for batch, _ in self._train_reals]))
        is_other = self._resolution.update(collected, real.inputs[0])
        if self._resolution.is_confirmed:
            self._train_reals.clear()
            self._resolution = ResolutionWatch()
        return is_other

    def _collect(self, real: Call) -> None:
        batch = real.inputs[0]
        if self._train_reals and self._train_reals[0][0].shape[1:] != batch.shape[1:]:  # the resolution has grown
            self._train_reals.clear()
        if sum(len(each) for each, _ in self._train_reals) < MAX_SAMPLES:
            self._train_reals.append((batch.clone(), find_call_labels(real)))
