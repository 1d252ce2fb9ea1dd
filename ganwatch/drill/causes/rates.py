"""Learning rates and momentum that do not fit: the two networks lose their balance, or stand still.

What is said to have been seen was seen, with one seed or two, on the bundled digits (six losses, injected at step 600 unless told
otherwise, samples judged by a classifier) and on the ring of 8 Gaussians (with the R1 penalty, injected at step 1,500, judged by the
nearest centre).
"""

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
    """The balance is lost to the generator.

    Seen: of ten digits five to seven are left after 100 steps and one to four after 300, whatever the loss; the ring falls to one point
    within 50. Factors of 20 and 0.1 cost the digits one or two kinds.
    """

    name, label, codes = "mode-collapse", "mode-collapse", ("GW101",)
    cause = "the generator learns faster than the discriminator can follow"
    factors = {"g": 50.0, "d": 0.1}  # noqa: RUF012  # declared in the base


class DiscriminatorDomination(Rates):
    """The balance is lost to the discriminator before the generator is ready.

    Seen: injected at step 150, when a generator of digits shows five to seven kinds and one of them in two thirds of its samples, it
    stays there, and every real sample is ranked above every generated one. A generator that has learned all kinds keeps them.
    """

    name, label, codes = "discriminator-domination", "discriminator-domination", ("GW201",)
    cause = "the discriminator learns far faster than the generator, which hardly learns at all"
    factors = {"g": 0.01, "d": 10.0}  # noqa: RUF012  # as above
    step = 150


class GeneratorDomination(Rates):
    """Nobody judges what the generator makes any more.

    Seen: every generated sample is ranked above every real one within 200 steps; the digits lose half of their kinds in 200 to 400 steps
    (slower with the relativistic and the Wasserstein loss), the ring all but one within 200.
    """

    name, label, codes = "generator-domination", "generator-domination", ("GW202",)
    cause = "the discriminator is frozen, and the generator learns to please it"
    factors = {"g": 1.0, "d": 0.0}  # noqa: RUF012  # as above


class Stall(Rates):
    """Everything stands still before the generator is ready.

    Seen: from step 150 on samples of digits stay as poor as they were. A generator that has learned all kinds loses nothing by it.
    """

    name, label, codes = "stall", "stall", ("GW403",)
    cause = "both learning rates have fallen to nothing, and neither network learns any more"
    factors = {"g": 0.0, "d": 0.0}  # noqa: RUF012  # as above
    step = 150


class Oscillation(Rates):
    """Rates that are too high, with a momentum that is too high and a second moment that forgets too soon.

    Seen: on digits the share of real samples that are ranked above generated ones swings between 0.2 and 1 with a period of about 80 steps,
    and six to nine kinds are left. It goes on with the non-saturating loss; with hinge it narrows after 150 steps, and eight to ten
    kinds are left. Twice those rates collapse for 200 steps first; the higher momentum alone dies away within 300. The ring with its R1
    penalty does not swing: at four times the rates it loses kinds instead.

    Parameters
    ----------
    momentum, second : float, in [0, 1)
        Of both optimizers: their betas, or the momentum alone where that is all they have.
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
