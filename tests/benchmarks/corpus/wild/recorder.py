"""Measures the truth of a plain loop, on a twin of its generator, without any effect on the training."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from corpus.truth import Points
from corpus.wild.loop import Loop
from torch import nn

EVERY, LONG_EVERY, LONG = 25, 100, 3000
"""Steps between two measurements; those of runs of at least ``LONG`` steps."""
CLOSE_EVERY, BEFORE, AFTER = 5, 30, 100
"""Steps between two measurements around the cause, and how many steps before and after it."""
SAMPLES = 300
"""Generated samples of one measurement."""
COMPARED = 100
"""Generated samples that are compared with training and unseen reals."""
COMPARED_REALS = 250
"""Largest number of reals of each side."""


class TruthRecorder:
    """Measures the truth at chosen steps.

    The twin has the generator's layers and gets its weights and buffers, so the generator itself is never called.

    Attributes
    ----------
    rows : list of dict
        Measurements as for ``Truth.measure``, with ``step``, ``copies``, and ``agreement`` with requested labels where there are any.
    samples : (N, F) float64
        Samples of the latest measurement.
    """

    def __init__(self, loop: Loop) -> None:
        self.loop, self.rows, self.samples = loop, list[dict[str, float]](), np.empty((0, 0))
        with torch.random.fork_rng(devices=()):
            self.twin: nn.Module = loop.make_generator().eval()
        self.latents = loop.truth_latents(SAMPLES)
        self.labels = loop.pool_labels[torch.arange(SAMPLES) * 7 % len(loop.pool_labels)]
        chosen = np.random.default_rng(0).permutation(len(loop.pool))[:COMPARED_REALS]
        self.seen = loop.pool[torch.from_numpy(chosen)].flatten(1)
        self.unseen = torch.from_numpy(loop.world.truth.reals[:COMPARED_REALS]).float()

    def is_due(self, step: int) -> bool:
        """Return True if the truth is measured after a step."""
        at, steps = self.loop.plan.at, self.loop.plan.steps
        if self.loop.plan.cause and at - BEFORE <= step <= at + AFTER and step % CLOSE_EVERY == 0:
            return True
        return step % (LONG_EVERY if steps >= LONG else EVERY) == 0 or step == steps

    def measure(self, step: int) -> None:
        """Add a row."""
        self.samples = self.draw()
        row = self.loop.world.truth.measure(self.samples) | {"copies": self.copied()}
        if self.loop.world.conditional and np.isfinite(self.samples).all():
            row["agreement"] = float((self.loop.world.truth.mode_of(self.samples)[0] == self.labels.numpy()).mean())
        self.rows.append({"step": step} | {name: _round(value) for name, value in row.items()})

    @torch.no_grad()
    def draw(self) -> Points:
        """Return samples of the fixed latents."""
        self.twin.load_state_dict(self.loop.g.state_dict())
        with torch.random.fork_rng(devices=()):
            torch.manual_seed(0)
            samples = self.twin(self.latents, self.labels) if self.loop.world.conditional else self.twin(self.latents)
        rows: Any = samples.flatten(1).double().numpy()
        return rows

    def copied(self) -> float:
        """Return the share of samples that lie nearer to a training real than to an unseen one."""
        samples = torch.from_numpy(self.samples[:COMPARED]).float()
        nearest = [torch.cdist(samples, reals).amin(1) for reals in (self.seen, self.unseen)]
        return float((nearest[0] < nearest[1]).float().mean())


def _round(value: float) -> float:
    return round(value, 3) if math.isfinite(value) else -1.0
