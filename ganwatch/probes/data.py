"""Ranges and faults of the batches that the discriminator receives, real and generated alike."""

from __future__ import annotations

import torch
from torch import Tensor

from ganwatch.capture.step import StepView
from ganwatch.core.probe import Probe
from ganwatch.probes.row_hashes import count_repeats, hash_rows


class Data(Probe):
    """Range, usual largest value of a sample, mean, spread, and the shares of constant samples, exact repeats and non-finite values."""

    name = "data"
    signals = ("data_min", "data_max", "data_reach", "data_mean", "data_std", "data_constant", "data_repeated", "data_nonfinite")
    every = 40
    is_paced = True

    def read(self, step: StepView) -> dict[str, Tensor]:
        batches = {origin: batch for origin in ("real", "fake") if (batch := step.batch(origin)) is not None and batch.numel()}
        can_stack = len({(batch.shape, batch.dtype, batch.device) for batch in batches.values()}) == 1
        groups = [list(batches)] if can_stack else [[origin] for origin in batches]
        values: dict[str, Tensor] = {}
        for origins in groups:
            for name, facts in describe_batches(torch.stack([batches[origin] for origin in origins])).items():
                values |= {f"data_{name}/{origin}": fact for origin, fact in zip(origins, facts.unbind(), strict=True)}
        return values


def describe_batches(batches: Tensor) -> dict[str, Tensor]:
    """Return facts about batches (B, N, …), each of shape (B,); range, mean and spread are over the samples without a non-finite value.

    >>> {name: fact.tolist() for name, fact in describe_batches(torch.tensor([[[0.0, 2.0], [0.0, 2.0]]])).items()}
    {'min': [0.0], 'max': [2.0], 'reach': [2.0], 'mean': [1.0], 'std': [1.0], 'constant': [0.0], 'repeated': [0.5], 'nonfinite': [0.0]}
    """
    flat = batches.detach().float().flatten(2)
    samples, features = flat.shape[1:]
    low, high = flat.amin(2), flat.amax(2)
    finite = torch.isfinite(low) & torch.isfinite(high)
    count = finite.sum(1)
    mean = flat.mean(2).where(finite, 0.0).sum(1) / count
    square = (flat - mean[:, None, None]).square().mean(2).where(finite, 0.0).sum(1) / count
    empty = count == 0
    return {
        "min": low.where(finite, torch.inf).amin(1).where(~empty, torch.nan),
        "max": high.where(finite, -torch.inf).amax(1).where(~empty, torch.nan),
        "reach": torch.maximum(low.abs(), high.abs()).where(finite, torch.nan).nanmedian(1).values,
        "mean": mean,
        "std": square.sqrt(),
        "constant": (low == high).float().mean(1) if features > 1 else torch.zeros_like(mean),
        "repeated": count_repeats(hash_rows(flat.flatten(0, 1)).view(-1, samples)) / samples,
        "nonfinite": 1.0 - count / samples,
    }
