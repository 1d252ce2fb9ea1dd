"""Learning rates and momentum that do not fit: the two networks lose their balance."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from ganwatch.drill.injection import Injection


class Rates(Injection):
    """The learning rates are multiplied, whatever a scheduler sets them to.

    Parameters
    ----------
    g, d : float, >= 0
        Factors of the learning rates of generator and discriminator; None takes the injection's own.
    """

    factors: ClassVar[Mapping[str, float]]

    def __init__(self, *, g: float | None = None, d: float | None = None) -> None:
        given = {"g": g, "d": d}
        self._factors = {role: own if (value := given[role]) is None else value for role, own in self.factors.items()}

    def settings(self, role: str, group: Mapping[str, Any]) -> dict[str, Any]:
        return {"lr": group["lr"] * self._factors[role]}


class ModeCollapse(Rates):
    """The balance is lost to the generator."""

    name, label, codes = "mode-collapse", "mode-collapse", ("GW101",)
    cause = "the generator learns faster than the discriminator can follow"
    factors = {"g": 50.0, "d": 0.1}  # noqa: RUF012  # declared in the base


class DiscriminatorDomination(Rates):
    """The balance is lost to the discriminator."""

    name, label, codes = "discriminator-domination", "discriminator-domination", ("GW201",)
    cause = "the discriminator learns far faster than the generator, which hardly learns at all"
    factors = {"g": 0.01, "d": 10.0}  # noqa: RUF012  # as above
    step = 150  # a generator that has learned all kinds keeps them


class GeneratorDomination(Rates):
    """Nobody judges what the generator makes any more."""

    name, label, codes = "generator-domination", "generator-domination", ("GW202",)
    cause = "the discriminator is frozen, and the generator learns to please it"
    factors = {"g": 1.0, "d": 0.0}  # noqa: RUF012  # as above


class ExplodingGradient(Rates):
    """Steps far beyond what the networks can take."""

    name, label, codes = "exploding-gradient", "exploding-gradient", ("GW302", "GW303")
    cause = "both learning rates are far too high"
    factors = {"g": 100.0, "d": 100.0}  # noqa: RUF012  # as above


class Stall(Rates):
    """Everything stands still."""

    name, label, codes = "stall", "stall", ("GW403",)
    cause = "both learning rates have fallen to nothing, and neither network learns any more"
    factors = {"g": 0.0, "d": 0.0}  # noqa: RUF012  # as above


class Oscillation(Rates):
    """Rates with momentum that is too high as well.

    Parameters
    ----------
    momentum : float, in [0, 1)
        Of both optimizers: the first beta where they have betas.
    """

    name, label, codes = "oscillation", "oscillation", ("GW304",)
    cause = "high learning rates and a high momentum drive the networks around each other"
    factors = {"g": 4.0, "d": 4.0}  # noqa: RUF012  # as above

    def __init__(self, *, g: float | None = None, d: float | None = None, momentum: float = 0.9) -> None:
        super().__init__(g=g, d=d)
        self.momentum = momentum

    def settings(self, role: str, group: Mapping[str, Any]) -> dict[str, Any]:
        changed = super().settings(role, group)
        if "betas" in group:
            changed["betas"] = (self.momentum, *group["betas"][1:])
        elif "momentum" in group:
            changed["momentum"] = self.momentum
        return changed
