"""Sees every forward call of a watched module, also ``module.forward(x)`` and compiled ones, without touching the instance.

The class's ``forward`` is wrapped and looks the instance up by identity. The instance carries nothing, so deepcopy, pickle
and ``torch.save`` of it work and their results are not watched. Code that ``torch.compile`` traces runs past that wrapper; there
the call into the compiled module is wrapped instead.
"""

from __future__ import annotations

import functools
import sys
import weakref
from collections.abc import Callable, Collection
from threading import get_ident
from typing import Any

import torch
from torch import nn

OnCall = Callable[[nn.Module, tuple[Any, ...], dict[str, Any], Any], None]


class _Watched:
    __slots__ = ("inside", "on_call", "ref")

    def __init__(self, module: nn.Module, on_call: OnCall) -> None:
        self.ref = weakref.ref(module)
        self.on_call = on_call
        self.inside: set[int] = set()
        """Threads in which a call is going on."""


_watched: dict[int, _Watched] = {}
_wrapped: dict[tuple[type[nn.Module], str], tuple[Any, Any]] = {}
"""Class and method to what the class itself had there, None where it inherits, and our wrapper."""


def watch(module: nn.Module, on_call: OnCall) -> None:
    """Call ``on_call(module, args, kwargs, output)`` after every outermost forward call of exactly this instance."""
    if id(module) in _watched and _watched[id(module)].ref() is module:
        raise ValueError(f"module must not be watched twice, got {type(module).__name__} again")
    _watched[id(module)] = _Watched(module, on_call)
    _wrap(type(module), "forward")
    refresh()


def any_has(parameters: Collection[nn.Parameter]) -> bool:
    """Whether a watched module has some of these parameters."""
    given = set(map(id, parameters))
    modules = [module for watched in [*_watched.values()] if (module := watched.ref()) is not None]
    return any(id(parameter) in given for module in modules for parameter in module.parameters())


def running(module: nn.Module) -> bool:
    """Whether a watched module's forward call is going on."""
    watched = _watched.get(id(module))
    return watched is not None and get_ident() in watched.inside


def refresh() -> None:
    """See to watched modules that have been compiled since."""
    dynamo = sys.modules.get("torch._dynamo.eval_frame")
    if dynamo is not None and (dynamo.OptimizedModule, "__call__") not in _wrapped:
        _wrap(dynamo.OptimizedModule, "__call__", _compiled)
    for watched in [*_watched.values()]:
        module = watched.ref()
        if module is not None and module._compiled_call_impl is not None:  # noqa: SLF001  # what module.compile() sets
            _wrap(type(module), "__call__")


def unwatch(module: nn.Module) -> None:
    """Undo ``watch``; a class is as before once none of its instances is watched.

    Where somebody else has replaced the class's method meanwhile, theirs stays.
    """
    if _watched.pop(id(module), None) is None:
        return
    kept = {type(watched.ref()) for watched in [*_watched.values()]}
    for cls, name in [(cls, name) for cls, name in _wrapped if cls not in kept and (cls is type(module) or not _watched)]:
        own, wrapper = _wrapped.pop((cls, name))
        if vars(cls).get(name) is not wrapper:
            continue
        if own is not None:
            setattr(cls, name, own)
        else:
            delattr(cls, name)  # was inherited before


def _compiled(module: nn.Module) -> Any:
    return module._orig_mod  # noqa: SLF001  # what torch.compile keeps of the module that it was given


def _wrap(cls: type[Any], name: str, of: Callable[[nn.Module], Any] | None = None) -> None:
    if (cls, name) in _wrapped:
        return
    original = getattr(cls, name)

    @functools.wraps(original)
    def method(self: nn.Module, *args: Any, **kwargs: Any) -> Any:
        module: Any = self if of is None else of(self)
        watched = None if torch.compiler.is_compiling() else _watched.get(id(module))
        if watched is None or (thread := get_ident()) in watched.inside or watched.ref() is not module:
            return original(self, *args, **kwargs)
        watched.inside.add(thread)
        try:
            output = original(self, *args, **kwargs)
        finally:
            watched.inside.discard(thread)
        watched.on_call(module, args, kwargs, output)  # type: ignore[arg-type]  # it is no None
        return output

    _wrapped[cls, name] = (vars(cls).get(name), method)
    setattr(cls, name, method)
