"""Whose loss was it? Back-propagated losses wait here for the update that they belong to."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Mapping

import torch
from torch import Tensor, nn

KEPT = 256
"""Losses that may wait."""
CLEAR = 8
"""Updates in a row that had one loss each, after which nobody looks any more whom a loss reached."""


class Losses:
    """Losses since the last update that reached a network's gradients, and which.

    Most loops update a network right after its own losses. Where both kinds wait, those that reach the generator are the generator's;
    they stay for its update. Should that bring losses of its own, they were the discriminator's after all, on fakes with their graph.
    """

    def __init__(self, networks: Mapping[str, nn.Module]) -> None:
        every = {role: list(network.parameters()) for role, network in networks.items()}
        self._ends = [(role, end) for role, parameters in every.items() for end in (parameters[0], parameters[-1])]
        self._before: list[tuple[int, int] | None] = []
        self._pending: deque[tuple[Tensor, bool]] = deque(maxlen=KEPT)
        self._held: list[Tensor] = []
        self._clear = 0

    def before(self) -> None:
        """A backward pass begins."""
        if self._clear < CLEAR:
            self._before = self._gradients()

    def after(self, loss: Tensor) -> None:
        """It is over."""
        if self._clear >= CLEAR:
            self._pending.append((loss, True))
            return
        changed = zip(self._ends, self._before, self._gradients(), strict=True)
        reached = {role for (role, _), before, now in changed if before != now}
        if reached:
            self._pending.append((loss, "g" in reached))

    def take(self, roles: Collection[str]) -> tuple[Tensor | None, Tensor | None]:
        """The loss of an update of these networks, and what belongs to the discriminator's update before."""
        if not roles:
            return None, None
        if len(self._pending) == 1 and not self._held:
            self._clear += 1
            loss, _ = self._pending.pop()
            return loss if loss.ndim == 0 else loss.reshape(()), None
        pending, held = list(self._pending), self._held
        self.clear()
        if not pending:
            self._clear = 0
            return _sum(held), None
        own = [loss for loss, reached in pending if len(roles) > 1 or reached == ("g" in roles)]
        if own and len(own) < len(pending):
            self._held = [loss for loss, reached in pending if reached != ("g" in roles)]
        else:
            own = [loss for loss, _ in pending]
        return _sum(own), _sum(held) if "g" in roles else None

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
        self._held = []

    def _gradients(self) -> list[tuple[int, int] | None]:
        gradients = [end.grad for _, end in self._ends]
        return [None if gradient is None else (id(gradient), gradient._version) for gradient in gradients]  # noqa: SLF001  # counts writes


def _sum(losses: Iterable[Tensor]) -> Tensor | None:
    each = [loss if loss.ndim == 0 else loss.reshape(()) for loss in losses]
    if len(each) < 2:
        return each[0] if each else None
    return torch.stack([loss.float() for loss in each]).sum()
