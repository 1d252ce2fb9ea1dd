"""Record of one step, and the view of it that probes read: tensors by reference, nothing copied."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from ganwatch.capture.attribution.activity_clock import Activity
from ganwatch.capture.modes import Modes
from ganwatch.core.probe import Probe

COUNTED = ("updates_attempted", "updates_performed", "updates_skipped", "calls")
"""Families of series that count events of a step, by network."""
NO_COUNTS: dict[str, int] = {f"{family}/{role}": 0 for role in ("g", "d") for family in COUNTED}

Arguments = tuple[list[Any], dict[str, Any]]


@dataclass(slots=True)
class Call:
    """One forward call of a watched network."""

    network: str
    """Role of the network, ``g`` or ``d``."""
    inputs: tuple[Tensor, ...]
    """The call's tensor arguments, detached (they share storage with the loop's own)."""
    output: Any
    """The output, detached likewise: tensors, or the loop's own structure of them."""
    origin: str
    """Origin of the batch: for a discriminator ``real``, ``fake`` or ``unknown``; for a generator ``latent``."""
    training: bool
    """True if the network was in training mode."""
    index: int
    """The step (as counted by ganwatch) of the call."""
    in_g_phase: bool = False
    """True for a discriminator's call of G's phase: an input carries a graph, and D's optimizer did not step next."""
    has_graph: bool = True
    """True if the output carries a graph; a call without one does not train."""
    is_inferred: bool = False
    """True if the origin is no fact of the loop but follows from what the losses ask for."""
    is_reassigned: bool = False
    """True if an input carries a graph but D's optimizer stepped next, so that the call counts for D's phase."""
    precedes_d_update: bool = False
    """True if D's optimizer stepped after the call, within the same step."""
    has_grad_leaf: bool = False
    """True if an input is a leaf that requires a gradient: the call may serve a gradient penalty."""
    output_grad: Tensor | None = None
    """dL/d(output) of the backward pass through this call; None if it was not needed or there was none."""
    has_several_backwards: bool = False
    """True if several backward passes went through this call; the gradient is that of the last one."""
    family: str | None = None
    """Family of the loss by the operations between the score and it; None if they were not examined or are not conclusive."""
    modes: Modes | None = None
    """Modes of the network's layers; None for a call without a graph."""
    replaced: Call | None = None
    """An earlier call of the same kind, which D's optimizer has followed; it counts again unless D's optimizer follows this one too."""
    arguments: Arguments | None = None
    """For a generator: positional and keyword arguments, tensors detached; None if they cannot be kept."""


@dataclass(slots=True)
class Update:
    """One optimizer step of one network."""

    network: str
    """Role of the network; followed by ``_regularised`` for an update that compares with other regularising updates only."""
    index: int
    """The step (as counted by ganwatch) that it belongs to."""
    names: Sequence[str]
    """Names of the parameters."""
    parameters: Sequence[nn.Parameter]
    """Trainable parameters that have a gradient, in the order of definition."""
    scale: Tensor | None = None
    """Divisor that the optimizer itself applies to the gradients (mixed precision, fused)."""
    unclipped_norms: Tensor | None = None
    """L2 norm of each parameter's gradient before clipping, shape (P,); None if it was not clipped."""
    without_gradient: int = 0
    """Number of parameters of the network that the optimizer has and that have no gradient."""
    maximizes: bool = False
    """True if the optimizer climbs the loss instead of descending it."""
    _norms: Tensor | None = None

    def gradient_norms(self) -> Tensor:
        """Return the L2 norm of each parameter's gradient, shape (P,), unscaled and before clipping; valid before the step only."""
        return self.applied_norms() if self.unclipped_norms is None else self.unclipped_norms

    def applied_norms(self) -> Tensor:
        """Return the norms of the gradients that the step applies, after clipping if there is any; one fused call computes them."""
        if self._norms is None:
            norms = compute_norms([p.grad for p in self.parameters if p.grad is not None])
            self._norms = norms if self.scale is None else norms / self.scale
        return self._norms


@dataclass(slots=True)
class Step:
    """Record of the step that is going on: one main-phase update of the primary generator, and all that happened since the previous one.

    Where the generator is no longer updated, ``clock`` says what ended the step instead.
    """

    index: int
    due: Sequence[Probe] = ()
    """Probes that measure at this step; if none of them needs calls, those of this step may be missing."""
    calls: list[Call] = field(default_factory=list)
    losses: dict[str, Tensor] = field(default_factory=dict)
    """Loss of the last update, by network."""
    counts: dict[str, int] = field(default_factory=NO_COUNTS.copy)
    """Number of calls and of attempted, performed and skipped updates, by series."""
    last_updates: Mapping[str, int] = field(default_factory=dict)
    """Index of the latest step in which the network was updated, 0 for none, by role."""
    learning_rates: dict[str, float | Tensor] = field(default_factory=dict)
    """Learning rates by role, as the optimizers have them."""
    wiring: dict[str, float | Tensor] = field(default_factory=dict)
    """Facts about the loop, by series."""
    logged: dict[str, float | Tensor] = field(default_factory=dict)
    """Readings that the loop itself logged, by series."""
    fakes: Tensor | None = None
    """Latest samples of the generator, detached; may be missing if no due probe needs them."""
    loaded: Any = ()
    """Latest batch that the loop got from a loader."""
    wall_time: float = 0.0
    """Unix time of the step's end, in seconds."""
    data_time: float | None = None
    """Time that the loop waited for data, in seconds; None if no loader was seen."""
    observer_time: float = 0.0
    """Time that ganwatch took in the training thread, in seconds."""
    shift: int = 0
    """Number of steps by which cadences run ahead of the index."""
    clock: Activity = Activity.GENERATOR_UPDATES
    """Activity of the loop that ended the step."""
    count_tensors: Callable[[], Mapping[str, tuple[int, int, int, int]]] = dict
    """Counts the networks' parameter tensors, by role; see ``TensorCounts``."""

    @property
    def tick(self) -> int:
        """Index by which cadences count."""
        return self.index + self.shift


class StepView:
    """A finished step, as probes read it: tensors by reference, nothing copied, and nothing that can be set.

    Examples
    --------
    >>> view = StepView(Step(3, losses={"g": torch.tensor(0.5)}))
    >>> view.index, view.losses["g"], view.batch("real")
    (3, tensor(0.5000), None)
    >>> view.index = 4
    Traceback (most recent call last):
    AttributeError: property 'index' of 'StepView' object has no setter
    """

    __slots__ = ("_record",)

    def __init__(self, record: Step) -> None:
        self._record = record

    @property
    def index(self) -> int:
        """Number of the step, from 1."""
        return self._record.index

    @property
    def tick(self) -> int:
        """Index by which cadences count."""
        return self._record.tick

    @property
    def clock(self) -> Activity:
        """Activity of the loop that ended the step."""
        return self._record.clock

    @property
    def due(self) -> Sequence[Probe]:
        """Probes that measure at this step."""
        return self._record.due

    @property
    def calls(self) -> Sequence[Call]:
        """Recorded calls, those of the discriminator's own phase also of earlier steps; may be missing if no due probe needs them."""
        return tuple(self._record.calls)

    @property
    def losses(self) -> Mapping[str, Tensor]:
        """Loss of the last update, 0-d, by network."""
        return MappingProxyType(self._record.losses)

    @property
    def counts(self) -> Mapping[str, int]:
        """Number of calls and of attempted, performed and skipped updates, by series."""
        return MappingProxyType(self._record.counts)

    @property
    def last_updates(self) -> Mapping[str, int]:
        """Index of the latest step in which the network was updated, 0 for none, by role."""
        return self._record.last_updates

    @property
    def learning_rates(self) -> Mapping[str, float | Tensor]:
        """Learning rates by role, as the optimizers have them."""
        return MappingProxyType(self._record.learning_rates)

    @property
    def wiring(self) -> Mapping[str, float | Tensor]:
        """Facts about the loop, by series."""
        return MappingProxyType(self._record.wiring)

    @property
    def logged(self) -> Mapping[str, float | Tensor]:
        """Readings that the loop itself logged, by series."""
        return MappingProxyType(self._record.logged)

    @property
    def fakes(self) -> Tensor | None:
        """Latest samples of the generator, shape (N, …), as it gave them; may be missing if no due probe needs them."""
        return self._record.fakes

    @property
    def loaded(self) -> Any:
        """Latest batch that the loop got from a loader; may be missing if no due probe needs calls."""
        return self._record.loaded

    @property
    def tensor_counts(self) -> Mapping[str, tuple[int, int, int, int]]:
        """Numbers of each network's parameter tensors as of now: all, trainable, held by an optimizer that has stepped, with a gradient."""
        return self._record.count_tensors()

    @property
    def wall_time(self) -> float:
        """Unix time of the step's end, in seconds."""
        return self._record.wall_time

    @property
    def data_time(self) -> float | None:
        """Time that the loop waited for data, in seconds; None if no loader was seen."""
        return self._record.data_time

    @property
    def observer_time(self) -> float:
        """Time that ganwatch took in the training thread, in seconds."""
        return self._record.observer_time

    def last_call(self, network: str, origin: str, *, in_g_phase: bool | None = None) -> Call | None:
        """Return the most recent call of a network on a batch of this origin, optionally of one phase only."""
        for call in reversed(self._record.calls):
            if call.network == network and call.origin == origin and in_g_phase in {None, call.in_g_phase}:
                return call
        return None

    def batch(self, origin: str) -> Tensor | None:
        """Return the most recent batch of samples: ``real`` or ``fake`` as the discriminator got them, or ``latent``."""
        call = self.last_call("g" if origin == "latent" else "d", origin)
        return call.inputs[0] if call and call.inputs else None


def compute_norms(gradients: Sequence[Tensor]) -> Tensor:
    """Return the L2 norm of each gradient, shape (P,)."""
    fused = getattr(torch, "_foreach_norm", None)
    return torch.stack(fused(list(gradients)) if fused else [torch.linalg.vector_norm(gradient) for gradient in gradients])


def reduce_to_scores(output: Any) -> Tensor | None:
    """Return one score per sample of a discriminator's output: shape ``(N,)``, float32. A patch map is averaged."""
    leaf = find_score(output)
    if leaf is None or leaf.ndim == 0:
        return None
    return leaf.float() if leaf.ndim == 1 else leaf.float().flatten(1).mean(1)


def has_one_score(call: Call) -> bool:
    """Return True if the output is one score for each sample or place, rather than classes, features or a reconstruction."""
    score = call.output
    if not isinstance(score, Tensor) or score.ndim <= 1:
        return isinstance(score, Tensor) and bool(score.ndim)
    return bool(score.shape[1] == 1 and (score[0].numel() == 1 or score.shape != call.inputs[0].shape))


def sum_per_sample(output_grad: Tensor) -> Tensor:
    """Return dL/d(output) summed over everything but the batch: shape (N,), float32."""
    return output_grad.float().flatten(1).sum(1) if output_grad.ndim > 1 else output_grad.float()


def find_score(output: Any) -> Tensor | None:
    """Return the tensor with the score among the floating tensors in a nest of tuples, lists and dicts.

    It is the last one with a single channel, because class logits or features may accompany the score. If there is none, it is the last
    one, because features come before the score.
    """
    if isinstance(output, Tensor):
        return output if output.is_floating_point() else None
    leaves = [tensor for tensor in find_tensors(output) if tensor.is_floating_point()]
    single = (leaf for leaf in reversed(leaves) if leaf.ndim == 1 or (leaf.ndim > 1 and leaf.shape[1] == 1))
    return next(single, leaves[-1] if leaves else None)


def find_tensors(nest: Any) -> list[Tensor]:
    """Return the tensors in a nest of tuples, lists, mappings and data classes, in order."""
    if isinstance(nest, Tensor):
        return [nest]
    if not isinstance(nest, list | tuple):
        nest = list(nest.values()) if isinstance(nest, Mapping) else _field_values(nest)
    tensors: list[Tensor] = []
    for value in nest:
        if isinstance(value, Tensor):
            tensors.append(value)
        elif value is not None and not isinstance(value, str | int | float):
            tensors += find_tensors(value)
    return tensors


def to_plain(tensor: Tensor) -> Tensor:
    """Return a tensor of a subclass as a plain one that shares its storage; a subclass that wraps other tensors stays as it is.

    Subclasses redefine methods such as ``to``.
    """
    return tensor if type(tensor) in {Tensor, nn.Parameter} or hasattr(tensor, "__tensor_flatten__") else tensor.as_subclass(Tensor)


def _field_values(value: Any) -> list[Any]:
    is_instance = is_dataclass(value) and not isinstance(value, type)
    return [getattr(value, field.name) for field in fields(value)] if is_instance else []


def detach_nest(value: Any) -> Any:
    """Return the same nest with every tensor detached; storage is shared, the graph is not kept alive.

    Raises
    ------
    TypeError
        The nest contains something else than tensors and plain values, which might hold a graph.
    """
    if isinstance(value, Tensor):
        return to_plain(value.detach())
    if isinstance(value, Mapping):
        return {key: detach_nest(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [detach_nest(item) for item in value]
    if value is None or isinstance(value, str | bool | int | float):
        return value
    raise TypeError(f"value must be a nest of tensors and plain values, got {type(value).__name__}")
