"""Spread of the generator's samples, cheap enough for every fifth step, and how far their mean moves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeGuard

import torch
from torch import Tensor

from ganwatch.capture.step import StepView
from ganwatch.core.probe import Probe
from ganwatch.evaluation.tensor_state import pack, unpack
from ganwatch.probes.diversity import MAX_SAMPLES, MIN_SAMPLES

MAX_VALUES = 1024
"""Values of a sample, about, whose spread is measured."""
SHIFT_INTERVAL, REALS_INTERVAL = 20, 80
"""Steps between the two means of fakes that the shift compares, and between two measurements of the spread of the reals."""


class Spread(Probe):
    """Spread of the latest samples, which the sentinel compares with its own past: the root of the summed variance over the batch."""

    name = "spread"
    signals = ("fake_spread",)
    every = 5
    needs_calls = False
    needs_fakes = True

    def read(self, step: StepView) -> dict[str, Tensor]:
        return {"fake_spread": measure_spread(step.fakes)[0]} if has_samples(step.fakes) else {}


class Shift(Probe):
    """Distance between the mean of the fakes and that of 20 steps before, in units of the spread of the reals.

    It is about 0.2 between two batches of 64 from one distribution, and 1 for a generator whose samples lie elsewhere.
    """

    name = "shift"
    signals = ("fake_shift",)
    every = SHIFT_INTERVAL
    needs_fakes = True

    def __init__(self) -> None:
        self._mean: tuple[int, Tensor] | None = None
        """Mean of the fakes at the last comparison, and its tick."""
        self._of_reals: Tensor | None = None
        """Latest spread of the reals, 0-d; None if they have another shape."""

    def read(self, step: StepView) -> dict[str, Tensor]:
        fakes = step.fakes
        if step.tick % SHIFT_INTERVAL or not has_samples(fakes):
            return {}
        _, mean = measure_spread(fakes)
        if step.tick % REALS_INTERVAL == 0 or self._of_reals is None:
            reals = step.batch("real")
            is_alike = has_samples(reals) and reals.shape[1:] == fakes.shape[1:]
            self._of_reals = measure_spread(reals)[0] if has_samples(reals) and is_alike else None
        before, self._mean = self._mean, (step.tick, mean)
        is_next = before is not None and before[0] == step.tick - SHIFT_INTERVAL and before[1].shape == mean.shape
        if not is_next or before is None or self._of_reals is None:
            return {}
        return {"fake_shift": torch.linalg.vector_norm(mean - before[1].to(mean)) / self._of_reals.to(mean).clamp_min(1e-38)}

    def state_dict(self) -> dict[str, Any]:
        """Return the mean of the fakes at the last comparison, and the spread of the reals."""
        state: dict[str, Any] = {} if self._mean is None else {"tick": self._mean[0], "mean": pack(self._mean[1])}
        return state | ({} if self._of_reals is None else {"of_reals": pack(self._of_reals)})

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a saved mean."""
        self._mean = (state["tick"], unpack(state["mean"])) if "tick" in state else None
        self._of_reals = unpack(state["of_reals"]) if "of_reals" in state else None


def has_samples(batch: Tensor | None) -> TypeGuard[Tensor]:
    """Return True for a batch of at least two samples."""
    return batch is not None and batch.ndim >= 2 and len(batch) >= MIN_SAMPLES and batch.numel() > 0


def measure_spread(samples: Tensor) -> tuple[Tensor, Tensor]:
    """Return the root of the summed variance over a batch (N, …), 0-d, and the mean (V,), of some 1,024 evenly chosen values at most.

    >>> measure_spread(torch.tensor([[1.0, 2.0], [-1.0, 2.0]]))
    (tensor(1.), tensor([0., 2.]))
    """
    flat = samples[:MAX_SAMPLES].flatten(1).float()
    variance, mean = torch.var_mean(flat[:, :: -(-flat.shape[1] // MAX_VALUES)], 0, correction=0)
    return variance.sum().sqrt(), mean
