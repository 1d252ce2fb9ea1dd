"""Sees what is back-propagated while somebody listens: scalar losses, and penalties on slopes.

``torch.autograd.backward``, what it and ``torch.autograd.grad`` run in the end (as code may have imported the latter by name), and
two methods of ``GradScaler`` are wrapped meanwhile. A loss that was scaled for mixed precision is told as it was before, one that is
given a weight (``loss.backward(-one)``) with it. A backward pass within another one, as checkpointing runs it, tells nothing, nor does
what other threads do.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, MutableMapping, Sequence
from dataclasses import dataclass
from threading import get_ident
from typing import Any

import torch
from torch import Tensor, nn
from torch.amp.grad_scaler import GradScaler
from torch.utils.weak import WeakIdKeyDictionary


@dataclass(slots=True)
class Listener:
    """Whom to tell what one thread does."""

    on_backward: Callable[[], None]
    """Called before a backward pass."""
    on_loss: Callable[[Tensor], None]
    """Gets every back-propagated scalar, detached, after its backward pass."""
    on_gradient: Callable[[Tensor, Sequence[Any]], None]
    """Gets every scalar, detached, whose gradient in parameters was asked for without a backward pass, and these."""
    on_penalty: Callable[[], None]
    """Called where slopes are computed to be differentiated once more."""
    on_scaled_step: Callable[[torch.optim.Optimizer], None]
    """Gets an optimizer after a scaler let it step, or did not because gradients were not finite."""
    thread: int
    """The one that trains."""


_listeners: list[Listener] = []
_scaled: MutableMapping[Tensor, tuple[Tensor, Tensor]] = WeakIdKeyDictionary()
"""Scaled loss to (loss, scale)."""
_scaled_before: list[bool] = []
"""Not empty once a loss has been scaled."""
_passes: dict[int, tuple[Any, Tensor | None]] = {}
"""What is back-propagated and its scale, of the outermost pass in progress in each thread."""
_ENGINE = "_engine_run_backward"
"""What every pass runs through; it has no public name."""
_ORIGINAL = torch.autograd.backward, getattr(torch.autograd, _ENGINE), GradScaler.scale, GradScaler.step
_run_backward, _run_engine, _run_scale, _run_step = _ORIGINAL


@functools.wraps(_run_backward)
def _backward(tensors: Any, grad_tensors: Any = None, *args: Any, **kwargs: Any) -> Any:
    thread = get_ident()
    listeners = _here()
    if not listeners or thread in _passes:
        return _run_backward(tensors, grad_tensors, *args, **kwargs)
    if _scaled_before or grad_tensors is not None or not isinstance(tensors, Tensor):
        return _backward_any(listeners, tensors, grad_tensors, *args, **kwargs)
    _passes[thread] = tensors, None
    for listener in listeners:
        listener.on_backward()
    try:
        result = _run_backward(tensors, None, *args, **kwargs)
    finally:
        del _passes[thread]
    if tensors.numel() == 1:
        loss = tensors.detach()
        for listener in listeners:
            listener.on_loss(loss)
    return result


def _backward_any(listeners: Sequence[Listener], tensors: Any, grad_tensors: Any, *args: Any, **kwargs: Any) -> Any:
    losses = tensors if isinstance(tensors, list | tuple) else (tensors,)
    weights = grad_tensors if isinstance(grad_tensors, list | tuple) else (grad_tensors,) * len(losses)
    before = [_scaled.get(loss) if isinstance(loss, Tensor) else None for loss in losses]
    thread = get_ident()
    _passes[thread] = tensors, before[0][1] if before and before[0] else None
    for listener in listeners:
        listener.on_backward()
    try:
        result = _run_backward(tensors, grad_tensors, *args, **kwargs)
    finally:
        del _passes[thread]
    for scaled, known, weight in zip(losses, before, weights, strict=False):
        loss = known[0] if known else scaled
        if isinstance(loss, Tensor) and loss.numel() == 1:  # a graph's edge may be given instead
            value = loss.detach() if weight is None else loss.detach() * weight.detach().reshape(loss.shape)
            for listener in listeners:
                listener.on_loss(value)
    return result


@functools.wraps(_run_engine)
def _engine(outputs: Any, weights: Any, retain_graph: Any, create_graph: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
    result = _run_engine(outputs, weights, retain_graph, create_graph, inputs, *args, **kwargs)
    if not kwargs.get("accumulate_grad"):
        if create_graph:
            for listener in _here():
                listener.on_penalty()
        elif isinstance(inputs[0], nn.Parameter) and len(outputs) == 1 and isinstance(outputs[0], Tensor) and outputs[0].numel() == 1:
            for listener in _here():
                listener.on_gradient(outputs[0].detach(), inputs)
    return result


def _here() -> list[Listener]:
    thread = get_ident()
    return [listener for listener in _listeners if listener.thread == thread]


@functools.wraps(_run_scale)
def _scale(self: GradScaler, outputs: Any) -> Any:
    result = _run_scale(self, outputs)
    if isinstance(outputs, Tensor) and result is not outputs:
        _scaled_before[:] = [True]
        _scaled[result] = (outputs.detach(), _run_scale(self, torch.ones((), device=outputs.device)))
    return result


@functools.wraps(_run_step)
def _step(self: GradScaler, optimizer: torch.optim.Optimizer, *args: Any, **kwargs: Any) -> Any:
    result = _run_step(self, optimizer, *args, **kwargs)
    for listener in _here():
        listener.on_scaled_step(optimizer)
    return result


def scale() -> Tensor | None:
    """By what the loss was multiplied whose backward pass is in progress; None where it was not."""
    return _in_progress()[1]


def loss() -> Tensor | None:
    """The tensor whose backward pass is in progress; None where there are several."""
    tensors = _in_progress()[0]
    return tensors if isinstance(tensors, Tensor) else None


def _in_progress() -> tuple[Any, Tensor | None]:
    """That of this thread; on an accelerator hooks run in a thread of the engine's, then the only one."""
    thread = get_ident()
    return _passes[thread] if thread in _passes else next(iter([*_passes.values()]), (None, None))


def listen(listener: Listener) -> None:
    """Tell from now on."""
    if not _listeners:
        _put(_backward, _engine, _scale, _step)
    _listeners.append(listener)


def unlisten(listener: Listener) -> None:
    """Undo ``listen``."""
    _listeners.remove(listener)
    if not _listeners:
        _put(*_ORIGINAL)


def _put(backward: Any, engine: Any, scale: Any, step: Any) -> None:
    torch.autograd.backward = backward
    setattr(torch.autograd, _ENGINE, engine)
    GradScaler.scale, GradScaler.step = scale, step  # type: ignore[method-assign]
