"""Networks that are called part by part, such as ``D.features`` and then ``D.head``: seen as calls of the whole."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import Tensor, nn

from ganwatch.capture.attribution.batch_origin import BatchOrigin
from ganwatch.capture.options import Options
from ganwatch.capture.step import tensors
from ganwatch.capture.taps import forward_calls

Given = tuple[tuple[Any, ...], dict[str, Any]]


def parts(network: nn.Module) -> Iterator[nn.Module]:
    """What is called of a network that is not called itself: its children, and those of containers.

    >>> [type(part).__name__ for part in parts(nn.ModuleList([nn.ReLU(), nn.ModuleDict({"a": nn.Tanh()})]))]
    ['ReLU', 'Tanh']
    """
    for child in network.children():
        if isinstance(child, nn.ModuleList | nn.ModuleDict):
            yield from parts(child)
        else:
            yield child


class ByParts:
    """Watches the parts of one network, from ``watch`` to ``unwatch``.

    A discriminator's call begins where a batch of samples enters and ends where a score leaves; of batches that are on their way at
    once none is told. A generator's ends with its last part that has parameters.

    Parameters
    ----------
    network : nn.Module
    judges : bool
        Whether it is a discriminator.
    on_call : forward_calls.OnCall
        Gets calls of the whole network.
    recognition, options
        What samples look like, and which part of an output is the score.
    """

    def __init__(
        self, network: nn.Module, *, judges: bool, on_call: forward_calls.OnCall, batch_origin: BatchOrigin, options: Options
    ) -> None:
        self.network, self.judges, self.on_call = network, judges, on_call
        self.batch_origin, self.options = batch_origin, options
        self._parts = list(dict.fromkeys(parts(network)))
        self._last = next((part for part in reversed(self._parts) if next(part.parameters(), None) is not None), None)
        self._entered: list[Given] = []

    def watch(self) -> None:
        """Begin."""
        for part in self._parts:
            forward_calls.watch(part, self._on_part)

    def unwatch(self) -> None:
        """End."""
        for part in self._parts:
            forward_calls.unwatch(part)

    def _on_part(self, part: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        if forward_calls.running(self.network):
            return
        if not self.judges:
            if part is self._last:
                self.on_call(self.network, args, kwargs, output)
            return
        if any(self._is_sample(x) for x in tensors(args) + tensors(kwargs)):
            self._entered.append((args, kwargs))
        score, channel = self.options.score(output)
        if score is not None and (score.ndim == 1 or (score.ndim > 1 and (score.shape[1] == 1 or channel is not None))):
            entered, self._entered = self._entered, []
            if len(entered) == 1:
                self.on_call(self.network, *entered[0], output)

    def _is_sample(self, x: Tensor) -> bool:
        if x.ndim < 2 or not x.is_floating_point():
            return False
        return x.shape[1:] == self.batch_origin.shape or self.batch_origin.parts(x.detach())[0][0] != "unknown"
