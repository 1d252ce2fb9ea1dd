"""Tap on every batch that a ``DataLoader`` of this process delivers, and on the time that the loop waited for it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from ganwatch.capture.taps.patches import Patch

OnBatch = Callable[[Any, Any, float], None]
Transform = Callable[[Any, Any], Any]

_listeners: list[OnBatch] = []
_transforms: list[Transform] = []


def add_listener(listener: OnBatch) -> None:
    """Call ``listener(dataset, batch, waiting_time)`` with every batch; ``waiting_time`` is in seconds."""
    _listeners.append(listener)
    _patch.install()


def remove_listener(listener: OnBatch) -> None:
    """Undo ``add_listener``."""
    _listeners.remove(listener)
    _remove_unused()


def add_transform(transform: Transform) -> None:
    """Deliver ``transform(dataset, batch)`` in place of every batch, to the loop and to the listeners."""
    _transforms.append(transform)
    _patch.install()


def remove_transform(transform: Transform) -> None:
    """Undo ``add_transform``."""
    _transforms.remove(transform)
    _remove_unused()


def _remove_unused() -> None:
    if not (_listeners or _transforms):
        _patch.remove()


def _next(self: Any) -> Any:
    start = time.perf_counter()
    batch = _patch.original(self)
    waiting_time = time.perf_counter() - start
    try:
        dataset = self._dataset
        for transform in tuple(_transforms):
            batch = transform(dataset, batch)
        for listener in tuple(_listeners):
            listener(dataset, batch, waiting_time)
    except Exception as error:  # noqa: BLE001  # counted and logged
        _patch.fail(error)
    return batch


_patch = Patch(
    "torch.utils.data.dataloader:_BaseDataLoaderIter.__next__", _next, "batches of loaders are not known to be real unless real() says so"
)
