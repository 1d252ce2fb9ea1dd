"""Whose loss was it? Back-propagated losses wait here for the update that they belong to."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ganwatch.capture.attribution.parameter_ownership import Ownership

KEPT = 256
"""Losses that may wait."""
CLEAR = 8
"""Updates in a row that had one loss each, after which nobody looks any more whom a loss reached."""


@dataclass(slots=True, eq=False)
class _Loss:
    value: Tensor
    reached: set[str] | None
    """Networks whose gradients it is in; None where nobody looked."""


class Losses:
    """Losses since the last update that reached a network's gradients, and which.

    Most loops update a network right after its own losses. Where both kinds wait, those that reach the generator are the generator's;
    they stay for its update. Should that bring losses of its own, they were the discriminator's after all, on fakes with their graph,
    unless they did not reach it. A loss whose gradients were set to None before the next one came is in no update. Whom a loss reached is
    not looked at once each update has had one for a while; where several wait all of a sudden, that update's is unknown, and from then on
    it is looked at.

    Where a network's gradient is asked for without a backward pass, that loss is taken if nothing is back-propagated.
    """

    def __init__(self, ownership: Ownership) -> None:
        self._ownership = ownership
        self._before: list[tuple[int, int] | None] = []
        self._pending: deque[_Loss] = deque(maxlen=KEPT)
        self._held: list[_Loss] = []
        self._clear = 0
        self._doubtful = False
        self._asked: deque[tuple[Tensor, set[str]]] = deque(maxlen=KEPT)

    @property
    def _sure(self) -> bool:
        return self._clear >= CLEAR and not self._doubtful

    def before(self) -> None:
        """A backward pass begins."""
        if self._sure:
            return
        self._before = self._gradients()
        if self._pending or self._held:
            having = {role for (role, _), gradient in zip(self._ownership.ends, self._before, strict=True) if gradient is not None}
            for one in (*self._pending, *self._held):
                if one.reached is not None:
                    one.reached &= having

    def after(self, loss: Tensor) -> None:
        """It is over."""
        if self._sure:
            self._pending.append(_Loss(loss, None))
            return
        changed = zip(self._ownership.ends, self._before, self._gradients(), strict=True)
        reached = {role for (role, _), before, now in changed if before != now}
        if reached:
            self._pending.append(_Loss(loss, reached))

    def asked(self, loss: Tensor, parameters: Sequence[object]) -> None:
        """Its gradient in these parameters was computed; where they are all of a network's, to be given to an optimizer by hand."""
        given = {id(parameter) for parameter in parameters}
        lacking = {role for role, end in self._ownership.ends if id(end) not in given}
        if reached := {role for role, _ in self._ownership.ends} - lacking:
            self._asked.append((loss, reached))

    def _take_asked(self, roles: Collection[str]) -> list[Tensor]:
        own = [loss for loss, reached in self._asked if not reached.isdisjoint(roles)]
        rest = [(loss, reached.difference(roles)) for loss, reached in self._asked]
        self._asked = deque(((loss, left) for loss, left in rest if left), KEPT)
        return own

    def take(self, roles: Collection[str]) -> tuple[Tensor | None, Tensor | None]:
        """The loss of an update of these networks, and what belongs to the discriminator's update before."""
        if not roles:
            if self._sure and self._pending:  # it was a third network's
                self._pending.pop()
            self._clear = 0
            return None, None
        if len(self._pending) == 1 and not self._held:
            self._clear += 1
            self._asked.clear()
            loss = self._pending.pop().value
            return loss if loss.ndim == 0 else loss.reshape(()), None
        if self._asked and not self._pending and not self._held:
            return _sum(self._take_asked(roles)), None
        pending = [one for one in self._pending if one.reached is None or one.reached]
        held = [one for one in self._held if one.reached]
        self.clear()
        self._doubtful |= len(pending) > 1
        if any(one.reached is None for one in pending):
            return None, None
        if not pending:
            self._clear = 0
            return _sum(one.value for one in held), None
        return self._shared(pending, held, roles)

    def _shared(self, pending: list[_Loss], held: list[_Loss], roles: Collection[str]) -> tuple[Tensor | None, Tensor | None]:
        """What of the losses that wait is of these networks; those of the other one are held."""
        own = [one for one in pending if len(roles) > 1 or _of_g(one) == ("g" in roles)]
        own = own or [one for one in pending if _reaches(one, roles)] or pending
        self._held = [one for one in pending if one not in own]
        values = [one.value for one in own]
        if "g" not in roles:
            return _sum(values), None
        alone, late = [one.value for one in held if one.reached == {"g"}], [one.value for one in held if one.reached != {"g"}]
        return _sum([*alone, *values]), _sum(late)

    def last(self, loss: Tensor | None) -> Tensor | None:
        """The last one that came after they were taken, or else the one given."""
        if not self._pending:
            return loss
        newest = self._pending[-1].value.reshape(())
        self._pending.clear()
        return newest

    def clear(self) -> None:
        """Forget them all."""
        self._pending.clear()
        self._asked.clear()
        self._held = []

    def _gradients(self) -> list[tuple[int, int] | None]:
        gradients = [end.grad for _, end in self._ownership.ends]
        return [None if gradient is None else (id(gradient), gradient._version) for gradient in gradients]  # noqa: SLF001  # counts writes


def _reaches(one: _Loss, roles: Collection[str]) -> bool:
    return one.reached is not None and not one.reached.isdisjoint(roles)


def _of_g(one: _Loss) -> bool:
    return one.reached is not None and "g" in one.reached


def _sum(losses: Iterable[Tensor]) -> Tensor | None:
    each = [loss if loss.ndim == 0 else loss.reshape(()) for loss in losses]
    if len(each) < 2:
        return each[0] if each else None
    return torch.stack([loss.float() for loss in each]).sum()
