"""Whose loss was it? Back-propagated losses wait here for the update that they belong to."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Sequence

import torch
from torch import Tensor

from ganwatch.capture.ownership import Ownership

KEPT = 256
"""Losses that may wait."""
CLEAR = 8
"""Updates in a row that had one loss each, after which nobody looks any more whom a loss reached."""


class Losses:
    """Losses since the last update that reached a network's gradients, and which.

    Most loops update a network right after its own losses. Where both kinds wait, those that reach the generator are the generator's;
    they stay for its update. Should that bring losses of its own, they were the discriminator's after all, on fakes with their graph,
    unless they did not reach it.

    Where a network's gradient is asked for without a backward pass, that loss is taken if nothing is back-propagated.
    """

    def __init__(self, ownership: Ownership) -> None:
        self._ownership = ownership
        self._before: list[tuple[int, int] | None] = []
        self._pending: deque[tuple[Tensor, bool, bool]] = deque(maxlen=KEPT)
        """Loss, whether it reached the generator, and nothing else."""
        self._held: list[tuple[Tensor, bool]] = []
        self._clear = 0
        self._asked: deque[tuple[Tensor, set[str]]] = deque(maxlen=KEPT)

    def before(self) -> None:
        """A backward pass begins."""
        if self._clear < CLEAR:
            self._before = self._gradients()

    def after(self, loss: Tensor) -> None:
        """It is over."""
        if self._clear >= CLEAR:
            self._pending.append((loss, True, False))
            return
        changed = zip(self._ownership.ends, self._before, self._gradients(), strict=True)
        reached = {role for (role, _), before, now in changed if before != now}
        if reached:
            self._pending.append((loss, "g" in reached, reached == {"g"}))

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
            if self._clear >= CLEAR and self._pending:  # it was a third network's
                self._pending.pop()
            self._clear = 0
            return None, None
        if len(self._pending) == 1 and not self._held:
            self._clear += 1
            self._asked.clear()
            loss = self._pending.pop()[0]
            return loss if loss.ndim == 0 else loss.reshape(()), None
        if self._asked and not self._pending and not self._held:
            return _sum(self._take_asked(roles)), None
        pending, held = list(self._pending), self._held
        self.clear()
        if not pending:
            self._clear = 0
            return _sum(loss for loss, _ in held), None
        own = [loss for loss, reached, _ in pending if len(roles) > 1 or reached == ("g" in roles)]
        if own and len(own) < len(pending):
            self._held = [(loss, alone) for loss, reached, alone in pending if reached != ("g" in roles)]
        else:
            own = [loss for loss, _, _ in pending]
        if "g" not in roles:
            return _sum(own), None
        return _sum([*(loss for loss, alone in held if alone), *own]), _sum(loss for loss, alone in held if not alone)

    def last(self, loss: Tensor | None) -> Tensor | None:
        """The last one that came after they were taken, or else the one given."""
        if not self._pending:
            return loss
        newest = self._pending[-1][0].reshape(())
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


def _sum(losses: Iterable[Tensor]) -> Tensor | None:
    each = [loss if loss.ndim == 0 else loss.reshape(()) for loss in losses]
    if len(each) < 2:
        return each[0] if each else None
    return torch.stack([loss.float() for loss in each]).sum()
