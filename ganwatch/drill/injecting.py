"""Brings an injection into a loop: counts the generator's steps, and from the chosen one on interferes."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import get_ident
from types import TracebackType
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_pre_hook

from ganwatch.capture.attribution.parameter_ownership import members
from ganwatch.capture.taps import loaders, optimizer_steps
from ganwatch.capture.updates import Updates
from ganwatch.core.errors import UserError
from ganwatch.drill.injection import Injection, make_injection
from ganwatch.session.run_start import rehearsed
from ganwatch.session.watch import Networks, as_one

log = logging.getLogger("ganwatch")


@dataclass(slots=True)
class _Held:
    """What an optimizer's groups had before a step that has begun."""

    optimizer: torch.optim.Optimizer
    roles: set[str]
    settings: list[tuple[dict[str, Any], dict[str, Any]]] = field(default_factory=list)

    def give_back(self) -> None:
        for group, own in self.settings:
            group.update(own)


class Injected:
    """An injection in a loop, until ``close`` or the end of a ``with`` block; made by ``inject``.

    Settings of optimizers are changed for the time of a step alone, so that a scheduler goes on as if nothing were and cannot undo it. An
    error of its own ends the drill and not the training. With GANWATCH_DISABLED=1 it does nothing.

    Attributes
    ----------
    injection : Injection
    step : int
        The first step of the generator that is interfered with, from 1; all that came before is bit for bit as without.
    steps : int
        Steps of the generator so far.
    fired_at : int or None
        The first step in which something was changed; None as long as nothing was.
    """

    def __init__(self, injected: Injection, generator: nn.Module, discriminator: nn.Module, step: int, *, deliveries: bool = True) -> None:
        self.injection, self.step = injected, step
        self.steps = 0
        self.fired_at: int | None = None
        self._generators = members(generator)
        self._updates = Updates({"g": generator, "d": discriminator}, timed=self._guarded, begun=lambda _: (), ended=self._ended)
        self._held: list[_Held] = []
        self._dataset: Any = None
        self._deliveries = deliveries
        self._open, self._off = True, os.environ.get("GANWATCH_DISABLED") == "1"
        self._updates.hook()
        optimizer_steps.surround(before=self._before, after=self._after)
        self._handle = register_module_forward_pre_hook(self._called)  # type: ignore[arg-type]  # what it returns is used
        if deliveries:
            loaders.alter(self._delivered)
        self._said = {"name": injected.name, "step": step}
        rehearsed.append(self._said)

    @property
    def active(self) -> bool:
        """Whether the chosen step has come."""
        return self._open and not self._off and self.steps >= self.step - 1

    def batch(self, batch: Any) -> Any:
        """What a loop without a ``DataLoader`` should use in place of a batch of real data."""
        return self._changed(self.injection.batch, batch) if self.active else batch

    def close(self) -> None:
        """Leave nothing behind. A second call does nothing."""
        if not self._open:
            return
        self._open = False
        self._updates.unhook()
        optimizer_steps.unlisten(before=self._before, after=self._after)
        self._handle.remove()
        if self._deliveries:
            loaders.leave(self._delivered)
        rehearsed[:] = [other for other in rehearsed if other is not self._said]
        while self._held:
            self._held.pop().give_back()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _guarded(self, action: Callable[..., Any], *args: Any) -> Any:
        """Run it; an error ends the drill and not the training."""
        try:
            return action(*args)
        except Exception:
            log.exception("the drill %s had an error and does nothing any more", self.injection.name)
            self._off = True

    def _changed(self, change: Callable[[Any], Any], value: Any) -> Any:
        changed = self._guarded(change, value)
        if self._off or changed is value:
            return value
        self._fire()
        return changed

    def _fire(self) -> None:
        if self.fired_at is None:
            self.fired_at = self.steps + 1
            log.warning("drill: %s from step %d on: %s", self.injection.name, self.fired_at, self.injection.cause)

    def _ended(self, *_: Any, ends: bool, **__: Any) -> None:
        self.steps += ends

    def _delivered(self, dataset: Any, batch: Any) -> Any:
        if self._dataset is None:
            self._dataset = dataset
        return self.batch(batch) if dataset is self._dataset else batch

    def _called(self, module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...] | None:
        if not self.active or not module.training or module not in self._generators or get_ident() != self._updates.thread:
            return None
        place = next((place for place, x in enumerate(args) if isinstance(x, Tensor) and x.is_floating_point() and x.ndim), None)
        if place is None:
            return None
        return (*args[:place], self._changed(self.injection.latents, args[place]), *args[place + 1 :])

    def _before(self, optimizer: torch.optim.Optimizer, *_: Any) -> None:
        if self.active:
            self._guarded(self._interfere, optimizer)

    def _interfere(self, optimizer: torch.optim.Optimizer) -> None:
        shares = self._updates.ownership.shares(optimizer)
        if not shares:
            return
        while any(held.optimizer is optimizer for held in self._held):  # its last step began and never ended
            self._held.pop().give_back()
        inside = {role for held in self._held for role in held.roles}
        shares = [share for share in shares if share.role not in inside]
        held = _Held(optimizer, {share.role for share in shares})
        self._held.append(held)
        for share in shares:
            if share.moves and self.injection.before_step(share.role, share.parameters):
                self._fire()
            own = set(map(id, share.parameters))
            for group in optimizer.param_groups:
                if not own.isdisjoint(map(id, group["params"])):
                    self._set(held, group, self.injection.settings(share.role, group))

    def _set(self, held: _Held, group: dict[str, Any], settings: dict[str, Any]) -> None:
        if settings:
            held.settings.append((group, {name: group[name] for name in settings}))
            group.update(settings)
            self._fire()

    def _after(self, optimizer: torch.optim.Optimizer, *_: Any) -> None:
        if any(held.optimizer is optimizer for held in self._held):
            while (held := self._held.pop()).optimizer is not optimizer:
                held.give_back()
            held.give_back()


def inject(name: str, *, G: Networks, D: Networks, step: int = 500, **how: float) -> Injected:  # noqa: N803  # what everybody calls them
    """Bring the cause of a failure into a loop from the generator's step number ``step`` on.

    Say it before ``watch``, or at least before the first step, and the run is called a drill wherever it is shown. Real batches are those
    of the ``DataLoader`` that delivers first; a loop without one uses ``drill.batch(batch)``. Latents are the first floating tensor that
    ``G`` is called with in training mode.

    Parameters
    ----------
    name : str
        One of ``ganwatch.drill.injections()``.
    G, D : nn.Module, or list or dict of them
        Generator and discriminator, as for ``ganwatch.watch``.
    step : int, >= 1
        The first of the generator's steps that is interfered with.
    **how : float
        What the injection itself takes.

    Returns
    -------
    Injected
        Also a context manager.

    Raises
    ------
    UserError
        There is no such injection, an argument does not fit, or the networks share parameters.

    Examples
    --------
    >>> netG, netD = nn.Linear(2, 4), nn.Linear(4, 1)
    >>> optimizer = torch.optim.SGD(netG.parameters(), lr=0.1)
    >>> with inject("stall", G=netG, D=netD, step=2) as drill:
    ...     for _ in range(3):
    ...         before = netG.weight.detach().clone()
    ...         (-netD(netG(torch.randn(8, 2))).mean()).backward()
    ...         optimizer.step()
    ...         print(torch.equal(before, netG.weight), optimizer.param_groups[0]["lr"])
    False 0.1
    True 0.1
    True 0.1
    >>> drill.fired_at
    2
    """
    made = make_injection(name, **how)
    if isinstance(step, bool) or not isinstance(step, int) or step < 1:
        raise UserError(f"step must be an integer >= 1 (steps of the generator), got {step!r}")
    return Injected(made, as_one("G", G), as_one("D", D), step)
