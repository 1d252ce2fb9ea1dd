"""Which of the optimizers that share the generator ends a step."""

from __future__ import annotations

import weakref
from collections.abc import Callable

import torch

REPEATED = 2
"""Steps in a row after which the first optimizer has shown that it has no second one beside it."""


def _nobody() -> None:
    """No optimizer."""


class StepClock:
    """The first one, until another one takes its place.

    That is so where it is gone, or where the other one steps twice without it. It is so at once where the first one has stepped
    repeatedly by itself and the other one comes with the discriminator: when that was called for the first time, as after a
    pretraining, or has been updated in between, as in every round. One that moves the discriminator too does not follow one that moves
    the generator ``alone``: that is no GAN training any more.

    Examples
    --------
    >>> a, b = (torch.optim.SGD([torch.zeros(1, requires_grad=True)]) for _ in range(2))
    >>> def ends(*optimizers):
    ...     primary = StepClock()
    ...     return [primary.ends_step(each, alone=True, judged=each is b) for each in optimizers]
    >>> ends(a, b, a, b), ends(a, a, b, b)  # an auto-encoder's beside the adversarial one, and a pretraining
    ([True, False, True, False], [True, True, True, True])
    """

    def __init__(self) -> None:
        self._first: Callable[[], torch.optim.Optimizer | None] = _nobody
        self._other: Callable[[], torch.optim.Optimizer | None] = _nobody
        self._alone = self._judged = False
        """Of the first one: whether it moves the generator alone, and whether the discriminator was ever called before it."""
        self._repeated = 0
        self.opposed = False
        """Whether the discriminator was updated since the first one's step."""

    def ends_step(self, optimizer: torch.optim.Optimizer, *, alone: bool, judged: bool) -> bool:
        """Whether the generator is through; ``judged`` is whether the discriminator was called since the update before."""
        first = self._first()
        if first is not optimizer and (first is None or self._replaced(optimizer, alone=alone, judged=judged)):
            first, self._first = optimizer, weakref.ref(optimizer)
            self._alone, self._judged, self._repeated = alone, False, 0
        if first is not optimizer:
            self._other, self._repeated = weakref.ref(optimizer), 0
            return False
        self._other, self.opposed = _nobody, False
        self._judged |= judged
        self._repeated += 1
        return True

    def _replaced(self, by: torch.optim.Optimizer, *, alone: bool, judged: bool) -> bool:
        if self._alone and not alone:
            return False
        return self._other() is by or (judged and self._repeated >= REPEATED and (self.opposed or not self._judged))
