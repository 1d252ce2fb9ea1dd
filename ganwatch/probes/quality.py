"""Distance of the generator's samples from real data, measured now and then on the same inputs and reals each time."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ganwatch.capture.step import StepView
from ganwatch.core.errors import UserError
from ganwatch.core.probe import Probe
from ganwatch.core.readings import SampleImages
from ganwatch.evaluation.context import EvaluationContext
from ganwatch.evaluation.fixed_inputs import FixedInputs
from ganwatch.evaluation.gallery import MAX_TILES, to_pixels
from ganwatch.evaluation.generator_sampler import GeneratorSampler
from ganwatch.evaluation.heldout import HeldoutSamples
from ganwatch.evaluation.labels import find_call_labels
from ganwatch.evaluation.resolution import ResolutionWatch, SampleResolution
from ganwatch.isolation.random_state import preserved_random_state
from ganwatch.probes import quality_values
from ganwatch.probes.quality_budget import TimeBudget
from ganwatch.probes.quality_options import check_measures, check_targets, to_extractor
from ganwatch.probes.quality_reals import MIN_SAMPLES, RealCollector, RealFeatures, infer_range
from ganwatch.probes.sliced_work import SlicedWork

if TYPE_CHECKING:
    from ganwatch.evaluation.reference import Reference

log = logging.getLogger("ganwatch")

EVALUATION_MODULES = (
    "ganwatch.evaluation.reference", "ganwatch.metrics.memorisation", "ganwatch.metrics.mismatch", "ganwatch.metrics.shares",
    "ganwatch.features.registry", "ganwatch.features.random_conv", "scipy.special",
)  # fmt: skip
"""Modules that an evaluation imports."""

SLICE = 0.02
"""Seconds for which an evaluation goes on before it waits for the next steps."""
EXTRACTED = 32
"""Samples that become features at once."""

Evaluation = Generator[None, None, dict[str, float]]
"""An evaluation, which yields where it may pause, and returns its values."""


class Quality(Probe):
    """Compares the features of generated samples with those of the first reals, for the same inputs of the generator each time.

    Inputs and reals stay the same, so the values of a run compare with each other. They do not compare with those of another run or a
    paper, which use other samples and more of them. If the shape or the resolution of the reals changes, new reals replace the first
    (``reference`` counts them). Nothing is measured before there are enough inputs and reals, and then no more often than the budget
    allows, and once at the end in any case. An evaluation takes slices of 20 ms between steps; its samples are those of the step at which
    it begins, its values come with the first reading after its end.

    Parameters
    ----------
    extractor : Extractor, callable or str, optional
        Turns samples into features, or the name of one that does (``ganwatch.features.registry``). The default is random convolutions for
        images of 1 or 3 channels, and the values themselves for other samples. Reals become features once, so its weights must not change.
    samples : int
        Generated samples.
    reals : int
        Real samples, fewer if they would take more than 64 MiB.
    share : float in (0, 1]
        Share of the training's time that evaluations may take.
    interval : int, steps
        Steps between two evaluations, at least.
    measures : sequence of OwnMeasure
        Further measures, of samples.
    targets : mapping of label to share, optional
        Intended share of each label among the generated samples.
    classify : callable, optional
        Samples to labels, ``(N,)`` integers; without it the labels of the nearest reals, if the discriminator receives labels.
    clock : callable
        Monotonic time in seconds, for tests.

    Attributes
    ----------
    budget : TimeBudget

    Raises
    ------
    UserError
        A number is out of its range, no such extractor exists, or a measure is no ``CustomMetric`` with a name of its own.
    """

    name = "quality"
    signals = (
        "frechet", "frechet_error", "kernel_distance", "kernel_distance_error", "precision", "recall", "density", "coverage", "modes",
        "modes_missing", "label_agreement", "label_agreement_error", "label_distance", "group_share", "groups_off_target", "score", "cost",
        "measure", "measure_error", "memorisation", "memorisation_error", "copy_share", "reference",
        "heldout_far", "heldout_far_error", "heldout_lacking",
    )  # fmt: skip
    every = 20
    needs_arguments = True

    def __init__(
        self,
        *,
        extractor: Any = None,
        samples: int = 256,
        reals: int = 512,
        share: float = 0.01,
        interval: int = 100,
        measures: Sequence[Any] = (),
        targets: Mapping[int, float] | None = None,
        classify: Callable[[Tensor], Tensor] | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        for name, value in (("samples", samples), ("reals", reals)):
            if value < MIN_SAMPLES:
                raise UserError(f"{name} must be >= {MIN_SAMPLES}, got {value}")
        if not 0.0 < share <= 1.0:
            raise UserError(f"share must be in (0, 1] (of the training's time), got {share}")
        if interval < self.every:
            raise UserError(f"interval must be >= {self.every} (steps), got {interval}")
        with preserved_random_state():  # the user's code may be imported
            check_targets(targets)
            check_measures(measures)
            extractor = to_extractor(extractor)
        self.extractor, self.samples, self.reals, self.share, self.interval = extractor, samples, reals, share, interval
        self.measures, self.targets, self.classify, self._clock = list(measures), dict(targets or {}), classify, clock
        self._reset(None, None)

    def attach(self, context: EvaluationContext) -> None:
        """Take the generator and held-out reals, and import before the first step the modules that an evaluation needs."""
        with preserved_random_state():
            for module in EVALUATION_MODULES:
                import_module(module)
        self._reset(context.sampler, context.heldout)

    def _reset(self, sampler: GeneratorSampler | None, heldout: HeldoutSamples | None) -> None:
        self._sampler, self._heldout = sampler, heldout
        self.budget = TimeBudget(self.share, self._clock)
        self._extractor: Any = None
        self._warned: set[str] = set()
        self._inputs, self._collector = FixedInputs(self.samples), RealCollector(self.reals)
        self._reals: RealFeatures | None = None
        self._reference: Reference | None = None
        self._missing: list[int] = []
        """Places of reals whose modes are missing."""
        self._resolution, self._reference_count = ResolutionWatch(), 1
        self._evaluated_step = 0
        self._work: SlicedWork[dict[str, float]] | None = None
        self._finished: dict[str, float] = {}
        """Values of an evaluation that no reading has brought yet."""

    def read(self, step: StepView) -> dict[str, float]:
        if self._sampler is None or not self._sampler.is_allowed:
            return {}
        self.budget.start_step()
        self._collect(step)
        may_begin = step.tick % self.interval == 0 and self._work is None and not self.budget.is_exhausted
        if may_begin and not self._has_other_resolution(step) and self._is_ready():
            self._evaluated_step = step.index
            self.budget.begin()
            self._work = SlicedWork(self._evaluate(self._sampler), self._clock)
            self.advance()
        values, self._finished = self._finished, {}
        return values

    def advance(self) -> None:
        if self._work is not None:
            work, self._work = self._work, None  # which an error ends
            with self.budget.charge():
                is_over = self._run(work, SLICE)
            if is_over:
                self._finished = work.result or {}
            else:
                self._work = work

    def _run(self, work: SlicedWork[dict[str, float]], seconds: float = math.inf) -> bool:
        with preserved_random_state(self._extractor, self.classify, *self.measures), torch.no_grad():
            return work.run(seconds)

    def read_end(self, step: int) -> dict[str, float]:
        """Evaluate once more at the end, whatever the budget, unless the last step did."""
        if self._sampler is None or not self._sampler.is_allowed or not self._is_ready():
            return {}
        if step == self._evaluated_step and self._work is None:
            return self._finished
        work = self._work if step == self._evaluated_step else None
        work = work or SlicedWork(self._evaluate(self._sampler), self._clock)
        self._run(work)
        return work.result or {}

    def _collect(self, step: StepView) -> None:
        latent, real = step.last_call("g", "latent"), step.last_call("d", "real", in_g_phase=False)
        if latent is not None and latent.index == step.index:
            self._inputs.add(latent)
        if self._reals is None and real is not None and real.index == step.index:
            self._collector.add(real.inputs[0], find_call_labels(real))

    def _has_other_resolution(self, step: StepView) -> bool:
        """Return True if the reals of a step have another resolution than the reference; once that is confirmed, drop the reference."""
        real = step.last_call("d", "real", in_g_phase=False)
        if self._reals is None or real is None:
            return False
        is_other = self._resolution.update(self._reals.resolution, real.inputs[0])
        if self._resolution.is_confirmed:
            log.info("real samples have changed their shape or resolution: quality is measured against new ones")
            self._work = None
            self._reals = self._reference = None
            self._missing, self._resolution, self._reference_count = [], ResolutionWatch(), self._reference_count + 1
        return is_other

    def _is_ready(self) -> bool:
        return self._inputs.is_full and (self._reals is not None or self._collector.is_full)

    def _evaluate(self, sampler: GeneratorSampler) -> Evaluation:
        samples = self._inputs.generate(sampler)
        yield
        reals, reference = yield from self._prepare_reference()
        if tuple(samples.shape[1:]) != tuple(reals.resolution.shape):
            self.problem = (
                f"quality is not measured: G returns samples of shape {tuple(samples.shape[1:])} and D receives real ones of shape "
                f"{tuple(reals.resolution.shape)}; give sample=… a function that turns what G returns into what D receives"
            )
            return {}
        self.problem = ""
        fake = yield from self._extract(samples, reals.value_range)
        if not bool(torch.isfinite(fake).all()):
            self._warn_once("features", "quality is not measured while features of generated samples are not finite")
            return {}
        values = {"reference": float(self._reference_count)} | quality_values.read_comparison(reference, fake)
        yield
        labels = self._label(reference, samples, fake)
        modes = reference.modes(fake, labels)
        missing = [mode for mode in modes if mode.is_missing]
        self._missing = [place for mode in missing for place in mode.examples][:MAX_TILES]
        values |= {"modes": float(len(modes)), "modes_missing": float(len(missing))}
        values |= quality_values.read_conditioning(reference, fake, self._inputs.labels())
        yield
        values |= self._read_groups(labels) | quality_values.read_memorisation(reals, fake)
        values |= quality_values.read_kinds(reals)
        for measure in self.measures:
            yield
            values |= self._call_safely(f"measure {measure.name}", partial(quality_values.read_measure, measure, samples))
        return values

    def _prepare_reference(self) -> Generator[None, None, tuple[RealFeatures, Reference]]:
        """Return the reals and the reference made of them, which the first evaluation makes."""
        from ganwatch.evaluation.reference import Reference

        if self._reals is None:
            self._reals = yield from self._take_reals()
        if self._reference is None:
            self._reference = Reference(self._reals.features, self._reals.labels)
            yield
        return self._reals, self._reference

    def _take_reals(self) -> Generator[None, None, RealFeatures]:
        reals, labels = self._collector.take()
        value_range = infer_range(reals)
        features = yield from self._extract(reals, value_range)
        heldout = None if self._heldout is None else self._heldout.convert_like(reals)
        unseen = None
        if heldout is not None:
            unseen = yield from self._extract(heldout, value_range)
        return RealFeatures(features, labels, unseen, value_range, SampleResolution.of(reals), to_pixels(reals, value_range))

    def _extract(self, samples: Tensor, value_range: tuple[float, float]) -> Generator[None, None, Tensor]:
        from ganwatch.features.registry import make_extractor

        images = samples.ndim == 4 and samples.shape[1] in {1, 3}
        if self._extractor is None:
            by_name = self.extractor is None or isinstance(self.extractor, str)
            self._extractor = make_extractor(self.extractor, vectors=not images, input_range=value_range) if by_name else self.extractor
        parts: list[Tensor] = []
        for batch in torch.split(samples if images else samples.flatten(1), EXTRACTED):
            parts.append(self._extractor(batch).cpu())
            yield
        return torch.cat(parts)

    def _label(self, reference: Reference, samples: Tensor, fake: Tensor) -> Tensor | None:
        """Return the label of each generated sample; None if nothing tells it."""
        if self.classify is not None:
            labels = self._call_safely("classify", partial(quality_values.classify_samples, self.classify, samples))
            return labels if isinstance(labels, Tensor) else None
        return reference.classify(fake) if reference.labels is not None else None

    def _read_groups(self, labels: Tensor | None) -> dict[str, float]:
        if self.targets and labels is not None:
            return quality_values.read_groups(labels, self.targets)
        if self.targets and self.classify is None:
            self._warn_once("targets", "targets are not compared: D gets no labels (int) with real samples; give classify=")
        return {}

    def _warn_once(self, key: str, message: str) -> None:
        if key not in self._warned:
            log.warning(message)
        self._warned.add(key)

    def _call_safely(self, name: str, function: Callable[[], Any]) -> Any:
        """Return the result of the user's code, or {} if it fails; the first failure is logged."""
        try:
            return function()
        except Exception:
            if name not in self._warned:
                log.exception("%s failed; quality is measured without it", name)
            self._warned.add(name)
            return {}

    def incident_samples(self, code: str, step: int, incident: str) -> SampleImages | None:
        """Return real samples of the missing modes as evidence of GW102."""
        pixels = None if self._reals is None else self._reals.pixels
        if code != "GW102" or pixels is None or not self._missing:
            return None
        pixels = pixels if len(pixels) == 1 else pixels[self._missing]
        return SampleImages(step, "missing", tuple(pixels.shape), pixels.numpy().tobytes(), incident)  # type: ignore[arg-type]  # four sizes

    def provenance(self) -> dict[str, Any]:
        """Return extractor, counts and budget as plain types."""
        from ganwatch.features.registry import make_extractor

        chosen = self._extractor or self.extractor
        named = {"images": make_extractor(), "others": make_extractor(vectors=True)} if chosen is None else {"all": chosen}
        named = {what: make_extractor(one) if isinstance(one, str) else one for what, one in named.items()}
        facts = {what: one.provenance() for what, one in named.items()}
        return {"extractor": facts, "samples": self.samples, "reals": self.reals, "share": self.share, "interval": self.interval}

    def state_dict(self) -> dict[str, Any]:
        """Return plain types; reals that are no features yet are collected anew."""
        return {
            "budget": self.budget.state_dict(),
            "inputs": self._inputs.state_dict(),
            "reals": None if self._reals is None else self._reals.state_dict(),
            "references": self._reference_count,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue with saved inputs and reals."""
        self.budget.load_state_dict(state["budget"])
        self._inputs.load_state_dict(state["inputs"])
        self._reals = None if state["reals"] is None else RealFeatures.from_state(state["reals"])
        self._reference_count = state["references"]
