"""Finds out whether an update is still there when the next one begins, or something has written the weights of before.

A weight matrix of the network is copied before and after a sampled update and the one that follows, and compared with what the next update
begins with. Weights at the largest magnitude of the matrix are left out, because the loop may clip weights between updates. Two
updates in a row are compared, because a method may take every second one back on purpose, as extragradient and unrolled updates do.
"""

from __future__ import annotations

import weakref

import torch
from torch import Tensor, nn

from ganwatch.capture.attribution.owned_parameters import OptimizerFacts
from ganwatch.capture.event_stream import EventStream
from ganwatch.capture.events import WiringFact

MAX_WEIGHTS = 65536
"""Most weights of a matrix that are copied."""


class UndoneUpdates:
    """Compares weights around two updates in a row.

    Parameters
    ----------
    stream : EventStream
        Gets the result.

    Attributes
    ----------
    waiting : list of _Update
        Updates whose next one is awaited; empty most of the time.
    """

    def __init__(self, stream: EventStream) -> None:
        self._stream = stream
        self.waiting: list[_Update] = []

    def begin_step(self, optimizer: torch.optim.Optimizer, facts: OptimizerFacts, *, watch: bool) -> None:
        """Compare with the optimizer's update of before, and look at its next one if asked to or if that was the first of two."""
        previous = next((update for update in self.waiting if update.optimizer() is optimizer), None)
        self.waiting = [update for update in self.waiting if update is not previous and update.optimizer() is not None]
        self.waiting = [update for update in self.waiting if update.role not in facts.roles]  # another optimizer moves the same weights
        kept = None if previous is None else previous.compare()
        is_second = previous is not None and previous.kept_before is not None
        if kept is not None and previous is not None and previous.kept_before is not None:
            self._stream.put(WiringFact(f"update_kept/{previous.role}", torch.maximum(kept, previous.kept_before)))
        if (watch or (kept is not None and not is_second)) and len(facts.owned) == 1:
            self.waiting.append(_Update(optimizer, facts.roles[0], _choose_parameter(facts.owned[0].parameters), kept))

    def end_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Note the weights after an update."""
        for update in self.waiting:
            if update.optimizer() is optimizer:
                update.after = update.read()

    def clear(self) -> None:
        """Forget all that waits."""
        self.waiting = []


class _Update:
    """One update.

    Parameters
    ----------
    optimizer : Optimizer
    role : str
    parameter : nn.Parameter
    kept_before : Tensor or None
        Result of the update before it, 0-d.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, role: str, parameter: nn.Parameter, kept_before: Tensor | None) -> None:
        self.optimizer, self.role, self._parameter, self.kept_before = weakref.ref(optimizer), role, parameter, kept_before
        self._before = self.read()
        self.after: Tensor | None = None

    def read(self) -> Tensor:
        """Return a copy of the weights, shape (P,), float32."""
        return self._parameter.detach().reshape(-1)[:MAX_WEIGHTS].to(torch.float32, copy=True)

    def compare(self) -> Tensor | None:
        """Return the distance that is left of the update's own, 0-d: 1 if nothing has written to the weights since."""
        now = self.read()
        if self.after is None or now.shape != self._before.shape or now.shape != self.after.shape:
            return None
        magnitude = now.abs()
        is_inside = magnitude < magnitude.max()
        moved, left = ((weights - self._before).mul_(is_inside).norm() for weights in (self.after, now))
        return torch.where(moved > 0.0, left / moved, torch.ones_like(moved))


def _choose_parameter(parameters: list[nn.Parameter]) -> nn.Parameter:
    """Return the last weight matrix."""
    return next((parameter for parameter in reversed(parameters) if parameter.ndim >= 2), parameters[-1])
