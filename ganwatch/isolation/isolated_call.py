"""Calls of the user's code outside the training, which change nothing in it."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn
from torch.func import functional_call

from ganwatch.isolation.random_state import find_generators, preserved_random_state


class IsolatedCall:
    """A function or a module that is called without a graph, without warnings and with every random state restored.

    A module is called in evaluation mode on cloned buffers. A function must not change its arguments.

    Parameters
    ----------
    function : callable
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function.module if isinstance(function, nn.DataParallel) else function  # functional_call refuses DataParallel
        self._random = find_generators(*(function.modules() if isinstance(function, nn.Module) else [function]))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Return the result of the function."""
        with torch.no_grad(), preserved_random_state(*self._random), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # warnings of this call do not concern the training
            if not isinstance(self.function, nn.Module):
                return self.function(*args, **kwargs)
            with evaluation_mode(self.function):
                state = {name: p.detach() for name, p in self.function.named_parameters()}
                state |= {name: b.detach().clone() for name, b in self.function.named_buffers()}
                # tie_weights=True would leave tensors tied that the module has under two names
                return functional_call(self.function, state, args, kwargs, tie_weights=False)


@contextlib.contextmanager
def evaluation_mode(module: nn.Module) -> Iterator[None]:
    """Set evaluation mode inside the block, then restore the flag of each submodule."""
    flags = [(part, part.training) for part in module.modules()]
    for part, _ in flags:
        part.training = False
    try:
        yield
    finally:
        for part, training in flags:
            part.training = training
