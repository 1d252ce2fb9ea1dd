"""Tap on gradient clipping: wraps the helper to which every function of ``torch.nn.utils.clip_grad`` passes the gradients first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor

from ganwatch.capture.taps.patches import Patch

OnClip = Callable[[Sequence[Tensor]], None]

_listeners: list[OnClip] = []


def add_listener(listener: OnClip) -> None:
    """Call ``listener(gradients)`` before gradients are clipped or measured; possibly several times for one clipping."""
    _listeners.append(listener)
    _patch.install()


def remove_listener(listener: OnClip) -> None:
    """Undo ``add_listener``."""
    _listeners.remove(listener)
    if not _listeners:
        _patch.remove()


def _group(*args: Any, **kwargs: Any) -> Any:
    try:
        for listener in tuple(_listeners):
            listener(args[0][0])
    except Exception as error:  # noqa: BLE001  # counted and logged
        _patch.fail(error)
    return _patch.original(*args, **kwargs)


_patch = Patch(
    "torch.nn.utils.clip_grad:_group_tensors_by_device_and_dtype", _group, "gradient norms of loops that clip are those after clipping"
)
