"""Sees every forward call of a watched module, also ``module.forward(x)``, without touching the instance.

The class's ``forward`` is wrapped and looks the instance up by identity. The instance carries nothing, so deepcopy, pickle
and ``torch.save`` of it work and their results are not watched.
"""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

OnCall = Callable[[nn.Module, tuple[Any, ...], dict[str, Any], Any], None]


class _Watched:
    __slots__ = ("depth", "on_call", "ref")

    def __init__(self, module: nn.Module, on_call: OnCall) -> None:
        self.ref = weakref.ref(module)
        self.on_call = on_call
        self.depth = 0


_watched: dict[int, _Watched] = {}
_wrapped: dict[type[nn.Module], tuple[int, Any, Any]] = {}
"""Class to (instances watched, the class's own forward or None where it inherits, our wrapper)."""


def watch(module: nn.Module, on_call: OnCall) -> None:
    """Call ``on_call(module, args, kwargs, output)`` after every outermost forward call of exactly this instance."""
    if id(module) in _watched and _watched[id(module)].ref() is module:
        raise ValueError(f"module must not be watched twice, got {type(module).__name__} again")
    _watched[id(module)] = _Watched(module, on_call)
    cls = type(module)
    if cls not in _wrapped:
        _wrapped[cls] = (0, vars(cls).get("forward"), _wrap(cls.forward))
        cls.forward = _wrapped[cls][2]
    count, own, wrapper = _wrapped[cls]
    _wrapped[cls] = (count + 1, own, wrapper)


def unwatch(module: nn.Module) -> None:
    """Undo ``watch``; the class is as before once none of its instances is watched.

    Where somebody else has replaced the class's forward meanwhile, theirs stays.
    """
    if _watched.pop(id(module), None) is None:
        return
    cls = type(module)
    count, own, wrapper = _wrapped[cls]
    if count > 1:
        _wrapped[cls] = (count - 1, own, wrapper)
        return
    del _wrapped[cls]
    if vars(cls).get("forward") is not wrapper:
        return
    if own is not None:
        cls.forward = own
    else:
        del cls.forward  # was inherited before


def _wrap(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def forward(self: nn.Module, *args: Any, **kwargs: Any) -> Any:
        watched = None if torch.compiler.is_compiling() else _watched.get(id(self))
        if watched is None or watched.depth or watched.ref() is not self:
            return original(self, *args, **kwargs)
        watched.depth += 1
        try:
            output = original(self, *args, **kwargs)
        finally:
            watched.depth -= 1
        watched.on_call(self, args, kwargs, output)
        return output

    return forward
