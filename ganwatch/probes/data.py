"""Ranges and faults of the batches that the discriminator is shown, real and generated alike."""

from __future__ import annotations

import torch
from torch import Tensor

from ganwatch.capture.step import Step
from ganwatch.contracts import Probe


class Data(Probe):
    """Range, mean, spread, and the shares of constant samples, exact repeats and non-finite values."""

    name = "data"
    signals = ("data_min", "data_max", "data_mean", "data_std", "data_constant", "data_repeated", "data_nonfinite")
    every = 10

    def read(self, step: Step) -> dict[str, Tensor]:
        values: dict[str, Tensor] = {}
        for kind in ("real", "fake"):
            batch = step.batch(kind)
            if batch is not None and batch.numel():
                values |= {f"data_{name}/{kind}": value for name, value in describe(batch).items()}
        return values


def describe(batch: Tensor) -> dict[str, Tensor]:
    """Facts about a batch of shape (N, …) as 0-d tensors; range and spread are those of its finite values, NaN where it has none."""
    flat = batch.detach().float().flatten(1)
    good = torch.isfinite(flat)
    count = good.sum()
    mean = flat.where(good, 0.0).sum() / count
    clean = flat.where(good, mean)
    spread = flat.amax(1) - flat.amin(1)
    checksum = clean.double() @ torch.linspace(1.0, 2.0, flat.shape[1], dtype=torch.float64, device=flat.device)
    ordered = checksum.sort().values
    return {
        "min": clean.min(),
        "max": clean.max(),
        "mean": clean.mean(),
        "std": clean.std(correction=0) * (flat.numel() / count.clamp_min(1)).sqrt(),
        "constant": (spread == 0).float().mean() if flat.shape[1] > 1 else torch.zeros((), device=flat.device),
        "repeated": (ordered[1:] == ordered[:-1]).sum() / len(flat),
        "nonfinite": 1.0 - count / flat.numel(),
    }
