"""Sees the scalar losses that are back-propagated, by wrapping ``torch.autograd.backward`` while somebody listens."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

OnLoss = Callable[[Tensor], None]

_listeners: list[OnLoss] = []
_original = torch.autograd.backward


@functools.wraps(_original)
def _backward(tensors: Any, *args: Any, **kwargs: Any) -> Any:
    result = _original(tensors, *args, **kwargs)
    for tensor in (tensors,) if isinstance(tensors, Tensor) else tuple(tensors):
        if isinstance(tensor, Tensor) and tensor.numel() == 1:  # a graph's edge may be given instead
            for listener in tuple(_listeners):
                listener(tensor.detach())
    return result


def listen(listener: OnLoss) -> None:
    """Call ``listener(loss)`` with every back-propagated scalar, detached, after its backward pass."""
    if not _listeners:
        torch.autograd.backward = _backward
    _listeners.append(listener)


def unlisten(listener: OnLoss) -> None:
    """Undo ``listen``."""
    _listeners.remove(listener)
    if not _listeners:
        torch.autograd.backward = _original
