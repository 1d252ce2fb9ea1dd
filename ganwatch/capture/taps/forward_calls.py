"""Tap on every forward call of a watched module, including ``module.forward(x)`` and compiled modules; leaves the instance untouched.

The class's ``forward`` is wrapped, and the wrapper looks the instance up by identity. The instance carries nothing. So deepcopy, pickle
and ``torch.save`` of it work, and the copies are not watched. Code that ``torch.compile`` traces bypasses that wrapper; there the call
into the compiled module is wrapped instead.
"""

from __future__ import annotations

import functools
import sys
import weakref
from collections.abc import Callable, Collection
from itertools import product
from threading import get_ident
from typing import Any

import torch
from torch import Tensor, nn
from torch.compiler import is_dynamo_compiling

from ganwatch.capture.event_stream import MAX_EVENTS, EventStream
from ganwatch.capture.events import NetworkCalled
from ganwatch.capture.taps.patches import Patch

OnCall = Callable[[nn.Module, tuple[Any, ...], dict[str, Any], Any], None]


class _WatchedModule:
    __slots__ = ("events", "on_call", "ref", "stream", "threads")

    def __init__(self, module: nn.Module, on_call: OnCall, role: str, stream: EventStream | None) -> None:
        self.ref = weakref.ref(module)
        self.on_call, self.stream = on_call, stream
        self.threads: set[int] = set()
        """Threads in which a call is running."""
        self.events = {key: NetworkCalled(role, *key) for key in product((True, False), repeat=2)}
        """By ``is_differentiable`` and ``has_grad_leaf``."""


_watched: dict[int, _WatchedModule] = {}
_wrapped: dict[tuple[type[nn.Module], str], tuple[Any, Any]] = {}
"""By class and method name: the class's own method, None where it inherits one, and the wrapper."""


def watch(module: nn.Module, on_call: OnCall, *, role: str = "", stream: EventStream | None = None) -> None:
    """Call ``on_call(module, args, kwargs, output)`` after every outermost forward call of exactly this instance.

    A given stream gets the event of each call in its thread, and while it is quiet nothing else is called.
    """
    if id(module) in _watched and _watched[id(module)].ref() is module:
        raise ValueError(f"module must not be watched twice, got {type(module).__name__} again")
    _watched[id(module)] = _WatchedModule(module, on_call, role, stream)
    _compile_patch.install()
    _wrap(type(module), "forward")
    wrap_compiled_modules()


def has_watched(parameters: Collection[nn.Parameter]) -> bool:
    """Return True if some of the parameters belong to a watched module."""
    ids = set(map(id, parameters))
    modules = [module for watched in [*_watched.values()] if (module := watched.ref()) is not None]
    return any(id(parameter) in ids for module in modules for parameter in module.parameters())


def is_running(module: nn.Module) -> bool:
    """Return True if a forward call of a watched module is running in this thread."""
    watched = _watched.get(id(module))
    return watched is not None and get_ident() in watched.threads


def wrap_compiled_modules() -> None:
    """Wrap the calls of watched modules that were compiled since the last time."""
    dynamo = sys.modules.get("torch._dynamo.eval_frame")
    optimized = getattr(dynamo, "OptimizedModule", None)
    if optimized is not None and (optimized, "__call__") not in _wrapped:
        _wrap(optimized, "__call__", _original_module)
    for watched in [*_watched.values()]:
        module = watched.ref()
        if module is not None and getattr(module, "_compiled_call_impl", None) is not None:  # set by module.compile()
            _wrap(type(module), "__call__")


def unwatch(module: nn.Module) -> None:
    """Undo ``watch``, and restore a class once none of its instances is watched.

    A method that somebody else has put into the class meanwhile stays.
    """
    if _watched.pop(id(module), None) is None:
        return
    if not _watched:
        _compile_patch.remove()
    in_use = {type(watched.ref()) for watched in [*_watched.values()]}
    for cls, name in [(cls, name) for cls, name in _wrapped if cls not in in_use and (cls is type(module) or not _watched)]:
        own, wrapper = _wrapped.pop((cls, name))
        if vars(cls).get(name) is not wrapper:
            continue
        if own is not None:
            setattr(cls, name, own)
        else:
            delattr(cls, name)  # was inherited before


def _compile(self: nn.Module, *args: Any, **kwargs: Any) -> Any:
    result = _compile_patch.original(self, *args, **kwargs)
    try:
        wrap_compiled_modules()
    except Exception as error:  # noqa: BLE001  # counted and logged
        _compile_patch.fail(error)
    return result


_compile_patch = Patch("torch.nn:Module.compile", _compile, "calls of networks that are compiled later are seen some steps later")


def _original_module(compiled: nn.Module) -> Any:
    return getattr(compiled, "_orig_mod", compiled)  # where torch.compile keeps the module that it was given


def _wrap(cls: type[Any], name: str, find_module: Callable[[nn.Module], Any] | None = None) -> None:
    if (cls, name) not in _wrapped:
        method = _make_wrapper(getattr(cls, name), find_module)
        _wrapped[cls, name] = (vars(cls).get(name), method)
        setattr(cls, name, method)


def _make_wrapper(  # noqa: C901  # one frame at every call
    original: Callable[..., Any], find_module: Callable[[nn.Module], Any] | None
) -> Callable[..., Any]:
    @functools.wraps(original)
    def method(self: nn.Module, *args: Any, **kwargs: Any) -> Any:
        if is_dynamo_compiling():  # torch.compiler.is_compiling in two parts, because the compiler knows this one and it is the faster
            return original(self, *args, **kwargs)
        module: Any = self if find_module is None else find_module(self)
        watched = None if getattr(torch.compiler, "_is_compiling_flag", False) else _watched.get(id(module))
        if watched is None or (thread := get_ident()) in watched.threads or watched.ref() is not module:
            return original(self, *args, **kwargs)
        watched.threads.add(thread)
        try:
            output = original(self, *args, **kwargs)
        finally:
            watched.threads.discard(thread)
        stream = watched.stream
        if stream is None:
            watched.on_call(module, args, kwargs, output)  # type: ignore[arg-type]  # it is not None
        elif stream.thread == thread:
            try:
                if not stream.is_quiet:
                    watched.on_call(module, args, kwargs, output)  # type: ignore[arg-type]  # as above
                has_leaf = False
                for x in (*args, *kwargs.values()):  # a comprehension would be a call
                    if isinstance(x, Tensor) and x.requires_grad and x.is_leaf:
                        has_leaf = True
                stream.emit(watched.events[torch.is_grad_enabled(), has_leaf])
                if len(stream.queue) >= MAX_EVENTS:
                    stream.drain()
            except Exception as error:  # noqa: BLE001  # counted and logged
                stream.fail(error)
        return output

    return method
