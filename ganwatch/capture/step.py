"""What probes see of one step: tensors by reference, nothing copied."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ganwatch.core.probe import Probe

Arguments = tuple[list[Any], dict[str, Any]]


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
    index: int
    """The step (as counted by ganwatch) in which it happened."""
    attached: bool = False
    """Whether an input carries a graph: for a discriminator on fakes, the generator's phase."""
    graded: bool = True
    """Whether the output carries a graph; a call without one looks and does not train."""
    claimed: bool = False
    """Whether the discriminator's own step came next, so that it counts as not attached although it is."""
    trained: bool = False
    """Whether the discriminator's own step came after it, within the same step."""
    probing: bool = False
    """Whether an input is a leaf that wants a gradient: the call may be there for a penalty on the slope."""
    output_grad: Tensor | None = None
    """dL/d(output) of the backward pass through this call, where it was asked for and happened."""
    shared: bool = False
    """Whether several backward passes went through this call, so that the slope is that of the last one."""
    family: str | None = None
    """That of the loss by the operations that led to it from the score, where they were looked at and tell."""
    arguments: Arguments | None = None
    """For a generator, what it was given by position and by name, tensors detached; None where that cannot be kept."""


@dataclass(slots=True)
class Update:
    """One optimizer step of one network."""

    network: str
    """Its role; with ``_regularised`` behind it where the update compares with such ones only."""
    index: int
    """The step (as counted by ganwatch) that it belongs to."""
    names: Sequence[str]
    parameters: Sequence[nn.Parameter]
    """Trainable parameters that have a gradient, in the order of definition."""
    scale: Tensor | None = None
    """What the optimizer itself divides the gradients by (mixed precision, fused)."""
    unclipped: Tensor | None = None
    """L2 norm of each parameter's gradient before it was clipped, shape (P,); None where it was not."""
    _norms: Tensor | None = None

    def gradient_norms(self) -> Tensor:
        """L2 norm of each parameter's gradient, shape (P,), unscaled and before clipping; to be asked for before the step."""
        return self.applied_norms() if self.unclipped is None else self.unclipped

    def applied_norms(self) -> Tensor:
        """Those of the gradients that the step applies, which clipping may have shortened; from one fused call."""
        if self._norms is None:
            norms = norms_of([p.grad for p in self.parameters if p.grad is not None])
            self._norms = norms if self.scale is None else norms / self.scale
        return self._norms


@dataclass(slots=True)
class Step:
    """One main-phase update of the primary generator and what happened since the previous one."""

    index: int
    due: Sequence[Probe] = ()
    """Who measures at this step; where none of them wants calls, those of this step may be missing."""
    calls: list[Call] = field(default_factory=list)
    losses: dict[str, Tensor] = field(default_factory=dict)
    updates: dict[str, int] = field(default_factory=dict)
    learning_rates: dict[str, Any] = field(default_factory=dict)
    """As the optimizers have them: floats, or tensors."""
    logged: dict[str, Any] = field(default_factory=dict)
    """Readings that the loop itself gave, by series: floats, or tensors."""
    wall_time: float = 0.0
    """Unix time at which it ended, in seconds."""
    data_time: float | None = None
    observer_time: float = 0.0
    shift: int = 0
    """By how much cadences run ahead of the index."""

    @property
    def tick(self) -> int:
        """What cadences count by."""
        return self.index + self.shift

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


def norms_of(gradients: Sequence[Tensor]) -> Tensor:
    """L2 norm of each, shape (P,)."""
    return torch.stack(torch._foreach_norm(list(gradients)))  # noqa: SLF001


def scores(output: Any) -> Tensor | None:
    """One score a sample from whatever a discriminator returned: shape ``(N,)``, float32. A patch map is averaged."""
    leaf = score_leaf(output)
    if leaf is None or leaf.ndim == 0:
        return None
    return leaf.float() if leaf.ndim == 1 else leaf.float().flatten(1).mean(1)


def per_sample(output_grad: Tensor) -> Tensor:
    """dL/d(output) summed over everything but the batch: shape (N,), float32."""
    return output_grad.float().flatten(1).sum(1) if output_grad.ndim > 1 else output_grad.float()


def score_leaf(output: Any) -> Tensor | None:
    """Of the floating tensors in a nest of tuples, lists and dicts, the one that judges.

    The last with a single channel, because class logits or features may stand beside the score, or else the last, because
    features come before the score.
    """
    if isinstance(output, Tensor):
        return output if output.is_floating_point() else None
    leaves = [tensor for tensor in tensors(output) if tensor.is_floating_point()]
    single = (leaf for leaf in reversed(leaves) if leaf.ndim == 1 or (leaf.ndim > 1 and leaf.shape[1] == 1))
    return next(single, leaves[-1] if leaves else None)


def tensors(nest: Any) -> list[Tensor]:
    """The tensors in a nest of tuples, lists, mappings and data classes, in order."""
    if isinstance(nest, Tensor):
        return [nest]
    if not isinstance(nest, list | tuple):
        nest = list(nest.values()) if isinstance(nest, Mapping) else _fields(nest)
    found: list[Tensor] = []
    for value in nest:
        if isinstance(value, Tensor):
            found.append(value)
        elif value is not None and not isinstance(value, str | int | float):
            found += tensors(value)
    return found


def _fields(value: Any) -> list[Any]:
    known = is_dataclass(value) and not isinstance(value, type)
    return [getattr(value, field.name) for field in fields(value)] if known else []


def detached(value: Any) -> Any:
    """The same nest with every tensor detached; storage is shared, the graph is not kept alive.

    Raises
    ------
    TypeError
        There is something in it that is neither a tensor nor a plain value, and might hold a graph of its own.
    """
    if isinstance(value, Tensor):
        return value.detach()
    if isinstance(value, Mapping):
        return {key: detached(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [detached(item) for item in value]
    if value is None or isinstance(value, str | bool | int | float):
        return value
    raise TypeError(f"value must be a nest of tensors and plain values, got {type(value).__name__}")
