"""Faults of weights and gradients: gradients vanish, explode or become non-finite.

Observations were made on the runs that ``rates.py`` describes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from ganwatch.drill.injection import Injection

if TYPE_CHECKING:
    from torch import nn


class Decay(Injection):
    """Changes all weights and scales of one network by a share of themselves at each of its steps.

    Parameters
    ----------
    share : float, >= 0
    """

    role: ClassVar[str]
    sign: ClassVar[float]

    def __init__(self, *, share: float) -> None:
        self._factor = 1.0 + self.sign * share

    def before_step(self, role: str, parameters: Sequence[nn.Parameter]) -> bool:
        if role != self.role:
            return False
        for parameter in parameters:
            parameter.data.mul_(self._factor)
        return True


class VanishingGradient(Decay):
    """Halves the generator's weights at each step.

    Observed: one digit, or one point of the ring, remains within 50 steps, with every loss and despite batch normalisation.
    """

    name, label, codes = "vanishing-gradient", "vanishing-gradient", ("GW301",)
    cause = "a far too strong weight decay shrinks the generator's weights at every step"
    role, sign = "g", -1.0

    def __init__(self, *, share: float = 0.5) -> None:
        super().__init__(share=share)


class ExplodingGradient(Decay):
    """Lets the discriminator's weights grow by a twentieth at each step.

    Observed: gradients of both networks grow tenfold every 10 to 15 steps, until they overflow on the ring. After 200 steps one or two
    digits remain (minimax, hinge, Wasserstein; with the relativistic loss nine), of the ring one point. Spectral normalisation undoes the
    growth of weights: the discriminator then stops learning, which is generator domination. Learning rates a hundred times too high do
    not explode on digits: the generator saturates at once, and its gradient is zero.
    """

    name, label, codes = "exploding-gradient", "exploding-gradient", ("GW302", "GW303")
    cause = "a weight decay with the wrong sign lets the discriminator's weights grow at every step"
    role, sign = "d", 1.0

    def __init__(self, *, share: float = 0.05) -> None:
        super().__init__(share=share)


class NonFinite(Injection):
    """Makes one element of one gradient of the discriminator infinite, once.

    Observed: with Adam one weight is NaN after that step and everything else a step later.
    """

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
