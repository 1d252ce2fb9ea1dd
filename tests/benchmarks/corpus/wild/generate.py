"""One wild run: train it under observation, measure the truth, record both."""

from __future__ import annotations

import time
import warnings
from typing import Any

import torch
from corpus.generate import encode, select_inputs
from corpus.wild.causes import find_causes
from corpus.wild.healthy import find_variants
from corpus.wild.label import label
from corpus.wild.loop import Loop
from corpus.wild.plan import WildPlan
from corpus.wild.recorder import TruthRecorder
from corpus.wild.styles import STYLES
from corpus.wild.worlds import create_world

import ganwatch
from ganwatch.recordings import Recording
from ganwatch.sinks.memory import MemorySink

REFUSAL = "should be between 0 and 1"
"""Part of the message with which a cross entropy of probabilities refuses values that are not numbers, which ends a training."""
RECORDED_VALUES = 512
"""Values of samples of the last step that are recorded."""


def create_loop(plan: WildPlan) -> Loop:
    """Create the loop of a plan: its style, with its cause or its variant on top."""
    top = find_causes()[plan.cause] if plan.cause else find_variants()[plan.variant]
    cls = type(f"{top.__name__}In{STYLES[plan.style].__name__}", (top, STYLES[plan.style]), {})
    loop: Loop = cls(plan, create_world(plan.world))
    return loop


def generate(plan: WildPlan) -> Recording:
    """Train one run under observation and label it."""
    torch.set_num_threads(1)
    world, started = create_world(plan.world), time.process_time()
    warnings.filterwarnings("ignore", category=UserWarning, module="torch")
    loop, memory = create_loop(plan), MemorySink()
    truth = TruthRecorder(loop)
    steps, error = train(loop, truth, memory)
    truth_of_loop = loop.world.truth
    facts: dict[str, Any] = {
        "part": plan.part,
        "setup": plan.setup(),
        "seed": plan.seed,
        "cause": {"name": plan.cause, "step": plan.at, "kind": find_causes()[plan.cause].kind()} if plan.cause else None,
        "steps": steps,
        "modes": truth_of_loop.modes,
        "complete": truth_of_loop.complete,
        "max_distance": world.max_distance,
        "truth": truth.rows,
        "samples": encode(truth.samples[: RECORDED_VALUES // max(1, truth.samples.shape[1])]),
        "seconds": round(time.process_time() - started, 1),
    } | ({"error": error} if error else {})
    return Recording(plan.name, select_inputs(memory.steps), facts | label(facts))


def train(loop: Loop, truth: TruthRecorder, memory: MemorySink) -> tuple[int, str | None]:
    """Train a loop to its end, or to an error of the training itself. Return the last step and the error."""
    step, error = 0, None
    g, d = loop.watched()
    with ganwatch.watch(G=g, D=d, store=None, sinks=[memory], audit_seconds=0.0):
        for step in range(1, loop.plan.steps + 1):
            try:
                loop.train_step(step)
            except RuntimeError as raised:
                if not loop.plan.cause or not loop.is_on or REFUSAL not in str(raised):
                    raise
                error = str(raised).splitlines()[0]
                break
            if truth.is_due(step):
                truth.measure(step)
    return step, error
