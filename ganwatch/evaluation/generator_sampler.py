"""Calls of a generator outside the training, on inputs that the training itself gave it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from ganwatch.capture.step import Arguments, find_tensors, to_plain
from ganwatch.isolation.isolated_call import IsolatedCall


class GeneratorSampler:
    """A generator in evaluation mode on cloned buffers; a call changes nothing in the training.

    Parameters
    ----------
    generator : nn.Module
    sample : callable, optional
        Turns the generator's output into a sample.

    Attributes
    ----------
    is_allowed : bool
        True if the generator may be called outside the training, False if a call would wait for other processes.

    Examples
    --------
    >>> GeneratorSampler(nn.Linear(2, 3), torch.tanh)(([torch.zeros(4, 2)], {})).shape
    torch.Size([4, 3])
    """

    def __init__(self, generator: nn.Module, sample: Callable[[Any], Any] | None = None) -> None:
        self.generator = generator
        self.is_allowed = True
        self.modules = [part for part in (generator, sample) if isinstance(part, nn.Module)]
        """The networks that a call runs."""
        self._call = IsolatedCall(generator)
        self._sample = None if sample is None else IsolatedCall(sample)

    @property
    def device(self) -> torch.device:
        """Device of the generator."""
        return next(self.generator.parameters()).device

    @property
    def dtype(self) -> torch.dtype | None:
        """Type of the generator's first floating parameter, which inputs from under autocast may lack; None without one."""
        return next((parameter.dtype for parameter in self.generator.parameters() if parameter.is_floating_point()), None)

    def __call__(self, arguments: Arguments) -> Any:
        """Return the generator's output for arguments: a plain tensor, or a list of those in it."""
        args, kwargs = move_tensors(arguments, self.device, self.dtype)
        output = self._call(*args, **kwargs)
        output = output if self._sample is None else self._sample(output)
        return [to_plain(tensor) for tensor in find_tensors(output)] if not isinstance(output, Tensor) else to_plain(output)


def move_tensors(nest: Any, device: torch.device, dtype: torch.dtype | None) -> Any:
    """Return the nest with its tensors on a device, and floating ones of a type."""
    if isinstance(nest, Tensor):
        return nest.to(device, dtype if nest.is_floating_point() else None)
    if isinstance(nest, dict):
        return {key: move_tensors(item, device, dtype) for key, item in nest.items()}
    return [move_tensors(item, device, dtype) for item in nest] if isinstance(nest, list | tuple) else nest
