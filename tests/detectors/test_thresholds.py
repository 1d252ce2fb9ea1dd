"""Where each detector begins to see a failure: streams just beyond each bound, variants just within it, and the evidence it gives."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import pytest

from ganwatch.core.detector import Detector, NotApplicable, Verdict
from ganwatch.core.discovery import discover
from ganwatch.core.readings import Readings
from ganwatch.core.statistics import Window
from ganwatch.detectors.bad_batch import BadBatch
from ganwatch.detectors.data_drift import DataDrift
from ganwatch.detectors.discriminator_domination import DiscriminatorDomination
from ganwatch.detectors.discriminator_overfitting import DiscriminatorOverfitting
from ganwatch.detectors.exploding_gradients import ExplodingGradients
from ganwatch.detectors.generator_domination import GeneratorDomination
from ganwatch.detectors.latent_fault import LatentFault
from ganwatch.detectors.memorisation import CopiedSamples
from ganwatch.detectors.mode_collapse import ModeCollapse
from ganwatch.detectors.mode_dropping import ModeDropping
from ganwatch.detectors.non_finite import NonFinite
from ganwatch.detectors.oscillation import Oscillation, _measure_swing, count_turns
from ganwatch.detectors.quality_regression import QualityRegression
from ganwatch.detectors.range_mismatch import RangeMismatch
from ganwatch.detectors.stall import Stall
from ganwatch.detectors.vanishing_gradients import VanishingGradients
from ganwatch.detectors.weak_conditioning import WeakConditioning

Value = float | None | Callable[[int], float]
Evidence = tuple[float, float, str, int, int | None]
"""Value, threshold, signal, window and onset of a verdict."""


@dataclass(frozen=True)
class But:
    """Other values in one phase, and what they change."""

    phase: int
    values: Mapping[str, Value]
    fires: tuple[int, ...] = ()
    until: int | None = None
    evidence: Evidence | None = None


@dataclass(frozen=True)
class Row:
    """A stream of phases, each up to a step with values that add to those before, and the alarm on it.

    ``fires`` has the first and the last step of each alarm, ``(60,)`` is one from step 60 to the end; ``evidence`` belongs to the first.
    """

    title: str
    detector: Detector
    phases: tuple[tuple[int, Mapping[str, Value]], ...]
    fires: tuple[int, ...] = ()
    evidence: Evidence | None = None
    last: Evidence | None = None
    every: int = 20
    but: tuple[But, ...] = ()

    def variants(self) -> Iterator[Row]:
        """The row, and each of its variants as a row."""
        yield self
        for one in self.but:
            phases = list(self.phases)
            until, values = phases[one.phase]
            phases[one.phase] = (one.until or until, {**values, **one.values})
            words = ", ".join(f"{name} {value:g}" for name, value in one.values.items() if isinstance(value, float))
            title = f"{self.title}, but {words or f'variant {self.but.index(one)}'}"
            yield replace(self, title=title, phases=tuple(phases), fires=one.fires, evidence=one.evidence, last=None, but=())

    def verdicts(self) -> dict[int, Verdict]:
        """Feed the stream to a detector with the row's arguments. Return its verdicts by step."""
        found: dict[int, Verdict] = {}
        detector = self.detector()
        values: dict[str, Value] = {}
        step = self.every
        for until, changes in self.phases:
            values |= changes
            for step in range(step, until + 1, self.every):
                now = {name: value(step) if callable(value) else value for name, value in values.items() if value is not None}
                result = detector.update(Readings(step, now))
                if isinstance(result, Verdict):
                    found[step] = result
            step += self.every
        return found
