"""Networks that are left in evaluation mode, and loops that use it on purpose."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

from wiring.loops import Loop


class ForgottenTrain(Loop):
    """A validation leaves G in evaluation mode."""

    code, start, within = "GW004", 200, 100

    def before_step(self) -> None:
        if self.step == self.start:
            self.g.eval()
            with torch.no_grad():
                self.g(self.draw_latents())


class _WithNormalisedD(Loop):
    """D has spectral normalisation and dropout."""

    def make_discriminator(self) -> nn.Module:
        size = self.reals[0].numel()
        first, second = spectral_norm(nn.Linear(size, 128)), spectral_norm(nn.Linear(128, 128))
        return nn.Sequential(nn.Flatten(), first, nn.LeakyReLU(0.2), nn.Dropout(0.2), second, nn.LeakyReLU(0.2), nn.Linear(128, 1))


class ForgottenTrainOfD(_WithNormalisedD):
    """A validation leaves D in evaluation mode."""

    code, start, within = "GW004", 200, 100

    def before_step(self) -> None:
        if self.step == self.start:
            self.d.eval()


class EvaluatesOften(_WithNormalisedD):
    """Every 10 steps both networks are evaluated, with a graph and without, and go back to training mode."""

    silent = ("GW004",)

    def before_step(self) -> None:
        if self.step % 10 == 0:
            self.g.eval()
            self.d.eval()
            with torch.no_grad():
                self.d(self.g(self.draw_latents()))
            self.d(self.g(self.draw_latents()))
            self.d(self.draw_reals())
            self.g.train()
            self.d.train()


class FrozenFromTheStart(Loop):
    """G's normalisation is frozen from the first step."""

    silent = ("GW004",)

    def before_step(self) -> None:
        self.g.eval()


class FreezesNormalisation(Loop):
    """From some step on G's normalisation is frozen, and the rest of G is not."""

    silent = ("GW004",)

    def before_step(self) -> None:
        if self.step >= 200:
            for layer in self.g:  # type: ignore[attr-defined]  # a Sequential
                layer.train(not isinstance(layer, nn.BatchNorm1d))


class EvaluatesInDPhase(Loop):
    """From some step on G is in evaluation mode in D's phase only."""

    silent = ("GW004",)

    def d_phase(self) -> None:
        self.g.train(self.step < 200)
        super().d_phase()
        self.g.train()


class WithoutNormalisation(Loop):
    """No layer depends on the mode, which is left at evaluation."""

    silent = ("GW004",)

    def make_generator(self) -> nn.Module:
        network = super().make_generator()
        return nn.Sequential(*(layer for layer in network if not isinstance(layer, nn.BatchNorm1d)))

    def before_step(self) -> None:
        if self.step == 200:
            self.g.eval()
            self.d.eval()
