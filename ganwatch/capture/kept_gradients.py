"""Finds out whether an update applies gradients that nothing has cleared since an earlier update.

Between two steps of an optimizer, gradients may be set to None, zeroed, replaced or left as they are. A gradient that was left is the same
tensor and nobody has written to it from the end of a step or of a backward pass to the beginning of the next backward pass. Zeroing through
``grad.data`` is no visible write, so the gradient has to be other than zero there too. What clips gradients writes to them after the last
backward pass, where nobody looks.
"""

from __future__ import annotations

import weakref
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.weak import TensorWeakRef

from ganwatch.capture.attribution.owned_parameters import OptimizerFacts, OwnedParameters
from ganwatch.capture.event_stream import EventStream
from ganwatch.capture.events import WiringFact
from ganwatch.capture.gradient_changes import GradientChanges


class KeptGradients:
    """Watches one gradient of each optimizer from a step to its next one.

    Parameters
    ----------
    changes : GradientChanges
    stream : EventStream
        Gets the results.

    Attributes
    ----------
    watches : list of Watch
        Optimizers whose next steps are awaited; empty most of the time.
    """

    def __init__(self, changes: GradientChanges, stream: EventStream) -> None:
        self._changes, self._stream = changes, stream
        self.watches: list[Watch] = []

    def begin_backward(self) -> Any:
        """Look at the gradients before a backward pass; return what ``end_backward`` needs."""
        for watch in self.watches:
            watch.begin_backward()
        return self._changes.look()

    def end_backward(self, before: Any) -> None:
        """Look at the gradients after a backward pass."""
        _, reached = self._changes.find_roles(before)
        for watch in self.watches:
            watch.end_backward(reaches_others=bool(reached - {watch.role}))

    def end_step(self, optimizer: torch.optim.Optimizer, facts: OptimizerFacts, *, watch_next: bool) -> None:
        """End the watch of an optimizer that has stepped, and begin another one if asked to."""
        waiting, self.watches = self.watches, []
        for watch in waiting:
            if watch.optimizer() is optimizer:
                for fact in watch.find_facts():
                    self._stream.put(fact)
            elif watch.optimizer() is not None:
                if facts.owned and watch.role not in facts.roles:
                    watch.add_other_step()
                self.watches.append(watch)
        if watch_next and len(facts.owned) == 1:
            parameter = _choose_parameter(facts.owned[0])
            if parameter is not None:
                self.watches.append(Watch(optimizer, facts.owned[0].role, parameter))

    def clear(self) -> None:
        """End all watches without a result."""
        self.watches = []


class Watch:
    """State of one gradient between two steps of its optimizer.

    Parameters
    ----------
    optimizer : Optimizer
    role : str
        The network that it updates.
    parameter : nn.Parameter
        One of the network's, with a gradient.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, role: str, parameter: nn.Parameter) -> None:
        self.optimizer, self.role, self._parameter = weakref.ref(optimizer), role, parameter
        self._is_cleared = self._is_written = False
        self._is_shared = False
        """True if a backward pass wrote to this gradient and to the other network's since the last clearing."""
        self._is_left = False
        """True if the other network has stepped since then."""
        self._kept: Tensor | None = None
        self._left: Tensor | None = None
        """True tensors if the gradient was other than zero when further ones were added to it."""
        self._note()

    def _note(self) -> None:
        gradient = self._parameter.grad
        self._noted = None if gradient is None else (TensorWeakRef(gradient), _count_writes(gradient))

    @property
    def _is_as_noted(self) -> bool:
        gradient = self._parameter.grad
        if gradient is None or self._noted is None:
            return False
        return self._noted[0]() is gradient and self._noted[1] == _count_writes(gradient)

    def begin_backward(self) -> None:
        """Look at the gradient before a backward pass."""
        if not self._is_as_noted:
            self._is_cleared, self._is_shared, self._is_left, self._kept, self._left = True, False, False, None, None
        elif self._is_left or not self._is_cleared:
            is_nonzero = self._parameter.grad.any()  # type: ignore[union-attr]  # it is not None
            if not self._is_cleared:
                self._kept = is_nonzero if self._kept is None else self._kept & is_nonzero
            if self._is_left:
                self._left = is_nonzero if self._left is None else self._left & is_nonzero
        self._note()

    def end_backward(self, *, reaches_others: bool) -> None:
        """Look at the gradient after a backward pass, which may have reached the other network too."""
        if not self._is_as_noted:
            self._is_written = True
            self._is_shared |= reaches_others
        self._note()

    def add_other_step(self) -> None:
        """Add a step of the other network's optimizer: what was shared until then was its loss."""
        self._is_left |= self._is_shared

    def find_facts(self) -> list[WiringFact]:
        """Return the result after the optimizer's step; none if no backward pass wrote to the gradient."""
        if not self._is_written:
            return []
        is_same = self._noted is not None and self._noted[0]() is self._parameter.grad  # not replaced after the last backward pass
        kept, left = (0.0 if flag is None or not is_same else flag.float() for flag in (self._kept, self._left))
        return [WiringFact(f"gradient_kept/{self.role}", kept), WiringFact(f"gradient_left/{self.role}", left)]


def _count_writes(gradient: Tensor) -> int:
    """Return the number of writes to a tensor in place so far."""
    return gradient._version  # noqa: SLF001  # torch has no public name for it


def _choose_parameter(owned: OwnedParameters) -> nn.Parameter | None:
    """Return the last weight matrix with a gradient, because the gradient of a last bias may be zero by the loss."""
    dense = [p for p in owned.parameters if p.grad is not None and p.grad.layout == torch.strided]
    return next((p for p in reversed(dense) if p.ndim >= 2), dense[-1] if dense else None)
