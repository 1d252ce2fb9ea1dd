"""Batches that come again: reals and latents of recent steps, compared as sets of samples."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ganwatch.capture.step import StepView
from ganwatch.core.probe import Probe
from ganwatch.probes.row_hashes import count_repeats, hash_rows, mix

BATCHES = 12
"""Sampled batches that are compared."""


class Repetition(Probe):
    """Number of the last twelve sampled batches that repeat an earlier one of them, for reals and for latents.

    Two batches are the same if they have the same samples in any order. So a small data set does not count, because each batch is another
    draw from it. Steps are sampled unevenly: data that is read in order, over and over, must not show the same batch at each of them. A
    batch most of whose samples are alike, such as one of labels, counts as different from all others.
    """

    name = "repetition"
    signals = ("batches_repeated",)
    needs_output_grads = True  # without a loader, reals are recognised by them
    every = 100
    offsets = (0, 20, 33, 40, 57, 60, 80)

    def __init__(self) -> None:
        self._recent: dict[str, deque[Tensor]] = {origin: deque(maxlen=BATCHES) for origin in ("real", "latent")}
        self._latest = {"real": 0, "latent": 0}

    def read(self, step: StepView) -> dict[str, Tensor]:
        values = {}
        for origin, network in (("real", "d"), ("latent", "g")):
            call = step.last_call(network, origin)
            if call is None or call.index <= self._latest[origin] or not call.inputs or call.inputs[0].ndim < 1:
                continue
            inputs, recent = call.inputs if origin == "latent" else call.inputs[:1], self._recent[origin]
            if len(inputs[0]) < 2:
                continue
            self._latest[origin] = call.index
            recent.append(hash_batch(inputs, salt=call.index))
            device = recent[-1].device
            values[f"batches_repeated/{origin}"] = count_repeats(torch.stack([each.to(device) for each in recent]))
        return values

    def state_dict(self) -> dict[str, Any]:
        """Return the hashes of the latest batches and the steps of the last ones."""
        return {"recent": {origin: [int(each) for each in recent] for origin, recent in self._recent.items()}, "latest": dict(self._latest)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from saved hashes."""
        for origin, recent in self._recent.items():
            recent.clear()
            recent.extend(torch.tensor(each) for each in state["recent"][origin])
        self._latest = dict(state["latest"])


def hash_batch(inputs: tuple[Tensor, ...], salt: int) -> Tensor:
    """Return a hash of the samples of a batch as a set, 0-d, int64, from the inputs (N, …) that belong to them.

    The salt enters if half of the samples or fewer are different.

    >>> batch = torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    >>> (hash_batch((batch,), 1) == hash_batch((batch.flip(0),), 2)).item()
    True
    >>> (hash_batch((batch, batch), 1) == hash_batch((batch, batch.flip(0)), 2)).item()
    False
    """
    n = len(inputs[0])
    hashes = hash_rows(inputs[0])
    for each in inputs[1:]:
        if each.ndim >= 1 and len(each) == n:
            hashes = mix(hashes + hash_rows(each).to(hashes.device))
    are_alike = 2 * count_repeats(hashes) >= n
    return hashes.sum() + salt * are_alike
