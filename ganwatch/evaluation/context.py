"""The networks and held-out reals that probes may use outside the training."""

from __future__ import annotations

from dataclasses import dataclass

from ganwatch.evaluation.discriminator_scorer import DiscriminatorScorer
from ganwatch.evaluation.generator_sampler import GeneratorSampler
from ganwatch.evaluation.heldout import HeldoutSamples


@dataclass(frozen=True, slots=True)
class EvaluationContext:
    """Calls of both networks that change nothing in the training, and real samples that it never sees."""

    sampler: GeneratorSampler
    scorer: DiscriminatorScorer
    heldout: HeldoutSamples | None = None
