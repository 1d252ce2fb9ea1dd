"""Tap on a network that is never called as a whole: assembles calls of its submodules, such as ``D.features`` and ``D.head``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import Tensor, nn

from ganwatch.capture.attribution.batch_origin import BatchOrigin
from ganwatch.capture.options import Options
from ganwatch.capture.step import find_tensors
from ganwatch.capture.taps import forward_calls

CallArguments = tuple[tuple[Any, ...], dict[str, Any]]


def iterate_submodules(network: nn.Module) -> Iterator[nn.Module]:
    """Iterate over the submodules that a loop can call: the children, and those of container modules.

    >>> [type(part).__name__ for part in iterate_submodules(nn.ModuleList([nn.ReLU(), nn.ModuleDict({"a": nn.Tanh()})]))]
    ['ReLU', 'Tanh']
    """
    for child in network.children():
        if isinstance(child, nn.ModuleList | nn.ModuleDict):
            yield from iterate_submodules(child)
        else:
            yield child


class SubmoduleCalls:
    """Tap on the submodules of one network, from ``attach`` to ``detach``.

    A call of the discriminator begins where a batch of samples enters a submodule. It ends where a score leaves one. If several batches
    have entered by then, the call is not reported. A call of the generator ends with its last submodule that has parameters.

    Parameters
    ----------
    network : nn.Module
    is_discriminator : bool
    on_call : forward_calls.OnCall
        Gets calls of the whole network.
    batch_origin : BatchOrigin
        Recognises samples.
    options : Options
        Finds the score in an output.
    """

    def __init__(
        self, network: nn.Module, *, is_discriminator: bool, on_call: forward_calls.OnCall, batch_origin: BatchOrigin, options: Options
    ) -> None:
        self.network, self.is_discriminator, self.on_call = network, is_discriminator, on_call
        self.batch_origin, self.options = batch_origin, options
        self._submodules = list(dict.fromkeys(iterate_submodules(network)))
        self._last = next((part for part in reversed(self._submodules) if next(part.parameters(), None) is not None), None)
        self._open_calls: list[CallArguments] = []

    def attach(self) -> None:
        """Watch every submodule."""
        for submodule in self._submodules:
            forward_calls.watch(submodule, self._on_submodule_call)

    def detach(self) -> None:
        """Stop watching them."""
        for submodule in self._submodules:
            forward_calls.unwatch(submodule)

    def _on_submodule_call(self, submodule: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        if forward_calls.is_running(self.network):
            return
        if not self.is_discriminator:
            if submodule is self._last:
                self.on_call(self.network, args, kwargs, output)
            return
        if any(self._is_sample(x) for x in find_tensors(args) + find_tensors(kwargs)):
            self._open_calls.append((args, kwargs))
        score, channel = self.options.find_score(output)
        if score is not None and (score.ndim == 1 or (score.ndim > 1 and (score.shape[1] == 1 or channel is not None))):
            open_calls, self._open_calls = self._open_calls, []
            if len(open_calls) == 1:
                self.on_call(self.network, *open_calls[0], output)

    def _is_sample(self, x: Tensor) -> bool:
        if x.ndim < 2 or not x.is_floating_point():
            return False
        return x.shape[1:] == self.batch_origin.sample_shape or self.batch_origin.identify(x.detach())[0][0] != "unknown"
