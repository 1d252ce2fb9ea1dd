"""Weights and gradients that go wrong: the learning signal dies out or overflows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ganwatch.drill.injection import Injection

if TYPE_CHECKING:
    from torch import nn


class VanishingGradient(Injection):
    """All weights and scales of the generator shrink by a share at each of its steps.

    Parameters
    ----------
    share : float, in [0, 1]
    """

    name, label, codes = "vanishing-gradient", "vanishing-gradient", ("GW301",)
    cause = "a far too strong weight decay shrinks the generator's weights at every step"

    def __init__(self, *, share: float = 0.1) -> None:
        self.share = share

    def before_step(self, role: str, parameters: Sequence[nn.Parameter]) -> bool:
        if role != "g":
            return False
        for parameter in parameters:
            parameter.data.mul_(1.0 - self.share)
        return True


class NonFinite(Injection):
    """One element of one gradient of the discriminator is infinite, once."""

    name, label, codes = "non-finite", "non-finite", ("GW303",)
    cause = "a gradient of the discriminator overflows, as in half precision without a scaler"

    def __init__(self) -> None:
        self._done = False

    def before_step(self, role: str, parameters: Sequence[nn.Parameter]) -> bool:
        gradient = next((parameter.grad for parameter in parameters if parameter.grad is not None), None)
        if role != "d" or self._done or gradient is None:
            return False
        gradient.view(-1)[0] = math.inf
        self._done = True
        return True
