"""Inputs of the generator that stay the same, so that its samples can be compared through time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ganwatch.capture.step import Arguments, Call, find_tensors
from ganwatch.evaluation.generator_sampler import GeneratorSampler
from ganwatch.evaluation.labels import find_labels
from ganwatch.evaluation.tensor_state import pack, unpack


class FixedInputs:
    """The first inputs of a generator, cloned, up to a number of samples.

    Parameters
    ----------
    count : int, samples
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self.batches: list[Arguments] = []
        self._sizes: list[int] = []

    @property
    def is_full(self) -> bool:
        """True if there are inputs for ``count`` samples."""
        return sum(self._sizes) >= self.count

    def add(self, call: Call) -> None:
        """Add the inputs of a call, unless there are enough or the arguments of the call are unknown."""
        if not self.is_full and call.arguments is not None and call.inputs and call.inputs[0].ndim:
            args, kwargs = clone_first(call.arguments, len(call.inputs[0]), len(call.inputs[0]))
            self.batches.append((args, kwargs))
            self._sizes.append(len(call.inputs[0]))

    def labels(self) -> Tensor | None:
        """Return the requested labels, shape (count,), int64, or None unless every input has one integer for each sample."""
        found = [find_labels(find_tensors(batch), size) for batch, size in zip(self.batches, self._sizes, strict=True)]
        known = [labels for labels in found if labels is not None]
        return torch.cat(known)[: self.count].long() if known and len(known) == len(found) else None

    def generate(self, sampler: GeneratorSampler) -> Tensor:
        """Return the generator's samples for all inputs: shape (count, …)."""
        samples = [next(iter(find_tensors(sampler(batch)))) for batch in self.batches]
        return torch.cat(samples)[: self.count]

    def state_dict(self) -> dict[str, Any]:
        """Return the inputs as plain types."""
        return {"batches": pack(self.batches), "sizes": list(self._sizes)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue with saved inputs."""
        self.batches, self._sizes = [(args, kwargs) for args, kwargs in unpack(state["batches"])], list(state["sizes"])


def clone_first(nest: Any, count: int, limit: int) -> Any:
    """Clone the tensors of a nest; those of ``count`` samples are cut to the first ``limit``."""
    if isinstance(nest, Tensor):
        return nest[:limit].clone() if nest.ndim and len(nest) == count else nest.clone()
    if isinstance(nest, dict):
        return {key: clone_first(item, count, limit) for key, item in nest.items()}
    return [clone_first(item, count, limit) for item in nest] if isinstance(nest, list | tuple) else nest
