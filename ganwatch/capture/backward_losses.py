"""Sees what is back-propagated while somebody listens: scalar losses, and penalties on slopes.

``torch.autograd.backward``, ``torch.autograd.grad`` and two methods of ``GradScaler`` are wrapped meanwhile. A loss that was scaled
for mixed precision is told as it was before.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, MutableMapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.amp.grad_scaler import GradScaler
from torch.utils.weak import WeakIdKeyDictionary


@dataclass(frozen=True, slots=True)
class Listener:
    """Whom to tell."""

    on_backward: Callable[[], None]
    """Called before a backward pass."""
    on_loss: Callable[[Tensor], None]
    """Gets every back-propagated scalar, detached, after its backward pass."""
    on_penalty: Callable[[], None]
    """Called where slopes are computed to be differentiated once more."""
    on_scaled_step: Callable[[torch.optim.Optimizer], None]
    """Gets an optimizer after a scaler let it step, or did not because gradients were not finite."""


_listeners: list[Listener] = []
_scaled: MutableMapping[Tensor, tuple[Tensor, Tensor]] = WeakIdKeyDictionary()
"""Scaled loss to (loss, scale)."""
_scaled_before: list[bool] = []
"""Not empty once a loss has been scaled."""
_scales: list[Tensor | None] = []
"""Of the backward passes in progress, the innermost last."""
_ORIGINAL = torch.autograd.backward, torch.autograd.grad, GradScaler.scale, GradScaler.step
_run_backward, _run_grad, _run_scale, _run_step = _ORIGINAL


@functools.wraps(_run_backward)
def _backward(tensors: Any, *args: Any, **kwargs: Any) -> Any:
    if _scaled_before or not isinstance(tensors, Tensor):
        return _backward_any(tensors, *args, **kwargs)
    for listener in _listeners:
        listener.on_backward()
    result = _run_backward(tensors, *args, **kwargs)
    if tensors.numel() == 1:
        loss = tensors.detach()
        for listener in _listeners:
            listener.on_loss(loss)
    return result


def _backward_any(tensors: Any, *args: Any, **kwargs: Any) -> Any:
    losses = (tensors,) if isinstance(tensors, Tensor) else tuple(tensors)
    losses = tuple(loss for loss in losses if isinstance(loss, Tensor))  # a graph's edge may be given instead
    before = [_scaled.get(loss) for loss in losses]
    _scales.append(before[0][1] if before and before[0] else None)
    for listener in _listeners:
        listener.on_backward()
    try:
        result = _run_backward(tensors, *args, **kwargs)
    finally:
        _scales.pop()
    for scaled, known in zip(losses, before, strict=True):
        loss = known[0] if known else scaled
        if loss.numel() == 1:
            for listener in _listeners:
                listener.on_loss(loss.detach())
    return result


@functools.wraps(_run_grad)
def _grad(*args: Any, **kwargs: Any) -> Any:
    if kwargs.get("create_graph") or (len(args) > 4 and args[4]):
        for listener in tuple(_listeners):
            listener.on_penalty()
    return _run_grad(*args, **kwargs)


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
    for listener in tuple(_listeners):
        listener.on_scaled_step(optimizer)
    return result


def scale() -> Tensor | None:
    """By what the loss was multiplied whose backward pass is in progress; None where it was not."""
    return _scales[-1] if _scales else None


def listen(listener: Listener) -> None:
    """Tell from now on."""
    if not _listeners:
        _put(_backward, _grad, _scale, _step)
    _listeners.append(listener)


def unlisten(listener: Listener) -> None:
    """Undo ``listen``."""
    _listeners.remove(listener)
    if not _listeners:
        _put(*_ORIGINAL)


def _put(backward: Any, grad: Any, scale: Any, step: Any) -> None:
    torch.autograd.backward, torch.autograd.grad, GradScaler.scale, GradScaler.step = backward, grad, scale, step  # type: ignore[method-assign]
