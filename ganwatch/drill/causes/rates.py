"""Faults of learning rates and momentum: the two networks lose their balance, or stop learning.

Observations were made, with one seed or two, on the bundled digits (six losses, injected at step 600 unless stated otherwise, samples
labelled by a classifier) and on the ring of 8 Gaussians (with the R1 penalty, injected at step 1,500, samples labelled by the nearest
centre).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from ganwatch.drill.injection import Injection


class Rates(Injection):
    """Multiplies the learning rates, also those that a scheduler sets.

    Parameters
    ----------
    g, d : float, >= 0
        Factors of the learning rates of generator and discriminator; None takes the injection's default.
    """

    factors: ClassVar[Mapping[str, float]]

    def __init__(self, *, g: float | None = None, d: float | None = None) -> None:
        given = {"g": g, "d": d}
        self._factors = {role: own if (value := given[role]) is None else value for role, own in self.factors.items()}

    def settings(self, role: str, group: Mapping[str, Any]) -> dict[str, Any]:
        return {"lr": group["lr"] * self._factors[role]}


class ModeCollapse(Rates):
    """Lets the generator learn much faster than the discriminator.

    Observed: of ten digits five to seven remain after 100 steps and one to four after 300, with every loss; of the ring one point within
    50. Factors of 20 and 0.1 cost one or two digits.
    """

    name, label, codes = "mode-collapse", "mode-collapse", ("GW101",)
    cause = "the generator learns faster than the discriminator can follow"
    factors = {"g": 50.0, "d": 0.1}  # noqa: RUF012  # declared in the base


class DiscriminatorDomination(Rates):
    """Lets the discriminator learn much faster before the generator has learned the data.

    Observed: at step 150 a generator of digits covers five to seven digits, one of them in two thirds of its samples. Injected then, it
    stays there, and every real sample is scored above every generated one. A generator that has learned all digits keeps them.
    """

    name, label, codes = "discriminator-domination", "discriminator-domination", ("GW201",)
    cause = "the discriminator learns far faster than the generator, which hardly learns at all"
    factors = {"g": 0.01, "d": 10.0}  # noqa: RUF012  # as above
    step = 150


class GeneratorDomination(Rates):
    """Freezes the discriminator.

    Observed: every generated sample is scored above every real one within 200 steps. Half of the digits are lost in 200 to 400 steps
    (slower with the relativistic and the Wasserstein loss), all but one point of the ring within 200.
    """

    name, label, codes = "generator-domination", "generator-domination", ("GW202",)
    cause = "the discriminator is frozen, and the generator learns to please it"
    factors = {"g": 1.0, "d": 0.0}  # noqa: RUF012  # as above


class Stall(Rates):
    """Stops both networks before the generator has learned the data.

    Observed: injected at step 150, samples of digits stay as poor as they were. A generator that has learned all digits loses nothing.
    """

    name, label, codes = "stall", "stall", ("GW403",)
    cause = "both learning rates have fallen to nothing, and neither network learns any more"
    factors = {"g": 0.0, "d": 0.0}  # noqa: RUF012  # as above
    step = 150


class Oscillation(Rates):
    """Sets learning rates and momentum too high, and the decay of the second moment too low.

    Observed: on digits the share of real samples scored above generated ones swings between 0.2 and 1 with a period of about 80 steps,
    and six to nine digits remain. With the non-saturating loss the swings go on; with hinge they narrow after 150 steps, and eight to ten
    digits remain. Twice those rates collapse for 200 steps first; with the higher momentum alone the swings end within 300. The ring with
    its R1 penalty does not swing: at four times the rates it loses points instead.

    Parameters
    ----------
    momentum, second : float, in [0, 1)
        Betas of both optimizers; only the momentum for optimizers without a second moment.
    """

    name, label, codes = "oscillation", "oscillation", ("GW304",)
    cause = "high learning rates and a high momentum drive the networks around each other"
    factors = {"g": 2.0, "d": 2.0}  # noqa: RUF012  # as above

    def __init__(self, *, g: float | None = None, d: float | None = None, momentum: float = 0.9, second: float = 0.9) -> None:
        super().__init__(g=g, d=d)
        self.momentum, self.second = momentum, second

    def settings(self, role: str, group: Mapping[str, Any]) -> dict[str, Any]:
        changed = super().settings(role, group)
        if "betas" in group:
            changed["betas"] = (self.momentum, self.second, *group["betas"][2:])
        elif "momentum" in group:
            changed["momentum"] = self.momentum
        return changed
