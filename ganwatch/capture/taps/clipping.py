"""Tap on gradient clipping: wraps the helper to which every function of ``torch.nn.utils.clip_grad`` passes the gradients first."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor
from torch.nn.utils import clip_grad

OnClip = Callable[[Sequence[Tensor]], None]

_NAME = "_group_tensors_by_device_and_dtype"
_listeners: list[OnClip] = []
_original: Callable[..., Any] | None = getattr(clip_grad, _NAME, None)


def add_listener(listener: OnClip) -> None:
    """Call ``listener(gradients)`` before gradients are clipped or measured; possibly several times for one clipping."""
    if not _listeners and _original is not None:
        setattr(clip_grad, _NAME, _group)
    _listeners.append(listener)


def remove_listener(listener: OnClip) -> None:
    """Undo ``add_listener``."""
    _listeners.remove(listener)
    if not _listeners and _original is not None:
        setattr(clip_grad, _NAME, _original)


def _group(tensors: Sequence[Sequence[Tensor]], *args: Any, **kwargs: Any) -> Any:
    for listener in tuple(_listeners):
        listener(tensors[0])
    assert _original is not None
    return _original(tensors, *args, **kwargs)


if _original is not None:
    functools.update_wrapper(_group, _original)
