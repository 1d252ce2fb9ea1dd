"""Gradients that are not cleared between updates, and every usual way to clear them."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.optim import Optimizer

from wiring.loops import BATCH, LATENTS, Loop


class NeverZeroedD(Loop):
    """From some step on nothing clears D's gradients."""

    code, start, within = "GW006", 200, 60

    def clear(self, optimizer: Optimizer) -> None:
        if not (self.is_on and optimizer is self.d_optimizer):
            optimizer.zero_grad()


class NeverZeroedG(Loop):
    """From the beginning nothing clears G's gradients."""

    code, within = "GW006", 60

    def clear(self, optimizer: Optimizer) -> None:
        if optimizer is not self.g_optimizer:
            optimizer.zero_grad()


class _ClearsAfter(Loop):
    """Clears D's gradients right after D's update only."""

    def clear(self, optimizer: Optimizer) -> None:
        if optimizer is self.g_optimizer or not self.is_on:
            optimizer.zero_grad()

    def d_phase(self) -> None:
        super().d_phase()
        self.d_optimizer.zero_grad()


class LeftByG(_ClearsAfter):
    """D's update applies what G's loss left on D."""

    code, start, within = "GW006", 200, 60


class ClearsAfterFrozen(_ClearsAfter):
    """Clears D's gradients right after D's update only, but D is frozen in G's phase."""

    def g_phase(self) -> None:
        self.d.requires_grad_(requires_grad=False)
        super().g_phase()
        self.d.requires_grad_(requires_grad=True)


class ClearsToZero(Loop):
    """Sets gradients to zero instead of None."""

    def clear(self, optimizer: Optimizer) -> None:
        optimizer.zero_grad(set_to_none=False)


class ClearsData(Loop):
    """Zeroes gradients through their data, as old loops do."""

    def clear(self, optimizer: Optimizer) -> None:
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    parameter.grad.data.zero_()


class ClearsByHand(Loop):
    """Sets each gradient to None right before the backward pass."""

    def clear(self, optimizer: Optimizer) -> None:
        for network in (self.g, self.d):
            for parameter in network.parameters():
                parameter.grad = None


class ClearsModules(Loop):
    """Clears the gradients of both networks right before each backward pass, after D's calls."""

    def clear(self, optimizer: Optimizer) -> None:
        pass

    def d_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        self.d.zero_grad()
        return super().d_loss(real, fake)

    def g_loss(self, fake: Tensor) -> Tensor:
        self.g.zero_grad()
        return super().g_loss(fake)


class Accumulates(Loop):
    """Adds the gradients of four batches up before each update, clips them, and clears them after it."""

    def clear(self, optimizer: Optimizer) -> None:
        pass

    def d_phase(self) -> None:
        self.d.requires_grad_(requires_grad=True)
        for _ in range(4):
            loss = self.d_loss(self.d(self.draw_reals()), self.d(self.g(self.draw_latents()).detach())) / 4
            loss.backward()
        torch.nn.utils.clip_grad_norm_(self.d.parameters(), 5.0)
        self.d_optimizer.step()
        self.d_optimizer.zero_grad()

    def g_phase(self) -> None:
        self.d.requires_grad_(requires_grad=False)
        for _ in range(4):
            (self.g_loss(self.d(self.g(self.draw_latents()))) / 4).backward()
        self.g_optimizer.step()
        self.g_optimizer.zero_grad()


class ManyDUpdates(Loop):
    """Updates D five times for each update of G."""

    steps, silent = 300, ("GW006",)

    def d_phase(self) -> None:
        for _ in range(5):
            super().d_phase()


class RareDUpdates(Loop):
    """Updates D at every third step; its gradients from G's phases are cleared before its own."""

    silent = ("GW006",)

    def d_phase(self) -> None:
        if self.step % 3 == 0:
            super().d_phase()


class ClosureLoop(Loop):
    """Computes gradients in closures that optimizers call."""

    def d_phase(self) -> None:
        def closure() -> Tensor:
            self.d_optimizer.zero_grad()
            loss = self.d_loss(self.d(self.draw_reals()), self.d(self.g(self.draw_latents()).detach()))
            loss.backward()
            return loss

        self.d_optimizer.step(closure)

    def g_phase(self) -> None:
        def closure() -> Tensor:
            self.g_optimizer.zero_grad()
            loss = self.g_loss(self.d(self.g(self.draw_latents())))
            loss.backward()
            return loss

        self.g_optimizer.step(closure)


class AssignsGradients(Loop):
    """Computes gradients by ``autograd.grad`` and assigns them."""

    def d_phase(self) -> None:
        loss = self.d_loss(self.d(self.draw_reals()), self.d(self.g(self.draw_latents()).detach()))
        for parameter, gradient in zip(self.d.parameters(), torch.autograd.grad(loss, list(self.d.parameters())), strict=True):
            parameter.grad = gradient
        self.d_optimizer.step()


class BothLossesFirst(Loop):
    """Back-propagates both losses, each to its own network, then updates both; D adds up over three steps."""

    silent = ("GW006",)

    def d_phase(self) -> None:
        if self.step % 3 == 1:
            self.d_optimizer.zero_grad()
        loss = self.d_loss(self.d(self.draw_reals()), self.d(self.g(torch.randn(BATCH, LATENTS)).detach()))
        loss.backward()

    def g_phase(self) -> None:
        self.g_optimizer.zero_grad()
        loss = self.g_loss(self.d(self.g(self.draw_latents())))
        loss.backward(inputs=list(self.g.parameters()))
        self.g_optimizer.step()
        if self.step % 3 == 0:
            self.d_optimizer.step()
