"""What probes see of one step: tensors by reference, nothing copied."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn


@dataclass(slots=True)
class Call:
    """One forward call of a watched network."""

    network: str
    inputs: tuple[Tensor, ...]
    """The call's tensor arguments, detached (they share storage with the loop's own)."""
    output: Any
    """Detached likewise; tensors, or the loop's own structure of them."""
    batch: str
    """For a discriminator ``real``, ``fake`` or ``unknown``; for a generator ``latent``."""
    training: bool
    attached: bool = False
    """Whether an input carries a graph: for a discriminator on fakes, the generator's phase."""
    slope: Tensor | None = None
    """dL/d(output) of the backward pass through this call, where it was asked for and happened."""


@dataclass(slots=True)
class Update:
    """One optimizer step of one network."""

    network: str
    index: int
    """The step (as counted by ganwatch) that it belongs to."""
    names: Sequence[str]
    parameters: Sequence[nn.Parameter]
    """Trainable parameters that have a gradient, in the order of definition."""
    learning_rate: float
    optimizer: torch.optim.Optimizer


@dataclass(slots=True)
class Step:
    """One main-phase update of the primary generator and what happened since the previous one."""

    index: int
    calls: list[Call] = field(default_factory=list)
    losses: dict[str, Tensor] = field(default_factory=dict)
    updates: dict[str, int] = field(default_factory=dict)
    learning_rates: dict[str, float] = field(default_factory=dict)
    data_time: float | None = None
    observer_time: float = 0.0

    def last(self, network: str, batch: str, *, attached: bool | None = None) -> Call | None:
        """The most recent call of a network on a kind of batch, where asked for in one phase only."""
        for call in reversed(self.calls):
            if call.network == network and call.batch == batch and attached in {None, call.attached}:
                return call
        return None

    def batch(self, kind: str) -> Tensor | None:
        """The most recent batch of samples: ``real`` or ``fake`` as the discriminator saw them, or ``latent``."""
        if kind == "latent":
            call = self.last("g", "latent")
            return call.inputs[0] if call and call.inputs else None
        call = self.last("d", kind)
        return call.inputs[0] if call and call.inputs else None


def scores(output: Any) -> Tensor | None:
    """One score a sample from whatever a discriminator returned: shape ``(N,)``, float32.

    A patch map is averaged; of a tuple or a list the last leaf counts, because features come before the score.
    """
    leaf = last_leaf(output)
    if leaf is None or leaf.ndim == 0:
        return None
    return leaf.float() if leaf.ndim == 1 else leaf.float().flatten(1).mean(1)


def last_leaf(output: Any) -> Tensor | None:
    """The last floating tensor in a nest of tuples, lists and dicts."""
    if isinstance(output, Tensor):
        return output if output.is_floating_point() else None
    values = list(output.values()) if isinstance(output, dict) else list(output) if isinstance(output, list | tuple) else []
    for value in reversed(values):
        leaf = last_leaf(value)
        if leaf is not None:
            return leaf
    return None


def detached(value: Any) -> Any:
    """The same nest with every tensor detached; storage is shared, the graph is not kept alive."""
    if isinstance(value, Tensor):
        return value.detach()
    if isinstance(value, dict):
        return {key: detached(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [detached(item) for item in value]
    return None
