"""Calls somebody's code beside the training without the training noticing."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn
from torch.func import functional_call

from ganwatch.isolation.random_state import generators, preserved_random_state


class IsolatedCall:
    """A function or a module, called without a graph, without warnings and with every random state put back.

    A module is called in evaluation mode on cloned buffers. A function must not change what it is given.

    Parameters
    ----------
    function : callable
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function.module if isinstance(function, nn.DataParallel) else function  # torch refuses to call that one so
        self._random = generators(*(function.modules() if isinstance(function, nn.Module) else [function]))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """What the function returns."""
        with torch.no_grad(), preserved_random_state(*self._random), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what it warns of without a graph is no matter of the training's
            if not isinstance(self.function, nn.Module):
                return self.function(*args, **kwargs)
            with evaluating(self.function):
                state = {name: p.detach() for name, p in self.function.named_parameters()}
                state |= {name: b.detach().clone() for name, b in self.function.named_buffers()}
                # torch ties what a module held under two names has, and does not undo it
                return functional_call(self.function, state, args, kwargs, tie_weights=False)


@contextlib.contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Evaluation mode for the time being, each sub-module's own flag restored."""
    flags = [(part, part.training) for part in module.modules()]
    for part, _ in flags:
        part.training = False
    try:
        yield
    finally:
        for part, training in flags:
            part.training = training
