"""Distance of the generator to real data, now and then, on the same inputs and against the same reals each time."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib import import_module
from typing import Any

import torch
from torch import Tensor

from ganwatch.capture.step import Call, Step
from ganwatch.core.errors import UserError
from ganwatch.core.probe import Probe
from ganwatch.core.readings import SampleImages
from ganwatch.data.sample_format import find_common_range
from ganwatch.evaluation.gallery import to_pixels
from ganwatch.evaluation.generator_sampler import EvaluationContext, FixedInputs, GeneratorSampler, labels_in
from ganwatch.evaluation.heldout import Heldout
from ganwatch.evaluation.resolution import Preparation
from ganwatch.evaluation.tensor_state import packed, unpacked
from ganwatch.isolation.random_state import preserved_random_state
from ganwatch.probes.quality_options import check_measures, check_targets, checked_extractor

log = logging.getLogger("ganwatch")

BYTES = 64 * 2**20
"""Memory that reals may take before they are turned into features."""
LEAST = 40
"""Samples of a side below which nothing can be compared."""
NEEDED = (
    "ganwatch.evaluation.reference", "ganwatch.metrics.memorisation", "ganwatch.metrics.shares", "ganwatch.features.registry",
    "ganwatch.features.random_conv", "scipy.special",
)  # fmt: skip
"""Modules that an evaluation imports."""
LEAST_DISTINCT = 8
"""Different training samples below which copies of them are no finding."""
CONFIRM = 2
"""Looks in a row that have to show reals of another preparation."""
TILES = 36
"""Examples of missing kinds that are shown at most."""


class Quality(Probe):
    """Draws the generator from its own first inputs and compares the features of what it makes with those of the first reals.

    As inputs and reals are the same each time, the values of a run compare with each other; with those of another run or a paper they do
    not, whose samples are others and more. Where the shape or the resolution of the reals grows, the new ones take the place of the first
    (``reference``). Nothing is measured before there are enough of both, and then no more often than the budget
    allows.

    Parameters
    ----------
    extractor : Extractor, callable or str, optional
        Turns samples into features, or the name of one (``ganwatch.features.registry``). By default random convolutions for images of 1 or
        3 channels, and the values themselves for everything else. Reals become features once, so its weights must not change.
    samples : int
        Generated samples.
    reals : int
        Real samples, fewer where they would take more than 64 MiB.
    share : float in (0, 1]
        Part of the training's time that may go into this.
    interval : int, steps
        Shortest distance of two evaluations.
    measures : sequence of OwnMeasure
        Further measures, of samples.
    targets : mapping of label to share, optional
        What each label's share among the generated samples should be.
    classify : callable, optional
        Samples to labels, ``(N,)`` integers; without it the labels of the nearest reals, where the loop shows them to the discriminator.
    clock : callable
        Seconds, for tests.

    Raises
    ------
    UserError
        A number is out of its range, no such extractor exists, or a measure is no ``OwnMeasure`` with a name of its own.
    """

    name = "quality"
    signals = (
        "frechet", "frechet_error", "kernel_distance", "kernel_distance_error", "precision", "recall", "density", "coverage", "modes",
        "modes_missing", "label_agreement", "label_agreement_error", "label_distance", "group_share", "groups_off_target", "score", "cost",
        "measure", "measure_error", "memorisation", "memorisation_error", "copy_share", "reference",
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
            if value < LEAST:
                raise UserError(f"{name} must be >= {LEAST}, got {value}")
        if not 0.0 < share <= 1.0:
            raise UserError(f"share must be in (0, 1] (of the training's time), got {share}")
        if interval < self.every:
            raise UserError(f"interval must be >= {self.every} (steps), got {interval}")
        with preserved_random_state():  # what is imported may be somebody's code
            check_targets(targets)
            check_measures(measures)
            extractor = checked_extractor(extractor)
        self.extractor, self.samples, self.reals, self.share, self.interval = extractor, samples, reals, share, interval
        self.measures, self.targets, self.classify, self._clock = list(measures), dict(targets or {}), classify, clock
        self._begin(None, None)

    def attach(self, context: EvaluationContext) -> None:
        """Take the generator and held-out reals, and import before the first step what an evaluation needs."""
        with preserved_random_state():
            for module in NEEDED:
                import_module(module)
        self._begin(context.sampler, context.heldout)

    def _begin(self, sampler: GeneratorSampler | None, heldout: Heldout | None) -> None:
        self._sampler, self._heldout = sampler, heldout
        self.spent = 0.0
        self._before = 0.0
        """Seconds of earlier attempts."""
        self._began: float | None = None
        self._cost = 0.0
        self._extractor: Any = None
        self._failed: set[str] = set()
        self._inputs = FixedInputs(self.samples)
        self._seen: list[tuple[Tensor, Tensor | None]] = []
        self._limits: tuple[float, float] | None = None
        self._features: Tensor | None = None
        self._unseen: Tensor | None = None
        """Features of held-out reals."""
        self._labels: Tensor | None = None
        self._reference: Any = None
        self._pixels: Tensor | None = None
        self._missing: list[int] = []
        self._prepared_as: Preparation | None = None
        """How the reals that are compared with were prepared."""
        self._others, self._references = 0, 1

    def read(self, step: Step) -> dict[str, float]:
        if self._sampler is None or not self._sampler.allowed:
            return {}
        start = self._clock()
        self._began = start if self._began is None else self._began
        self._collect(step)
        elapsed = self._before + start - self._began
        if step.tick % self.interval or self.spent + self._cost > self.share * elapsed or self._grown(step) or not self._ready():
            return {}
        try:
            with preserved_random_state(self._extractor, self.classify, *self.measures):
                return self._evaluate(self._sampler)
        finally:
            self._cost = self._clock() - start
            self.spent += self._cost

    def _collect(self, step: Step) -> None:
        call = step.last("g", "latent")
        if call is not None and call.index == step.index:
            self._inputs.take(call)
        real = step.last("d", "real", attached=False)
        if self._features is None and real is not None and real.index == step.index and not self._enough_reals():
            if self._seen and self._seen[0][0].shape[1:] != real.inputs[0].shape[1:]:
                self._seen.clear()
            self._seen.append((real.inputs[0].clone(), _labels_of(real)))

    def _grown(self, step: Step) -> bool:
        """Whether the loop shows reals of another preparation; if it does so time and again, new ones are collected to compare with."""
        real = step.last("d", "real", attached=False)
        if self._prepared_as is None or real is None:
            return False
        self._others = 0 if self._prepared_as.like(Preparation.of(real.inputs[0])) else self._others + 1
        if self._others >= CONFIRM:
            log.info("real samples have changed their shape or resolution: quality is measured against new ones")
            self._features = self._unseen = self._labels = self._reference = self._pixels = self._prepared_as = None
            self._missing, self._others, self._references = [], 0, self._references + 1
        return self._others > 0

    def _enough_reals(self) -> bool:
        if not self._seen:
            return False
        sample = self._seen[0][0][0]
        affordable = max(LEAST, BYTES // max(1, sample.numel() * sample.element_size()))
        return sum(len(batch) for batch, _ in self._seen) >= min(self.reals, affordable)

    def _ready(self) -> bool:
        return self._inputs.full and (self._features is not None or self._enough_reals())

    def _evaluate(self, sampler: GeneratorSampler) -> dict[str, float]:
        with torch.no_grad():
            made = self._inputs.draw(sampler)
            reference = self._prepared()
            fake = self._extract(made)
            if not bool(torch.isfinite(fake).all()):
                self._say_once("features", "quality is not measured while features of generated samples are not finite")
                return {}
            values: dict[str, float] = {"reference": float(self._references)}
            for name, found in reference.compare(fake).items():
                values[name] = found.value
                if name in {"frechet", "kernel_distance"}:
                    values[f"{name}_error"] = found.error
            produced = self._produced(reference, made, fake)
            kinds = reference.kinds(fake, produced)
            missing = [kind for kind in kinds if kind.missing]
            self._missing = [place for kind in missing for place in kind.examples][:TILES]
            values |= {"modes": float(len(kinds)), "modes_missing": float(len(missing))}
            values |= self._conditioning(reference, fake) | self._groups(produced) | self._memorised(fake)
            for measure in self.measures:
                values |= self._guarded(f"measure {measure.name}", partial(_measured, measure, made))
        return values

    def _say_once(self, what: str, line: str) -> None:
        if what not in self._failed:
            log.warning(line)
        self._failed.add(what)

    def _guarded(self, what: str, action: Callable[[], Any]) -> Any:
        """What somebody's code gives, nothing where it fails; that is logged once."""
        try:
            return action()
        except Exception:
            if what not in self._failed:
                log.exception("%s failed; quality is measured without it", what)
            self._failed.add(what)
            return {}

    def _prepared(self) -> Any:
        """The reference, made of the reals when it is asked for first."""
        from ganwatch.evaluation.reference import Reference

        if self._reference is None:
            if self._features is None:
                self._features = self._take_reals()
            self._reference = Reference(self._features, self._labels)
        return self._reference

    def _take_reals(self) -> Tensor:
        reals, labels = torch.cat([batch for batch, _ in self._seen]), [labels for _, labels in self._seen if labels is not None]
        finite = torch.isfinite(reals.flatten(1)).all(1)
        self._labels = torch.cat(labels)[finite].long().cpu() if len(labels) == len(self._seen) else None
        reals = reals[finite]
        self._prepared_as = Preparation.of(reals)
        self._limits = _limits(reals)
        self._pixels = to_pixels(reals, self._limits)
        self._seen.clear()
        features = self._extract(reals)
        unseen = None if self._heldout is None else self._heldout.like(reals)
        self._unseen = None if unseen is None else self._extract(unseen)
        return features

    def _extract(self, samples: Tensor) -> Tensor:
        from ganwatch.features.registry import extractor

        images = samples.ndim == 4 and samples.shape[1] in {1, 3}
        if self._extractor is None:
            by_name = self.extractor is None or isinstance(self.extractor, str)
            assert self._limits is not None
            self._extractor = extractor(self.extractor, vectors=not images, given=self._limits) if by_name else self.extractor
        features: Tensor = self._extractor(samples if images else samples.flatten(1))
        return features.cpu()

    def _produced(self, reference: Any, made: Tensor, fake: Tensor) -> Tensor | None:
        if self.classify is not None:
            labels = self._guarded("classify", partial(_labels, self.classify, made))
            return labels if isinstance(labels, Tensor) else None
        return reference.classify(fake) if self._labels is not None else None

    def _conditioning(self, reference: Any, fake: Tensor) -> dict[str, float]:
        requested = self._inputs.labels()
        if requested is None or self._labels is None:
            return {}
        requested = requested.cpu()
        values: dict[str, float] = {}
        for side, found in reference.agreement(fake, requested).items():
            values |= {f"label_agreement/{side}": found.value, f"label_agreement_error/{side}": found.error}
        apart = reference.by_label(fake, requested)
        return values | {f"label_distance/{label}": distance for label, distance in apart.items() if math.isfinite(distance)}

    def _groups(self, produced: Tensor | None) -> dict[str, float]:
        if not self.targets:
            return {}
        if produced is None:
            if self.classify is None:
                self._say_once("targets", "targets are not compared: the loop shows D no labels (int) of real samples; give classify=")
            return {}
        from ganwatch.metrics.shares import group_shares

        found = group_shares(produced, self.targets)
        return {f"group_share/{group.group}": group.share for group in found} | {"groups_off_target": float(sum(not group.met for group in found))}

    def _memorised(self, fake: Tensor) -> dict[str, float]:
        if self._unseen is None or self._features is None:
            return {}
        from ganwatch.metrics.memorisation import copying, nearer_to_training

        training = torch.unique(self._features, dim=0)
        if len(training) < LEAST_DISTINCT:
            return {}
        share, error = nearer_to_training(training, self._unseen, fake)
        return {"memorisation": share, "memorisation_error": error, "copy_share": copying(training, self._unseen, fake).share}

    def incident_samples(self, code: str, step: int, incident: str) -> SampleImages | None:
        """Real samples of the kinds that are missing."""
        if code != "GW102" or self._pixels is None or not self._missing:
            return None
        pixels = self._pixels if len(self._pixels) == 1 else self._pixels[self._missing]
        return SampleImages(step, "missing", tuple(pixels.shape), pixels.numpy().tobytes(), incident)  # type: ignore[arg-type]  # four sizes

    def provenance(self) -> dict[str, Any]:
        from ganwatch.features.registry import extractor

        given = self._extractor or self.extractor
        named = {"images": extractor(), "others": extractor(vectors=True)} if given is None else {"all": given}
        named = {what: extractor(one) if isinstance(one, str) else one for what, one in named.items()}
        facts = {what: one.provenance() for what, one in named.items()}
        return {"extractor": facts, "samples": self.samples, "reals": self.reals, "share": self.share, "interval": self.interval}

    def state_dict(self) -> dict[str, Any]:
        """Plain types; reals that are no features yet are collected anew."""
        elapsed = 0.0 if self._began is None else self._clock() - self._began
        return {
            "spent": self.spent,
            "cost": self._cost,
            "elapsed": self._before + elapsed,
            "inputs": self._inputs.state_dict(),
            "features": packed(self._features),
            "unseen": packed(self._unseen),
            "labels": packed(self._labels),
            "limits": None if self._limits is None else list(self._limits),
            "prepared": None if self._prepared_as is None else [list(self._prepared_as.shape), self._prepared_as.detail],
            "references": self._references,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on with the same inputs and reals."""
        self.spent, self._cost, self._before = state["spent"], state["cost"], state["elapsed"]
        self._inputs.load_state_dict(state["inputs"])
        self._features, self._unseen, self._labels = (unpacked(state[name]) for name in ("features", "unseen", "labels"))
        self._limits = None if state["limits"] is None else tuple(state["limits"])
        shape, detail = state["prepared"] or (None, 0.0)
        self._prepared_as = None if shape is None else Preparation(tuple(shape), detail)
        self._references = state["references"]


def _labels(classify: Callable[[Tensor], Any], made: Tensor) -> Tensor:
    labels = torch.as_tensor(classify(made))
    if labels.is_floating_point() or labels.shape != (len(made),):
        raise UserError(f"classify must give one integer a sample, ({len(made)},), got {labels.dtype} of shape {tuple(labels.shape)}")
    return labels.long().cpu()


def _labels_of(call: Call) -> Tensor | None:
    return labels_in([x for x in call.inputs[1:] if isinstance(x, Tensor)], len(call.inputs[0]))


def _limits(reals: Tensor) -> tuple[float, float]:
    """The range that images were meant to have: a usual one where they fit in, else their own."""
    low, high = float(reals.min()), float(reals.max())
    return find_common_range(low, high) or (low, high if high > low else low + 1.0)


def _measured(measure: Any, made: Tensor) -> dict[str, float]:
    measure.reset()
    measure.update(made, real=False)
    found = measure.estimate()
    family = {True: "score", False: "cost", None: "measure"}[measure.higher_is_better]
    return {f"{family}/{measure.name}": found.value, f"measure_error/{measure.name}": (found.high - found.low) / 4.0}
