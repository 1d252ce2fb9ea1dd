"""Assigns back-propagated losses to updates: they wait here for the update that they belong to."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from ganwatch.capture.events import BackwardDone, LossDifferentiated

MAX_LOSSES = 256
"""Most losses that wait."""
MIN_CLEAR_UPDATES = 8
"""Updates in a row with one loss each after which losses are no longer traced to networks."""


@dataclass(slots=True, eq=False)
class _Loss:
    value: Tensor
    roles: set[str] | None
    """Networks with gradients of this loss; None if it was not traced."""


class PendingLosses:
    """Losses that reached a network's gradients since its last update.

    Most loops update a network right after its own losses. If losses of both networks wait, those that reach the generator are the
    generator's, and stay for its update. If that update then brings losses of its own, the earlier ones were the discriminator's after
    all, on fakes with their graph, unless they did not reach it. A loss whose gradients were set to None before the next backward pass
    belongs to no update.

    Tracing a loss to networks stops once each update has had one loss for a while. If several wait again, the loss of that update is
    unknown, and tracing resumes for good.

    If a network's gradient is computed without a backward pass, that loss is taken unless one was back-propagated.
    """

    def __init__(self) -> None:
        self.pending: deque[_Loss] = deque(maxlen=MAX_LOSSES)
        self._of_other_network: list[_Loss] = []
        """Losses that were pending at the other network's update and were not its own."""
        self._clear_updates = 0
        self._had_several = False
        self.is_clear = False
        """True if losses need no tracing."""
        self.has_backward = False
        """True if there was a backward pass; the reader resets it."""
        self._without_backward: deque[LossDifferentiated] = deque(maxlen=MAX_LOSSES)

    def add_backward(self, event: BackwardDone) -> None:
        """Add the losses of a backward pass."""
        self.has_backward = True
        if self.is_clear or event.reached is None:
            self.pending.extend(_Loss(loss, None) for loss in event.losses)
            return
        if event.held is not None:
            for one in (*self.pending, *self._of_other_network):
                if one.roles is not None:
                    one.roles &= {*event.held}
        if event.reached:
            self.pending.extend(_Loss(loss, {*event.reached}) for loss in event.losses)

    def add_differentiated(self, event: LossDifferentiated) -> None:
        """Add a loss whose gradient was computed by ``autograd.grad``."""
        self._without_backward.append(event)

    def _take_without_backward(self, roles: Collection[str]) -> list[Tensor]:
        own = [loss for loss, reached in self._without_backward if not {*reached}.isdisjoint(roles)]
        rest = [LossDifferentiated(loss, {*reached}.difference(roles)) for loss, reached in self._without_backward]
        self._without_backward = deque((one for one in rest if one.roles), MAX_LOSSES)
        return own

    def take(self, roles: Collection[str]) -> tuple[Tensor | None, Tensor | None]:
        """Return the loss of an update of these networks, and a loss that belongs to the discriminator's previous update."""
        if not roles:
            if self.is_clear and self.pending:  # it was a third network's
                self.pending.pop()
            self._clear_updates, self.is_clear = 0, False
            return None, None
        if len(self.pending) == 1 and not self._of_other_network:
            self._clear_updates += 1
            self.is_clear = self._clear_updates >= MIN_CLEAR_UPDATES and not self._had_several
            self._without_backward.clear()
            loss = self.pending.pop().value
            return loss if loss.ndim == 0 else loss.reshape(()), None
        if self._without_backward and not self.pending and not self._of_other_network:
            return _sum(self._take_without_backward(roles)), None
        return self._take_several(roles)

    def _take_several(self, roles: Collection[str]) -> tuple[Tensor | None, Tensor | None]:
        """Return what ``take`` returns if not exactly one loss waits."""
        pending = [one for one in self.pending if one.roles is None or one.roles]
        earlier = [one for one in self._of_other_network if one.roles]
        self.clear()
        self._had_several |= len(pending) > 1
        self.is_clear &= not self._had_several
        if any(one.roles is None for one in pending):
            return None, None
        if not pending:
            self._clear_updates, self.is_clear = 0, False
            return _sum(one.value for one in earlier), None
        return self._take_own(pending, earlier, roles)

    def _take_own(self, pending: list[_Loss], earlier: list[_Loss], roles: Collection[str]) -> tuple[Tensor | None, Tensor | None]:
        """Return what ``take`` returns from traced losses, and leave those of the other network pending."""
        own = _select_own(pending, roles)
        self._of_other_network = [one for one in pending if one not in own]
        values = [one.value for one in own]
        if "g" not in roles:
            return _sum(values), None
        of_g = [one.value for one in earlier if one.roles == {"g"}]
        late_of_d = [one.value for one in earlier if one.roles != {"g"}]
        return _sum([*of_g, *values]), _sum(late_of_d)

    def take_latest(self, default: Tensor | None) -> Tensor | None:
        """Return the latest loss that came since ``take``, or else the default."""
        if not self.pending:
            return default
        latest = self.pending[-1].value.reshape(())
        self.pending.clear()
        return latest

    def clear(self) -> None:
        """Drop all losses."""
        self.pending.clear()
        self._without_backward.clear()
        self._of_other_network = []


def _select_own(pending: list[_Loss], roles: Collection[str]) -> list[_Loss]:
    """Return the losses of an update of these networks; all if none is surely one."""
    own = [one for one in pending if len(roles) > 1 or _reaches_g(one) == ("g" in roles)]
    return own or [one for one in pending if _reaches(one, roles)] or pending


def _reaches(loss: _Loss, roles: Collection[str]) -> bool:
    return loss.roles is not None and not loss.roles.isdisjoint(roles)


def _reaches_g(loss: _Loss) -> bool:
    return loss.roles is not None and "g" in loss.roles


def _sum(losses: Iterable[Tensor]) -> Tensor | None:
    scalars = [loss if loss.ndim == 0 else loss.reshape(()) for loss in losses]
    if len(scalars) < 2:
        return scalars[0] if scalars else None
    return torch.stack([loss.float() for loss in scalars]).sum()
