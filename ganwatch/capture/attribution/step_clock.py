"""Decides which optimizer of the generator ends a step, if several share it; without its updates ``activity_clock.py`` decides."""

from __future__ import annotations

import weakref
from collections.abc import Callable

import torch

MIN_REPEATS = 2
"""Steps in a row after which the primary optimizer is known to have no second one between its steps."""


def _no_optimizer() -> None:
    """Stand-in for a weak reference to no optimizer."""


class StepClock:
    """Ends a step with each step of the primary optimizer: the first one, until another one replaces it.

    Another one replaces it if the first one is gone, or if the other one steps twice without it. It replaces it at once if the first
    one has stepped repeatedly by itself and the other one comes with the discriminator. The discriminator may have been called for the
    first time, as after a pretraining, or have been updated in between, as in every round. An optimizer that also updates the
    discriminator does not replace one that updates the generator only: that is no GAN training any more.

    Examples
    --------
    >>> a, b = (torch.optim.SGD([torch.zeros(1, requires_grad=True)]) for _ in range(2))
    >>> def ends(*optimizers):
    ...     clock = StepClock()
    ...     return [clock.ends_step(each, is_g_only=True, has_d_call=each is b) for each in optimizers]
    >>> ends(a, b, a, b), ends(a, a, b, b)  # an auto-encoder's beside the adversarial one, and a pretraining
    ([True, False, True, False], [True, True, True, True])
    """

    def __init__(self) -> None:
        self._primary: Callable[[], torch.optim.Optimizer | None] = _no_optimizer
        self._other: Callable[[], torch.optim.Optimizer | None] = _no_optimizer
        """The optimizer that stepped since the primary one."""
        self._is_g_only = False
        """True if the primary optimizer updates the generator only."""
        self._had_d_call = False
        """True if the discriminator was called before some step of the primary optimizer."""
        self._repeats = 0
        """Steps of the primary optimizer in a row."""
        self.has_d_update = False
        """True if the discriminator was updated since the primary optimizer's step."""

    def ends_step(self, optimizer: torch.optim.Optimizer, *, is_g_only: bool, has_d_call: bool) -> bool:
        """Return True if this optimizer's step ends a step of the training.

        Parameters
        ----------
        optimizer : Optimizer
            It has just updated the generator.
        is_g_only : bool
            True if it updated nothing else.
        has_d_call : bool
            True if the discriminator was called since the update before.
        """
        primary = self._primary()
        if primary is not optimizer and (primary is None or self._is_replaced(optimizer, is_g_only=is_g_only, has_d_call=has_d_call)):
            primary, self._primary = optimizer, weakref.ref(optimizer)
            self._is_g_only, self._had_d_call, self._repeats = is_g_only, False, 0
        if primary is not optimizer:
            self._other, self._repeats = weakref.ref(optimizer), 0
            return False
        self._other, self.has_d_update = _no_optimizer, False
        self._had_d_call |= has_d_call
        self._repeats += 1
        return True

    def _is_replaced(self, by: torch.optim.Optimizer, *, is_g_only: bool, has_d_call: bool) -> bool:
        if self._is_g_only and not is_g_only:
            return False
        return self._other() is by or (has_d_call and self._repeats >= MIN_REPEATS and (self.has_d_update or not self._had_d_call))
