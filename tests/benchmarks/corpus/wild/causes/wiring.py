"""Wiring: updates, rates, modes, gradients and copies that are connected wrongly."""

from __future__ import annotations

import copy
from typing import ClassVar

import torch
from corpus.wild.causes.cause import Cause
from corpus.wild.loop import Batch
from corpus.wild.optimizers import create_optimizer
from torch import Tensor, nn

BATCH_NORM = ("batch-norm", "dcgan", "upsampling", "conv1d", "spectral", "dropout")
"""Networks whose generator has batch norm."""


class GeneratorNotStepped(Cause):
    """The generator's optimizer is not stepped."""

    codes: ClassVar[tuple[str, ...]] = ("GW001",)
    role = "g"

    def update(self, role: str) -> None:
        if not (self.is_on and role == self.role):
            super().update(role)


class DiscriminatorNotStepped(GeneratorNotStepped):
    """The discriminator's optimizer is not stepped."""

    codes = ("GW001", "GW202")
    role = "d"


class WrongParameters(Cause):
    """The generator's optimizer has the discriminator's parameters."""

    codes = ("GW001",)
    sets_in = False

    def parameters(self, role: str) -> list[nn.Parameter]:
        return list(self.d.parameters())


class GeneratorRecreated(Cause):
    """The generator is created again after its optimizer, before it is watched."""

    codes = ("GW001", "GW007")
    sets_in = False
    role = "g"

    def watched(self) -> tuple[nn.Module, nn.Module]:
        setattr(self, self.role, self.make_generator() if self.role == "g" else self.make_discriminator())
        return super().watched()


class DiscriminatorRecreated(GeneratorRecreated):
    """The discriminator is created again after its optimizer, before it is watched."""

    role = "d"


class DiscriminatorReloaded(Cause):
    """The discriminator is replaced by a copy, as from a checkpoint, and its optimizer keeps the old one."""

    codes = ("GW001", "GW007")
    starts = False

    def before_step(self) -> None:
        super().before_step()
        if self.begins:
            self.d = copy.deepcopy(self.d)


class FakesDetached(Cause):
    """The generator's phase detaches the fakes."""

    codes = ("GW001",)
    without = ("frozen", "combined")  # nothing is left that requires a gradient, which is an error

    def fakes_for_g(self) -> Batch:
        fakes = super().fakes_for_g()
        return fakes.detach() if self.is_on else fakes


class FreezeForgotten(Cause):
    """The generator is frozen for the discriminator's phase and never thawed."""

    codes = ("GW001",)
    without = ("frozen", "combined")  # nothing is left that requires a gradient, which is an error

    def before_step(self) -> None:
        super().before_step()
        if self.begins:
            self.g.requires_grad_(requires_grad=False)


class RateZero(Cause):
    """A schedule sets both learning rates to zero."""

    codes = ("GW002", "GW403")
    roles = "gd"
    rate = 0.0

    def schedule(self) -> None:
        super().schedule()
        if self.is_on:
            self.factors |= dict.fromkeys(self.roles, self.rate)


class RateOfWrongExponent(RateZero):
    """The discriminator's learning rate is a millionth of what was meant."""

    codes = ("GW002", "GW202")
    roles = "d"
    rate = 1e-6


class DecayPerStep(Cause):
    """A schedule meant for epochs is stepped at every step."""

    codes = ("GW002", "GW403")
    fact, sets_in = False, False
    gamma = 0.95

    def schedule(self) -> None:
        super().schedule()
        self.factors = dict.fromkeys("gd", self.gamma**self.step)


class EvalForgotten(Cause):
    """The generator is put into evaluation mode for samples, and stays in it."""

    codes = ("GW004",)
    starts = False
    networks = BATCH_NORM

    def before_step(self) -> None:
        super().before_step()
        if self.begins:
            self.g.eval()


class BothInEval(EvalForgotten):
    """Both networks stay in evaluation mode after a validation."""

    networks = ("dcgan-norm", "dropout", "spectral", "upsampling")

    def before_step(self) -> None:
        super().before_step()
        if self.begins:
            self.d.eval()


class GeneratorNotCleared(Cause):
    """Nothing clears the generator's gradients."""

    codes = ("GW006",)
    role = "g"

    def clear(self, role: str) -> None:
        if not self.is_on:
            super().clear(role)
        elif role != self.role:
            self.optimizers[role].zero_grad()


class DiscriminatorNotCleared(GeneratorNotCleared):
    """Nothing clears the discriminator's gradients."""

    role = "d"


class ClearedTooEarly(Cause):
    """The discriminator's gradients are cleared after its update only, so it applies what the generator's loss leaves."""

    codes = ("GW006",)
    styles = ("plain", "loader", "reused", "accumulated", "concatenated")

    def clear(self, role: str) -> None:
        if not self.is_on or role == "g":
            self.optimizers[role].zero_grad()

    def update(self, role: str) -> None:
        super().update(role)
        if role == "d" and self.is_on:
            self.optimizers["d"].zero_grad()


class AverageWatched(Cause):
    """The averaged copy is given in place of the generator."""

    codes = ("GW007",)
    sets_in = False
    average: nn.Module | None = None

    def watched(self) -> tuple[nn.Module, nn.Module]:
        self.average = copy.deepcopy(self.g)
        return self.average, self.d

    def after_step(self) -> None:
        super().after_step()
        assert self.average is not None
        with torch.no_grad():
            for averaged, parameter in zip(self.average.parameters(), self.g.parameters(), strict=True):
                averaged.lerp_(parameter, 0.01)


class AverageKept(Cause):
    """Averaged weights are swapped in for samples at every step, and not out again."""

    codes = ("GW007",)
    average: dict[str, Tensor] | None = None

    def after_step(self) -> None:
        super().after_step()
        if not self.is_on:
            return
        if self.average is None:
            self.average = copy.deepcopy(self.g.state_dict())
        for name, value in self.g.state_dict().items():
            if value.is_floating_point():
                self.average[name].lerp_(value, 0.001)
        self.g.load_state_dict(self.average)


class TinyClipping(Cause):
    """Gradients are clipped to a norm that was meant for values."""

    codes = ("GW002", "GW403", "GW301")
    fact, sets_in = False, False
    norm = 1e-10
    without = ("rmsprop", "wgan-clip")

    def update(self, role: str) -> None:
        nn.utils.clip_grad_norm_(getattr(self, role).parameters(), self.norm)
        super().update(role)


class OptimizerRecreated(Cause):
    """An optimizer with the parameters of a copy replaces that of the generator, as after a wrong restart."""

    codes = ("GW001", "GW007")
    starts = False

    def before_step(self) -> None:
        super().before_step()
        if self.begins:
            parameters = list(copy.deepcopy(self.g).parameters())
            self.optimizers["g"] = create_optimizer(self.plan.optimizer, self.world.name, "g", parameters)
