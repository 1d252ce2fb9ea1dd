"""One run of the corpus: train it under observation, measure the truth, record both."""

from __future__ import annotations

import base64
import math
import time
from collections import deque
from dataclasses import replace
from typing import Any

import lightning
import numpy as np
import torch
from corpus.design import FAILURES, TRUTH_EVERY, Plan
from corpus.label import label
from corpus.truth import memorised_share
from corpus.worlds import Stream, World, create_world, model_settings

from ganwatch.core.readings import Readings
from ganwatch.drill.callback import Drill
from ganwatch.probes.quality import Quality
from ganwatch.recordings import Recording
from ganwatch.session.defaults import default_detectors, default_probes
from ganwatch.session.lightning import GanWatch
from ganwatch.sinks.memory import MemorySink
from ganwatch.trainer.module import GAN
from ganwatch.trainer.run import fit

DRAWN = 500
"""Generated samples of one measurement."""
FEW_SAMPLES = 64
"""Training samples of the cause ``few-samples``."""
COMPARED_BATCHES = 4
"""Latest batches of the training that samples are compared with."""
COMPARED_SAMPLES = 100
"""Generated samples that are compared with training and unseen reals."""
UNSEEN = 250
"""Unseen reals that samples are compared with."""
RECORDED_SAMPLES = 64
"""Samples of the last step that are recorded."""


class TruthRecorder(lightning.Callback):
    """Measures the truth every ``TRUTH_EVERY`` steps of the generator, on the same latents each time, without any effect on the run."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.rows: list[dict[str, float]] = []
        self.samples = np.empty((0, 0))
        self._latents: torch.Tensor | None = None
        self._batches: deque[torch.Tensor] = deque(maxlen=COMPARED_BATCHES)

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: torch.Tensor, batch_idx: int) -> None:
        self._batches.appendleft(batch)
        step = pl_module.g_updates
        if not step or step % TRUTH_EVERY or (self.rows and self.rows[-1]["step"] == step):
            return
        if self._latents is None:
            self._latents = torch.randn(DRAWN, pl_module.latent_dim, generator=torch.Generator().manual_seed(0))
        modes = [(part, part.training) for part in pl_module.generator.modules()]
        with torch.no_grad():
            samples = pl_module.generator.eval()(self._latents).flatten(1).double().numpy()
        for part, mode in modes:
            part.training = mode
        self.samples = samples
        training = torch.cat(list(self._batches)).flatten(1).double().unique(dim=0).numpy()
        unseen = self.world.truth.reals[:UNSEEN]
        finite = np.isfinite(samples).all()
        training = np.random.default_rng(0).permutation(training)
        row = self.world.truth.measure(samples)
        row |= {"copies": memorised_share(samples[:COMPARED_SAMPLES], training, unseen) if finite else 0.0}
        self.rows.append({"step": step} | {name: round(value, 4) if math.isfinite(value) else -1.0 for name, value in row.items()})


class Rates(lightning.Callback):
    """Varies learning rates as healthy trainings do: steps down, warm restarts, a slow start."""

    def __init__(self, variant: str, steps: int) -> None:
        self.variant, self.steps = variant, steps

    def factor(self, step: int) -> float:
        """Return the factor of the learning rates before a step."""
        if self.variant == "lr-steps":
            return 0.5 ** (3 * step // self.steps)
        if self.variant == "warm-restarts":
            phase = step % (self.steps // 4) / (self.steps // 4)
            return 0.1 + 0.45 * (1.0 + math.cos(math.pi * phase))
        return min(1.0, (step + 1) / (self.steps / 4)) if self.variant == "slow-start" else 1.0

    def on_train_batch_start(self, trainer: Any, pl_module: Any, *_: Any) -> None:
        for optimizer, (rate, _) in zip(trainer.optimizers, pl_module.rates, strict=True):
            for group in optimizer.param_groups:
                group["lr"] = rate * self.factor(pl_module.g_updates)


def set_up(plan: Plan) -> tuple[World, dict[str, Any], Stream]:
    """Return world, settings of the model, and data of a plan."""
    world = create_world(plan.world, rare=plan.cause == "rare-modes")
    settings = model_settings(plan.world, plan.loss, plan.network, plan.g_norm, plan.d_norm)
    if plan.variant == "lazy-r1":
        settings |= {"r1_weight": settings.get("r1_weight", 0.0) or 0.1, "r1_every": 16}
    samples, size = world.samples, 32 if plan.variant == "small-batch" else 64 if plan.world in {"digits", "stacked"} else 128
    if plan.cause == "few-samples":
        world = replace(world, samples=samples[:FEW_SAMPLES], modes=world.modes[:FEW_SAMPLES])
        samples = world.samples
    third = plan.steps // 3
    grows = ((third, 2), (2 * third, 4)) if plan.variant == "growing-batch" else ()
    coarse = third * settings.get("d_steps", 1) if plan.variant == "growing-resolution" else 0
    return world, settings, Stream(samples, batch_size=size, seed=plan.seed, grows=grows, coarse=coarse)


def generate(plan: Plan) -> Recording:
    """Train one run under observation and label it."""
    torch.set_num_threads(1)
    started = time.process_time()
    world, settings, stream = set_up(plan)
    lightning.seed_everything(plan.seed, verbose=False)
    model, memory, truth = GAN(**settings), MemorySink(), TruthRecorder(world)
    watch = GanWatch(store=None, sinks=[memory], probes=default_probes(Quality(share=1.0)), heldout=world.heldout, audit_seconds=0.0)
    drill = [Drill(plan.cause, step=plan.at)] if plan.cause in FAILURES else []
    fit(model, stream, steps=plan.steps, seed=plan.seed, callbacks=[Rates(plan.variant, plan.steps), *drill, watch, truth], threads=1)
    facts = {
        "part": plan.part,
        "setup": plan.setup(),
        "seed": plan.seed,
        "cause": {"name": plan.cause, "step": plan.at} if plan.cause else None,
        "steps": plan.steps,
        "modes": world.truth.modes,
        "complete": world.truth.complete,
        "truth": truth.rows,
        "samples": encode(truth.samples[:RECORDED_SAMPLES]),
        "seconds": round(time.process_time() - started, 1),
    }
    return Recording(plan.name, select_inputs(memory.steps), facts | label(facts))


def select_inputs(readings: list[Readings]) -> list[Readings]:
    """Return the readings of the detectors' inputs. Times and memory of the machine cannot be repeated and are left out."""
    families = {name.partition("/")[0] for detector in default_detectors() for name in detector.inputs}
    selected = [Readings(one.step, {name: v for name, v in one.values.items() if name.partition("/")[0] in families}) for one in readings]
    return [one for one in selected if one.values]


def encode(samples: np.ndarray[Any, Any]) -> dict[str, Any]:
    """Encode samples as 16-bit floats in base 64."""
    samples = samples.clip(-6e4, 6e4)
    return {"shape": list(samples.shape), "float16": base64.b64encode(samples.astype("<f2").tobytes()).decode()}
