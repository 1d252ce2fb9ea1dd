"""Tap on the functions that save to a path, of torch and of Lightning Fabric: reports what was saved, and what could not be."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any

from ganwatch.capture.taps.patches import Patch

OnSave = Callable[[Any, str, str], None]

_listeners: list[OnSave] = []


def add_listener(listener: OnSave) -> None:
    """Call ``listener(states, path, fault)`` after each save to a path, in the thread that saves; ``fault`` is empty if it worked."""
    _listeners.append(listener)
    for patch in _patches:
        if patch.path.partition(":")[0] in sys.modules:  # what the loop has not imported is not imported for it
            patch.install()


def remove_listener(listener: OnSave) -> None:
    """Undo ``add_listener``."""
    _listeners.remove(listener)
    if not _listeners:
        for patch in _patches:
            patch.remove()


def _report(patch: Patch, states: Any, path: Any, fault: str) -> None:
    try:
        if isinstance(path, str | os.PathLike):
            for listener in tuple(_listeners):
                listener(states, os.fsdecode(path), fault)
    except Exception as error:  # noqa: BLE001  # counted and logged
        patch.fail(error)


def _call(patch: Patch, states: Any, path: Any, args: Any, kwargs: Any) -> Any:
    try:
        result = patch.original(*args, **kwargs)
    except BaseException as error:
        _report(patch, states, path, str(error) or type(error).__name__)
        raise
    _report(patch, states, path, "")
    return result


def _save(*args: Any, **kwargs: Any) -> Any:
    named = dict(zip(("obj", "f"), args, strict=False)) | kwargs
    return _call(_torch, named.get("obj"), named.get("f"), args, kwargs)


def _save_distributed(*args: Any, **kwargs: Any) -> Any:
    states = args[0] if args else kwargs.get("state_dict")
    return _call(_distributed, states, kwargs.get("checkpoint_id"), args, kwargs)


def _save_fabric(io: Any, checkpoint: Any, path: Any, *args: Any, **kwargs: Any) -> Any:
    return _call(_fabric, checkpoint, path, (io, checkpoint, path, *args), kwargs)


_torch = Patch("torch:save", _save, "files of torch.save are not read back")
_distributed = Patch(
    "torch.distributed.checkpoint:save", _save_distributed, "files of torch.distributed.checkpoint are not looked for"
)
_fabric = Patch(
    "lightning.fabric.plugins.io.torch_io:TorchCheckpointIO.save_checkpoint", _save_fabric, "files of Lightning Fabric are not read back"
)
_patches = (_torch, _distributed, _fabric)
