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
from ganwatch.session.run_start import active_drills
from ganwatch.session.arguments import Networks, parse_networks

log = logging.getLogger("ganwatch")


@dataclass(slots=True)
class _SavedSettings:
    """What an optimizer's groups had before a step that has begun."""

    optimizer: torch.optim.Optimizer
    roles: set[str]
    settings: list[tuple[dict[str, Any], dict[str, Any]]] = field(default_factory=list)

    def restore(self) -> None:
        for group, own in self.settings:
            group.update(own)


class ActiveInjection:
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
        self.injected_at: int | None = None
        self._generators = members(generator)
        self._updates = Updates({"g": generator, "d": discriminator}, timed=self._run_guarded, begun=lambda _: (), ended=self._on_update_end)
        self._saved: list[_SavedSettings] = []
        self._dataset: Any = None
        self._deliveries = deliveries
        self._is_open, self._is_disabled = True, os.environ.get("GANWATCH_DISABLED") == "1"
        self._updates.hook()
        optimizer_steps.surround(before=self._before, after=self._after)
        self._handle = register_module_forward_pre_hook(self._on_generator_call)  # type: ignore[arg-type]  # what it returns is used
        if deliveries:
            loaders.alter(self._on_batch)
        self._description = {"name": injected.name, "step": step}
        active_drills.append(self._description)

    @property
    def is_acting(self) -> bool:
        """Whether the chosen step has come."""
        return self._is_open and not self._is_disabled and self.steps >= self.step - 1

    def batch(self, batch: Any) -> Any:
        """What a loop without a ``DataLoader`` should use in place of a batch of real data."""
        return self._apply_change(self.injection.batch, batch) if self.is_acting else batch

    def close(self) -> None:
        """Leave nothing behind. A second call does nothing."""
        if not self._is_open:
            return
        self._is_open = False
        self._updates.unhook()
        optimizer_steps.unlisten(before=self._before, after=self._after)
        self._handle.remove()
        if self._deliveries:
            loaders.leave(self._on_batch)
        active_drills[:] = [other for other in active_drills if other is not self._description]
        while self._saved:
            self._saved.pop().restore()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _run_guarded(self, action: Callable[..., Any], *args: Any) -> Any:
        """Run it; an error ends the drill and not the training."""
        try:
            return action(*args)
        except Exception:
            log.exception("the drill %s had an error and does nothing any more", self.injection.name)
            self._is_disabled = True

    def _apply_change(self, change: Callable[[Any], Any], value: Any) -> Any:
        changed = self._run_guarded(change, value)
        if self._is_disabled or changed is value:
            return value
        self._note_first_change()
        return changed

    def _note_first_change(self) -> None:
        if self.injected_at is None:
            self.injected_at = self.steps + 1
            log.warning("drill: %s from step %d on: %s", self.injection.name, self.injected_at, self.injection.cause)

    def _on_update_end(self, *_: Any, ends: bool, **__: Any) -> None:
        self.steps += ends

    def _on_batch(self, dataset: Any, batch: Any) -> Any:
        if self._dataset is None:
            self._dataset = dataset
        return self.batch(batch) if dataset is self._dataset else batch

    def _on_generator_call(self, module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...] | None:
        if not self.is_acting or not module.training or module not in self._generators or get_ident() != self._updates.thread:
            return None
        place = next((place for place, x in enumerate(args) if isinstance(x, Tensor) and x.is_floating_point() and x.ndim), None)
        if place is None:
            return None
        return (*args[:place], self._apply_change(self.injection.latents, args[place]), *args[place + 1 :])

    def _before(self, optimizer: torch.optim.Optimizer, *_: Any) -> None:
        if self.is_acting:
            self._run_guarded(self._inject_into_step, optimizer)

    def _inject_into_step(self, optimizer: torch.optim.Optimizer) -> None:
        shares = self._updates.ownership.shares(optimizer)
        if not shares:
            return
        while any(saved.optimizer is optimizer for saved in self._saved):  # its last step began and never ended
            self._saved.pop().restore()
        inside = {role for saved in self._saved for role in saved.roles}
        shares = [share for share in shares if share.role not in inside]
        saved = _SavedSettings(optimizer, {share.role for share in shares})
        self._saved.append(saved)
        for share in shares:
            if share.moves and self.injection.before_step(share.role, share.parameters):
                self._note_first_change()
            own = set(map(id, share.parameters))
            for group in optimizer.param_groups:
                if not own.isdisjoint(map(id, group["params"])):
                    self._set(saved, group, self.injection.settings(share.role, group))

    def _set(self, saved: _SavedSettings, group: dict[str, Any], settings: dict[str, Any]) -> None:
        if settings:
            saved.settings.append((group, {name: group[name] for name in settings}))
            group.update(settings)
            self._note_first_change()

    def _after(self, optimizer: torch.optim.Optimizer, *_: Any) -> None:
        if any(saved.optimizer is optimizer for saved in self._saved):
            while (saved := self._saved.pop()).optimizer is not optimizer:
                saved.restore()
            saved.restore()


def inject(name: str, *, G: Networks, D: Networks, step: int = 500, **how: float) -> ActiveInjection:  # noqa: N803  # what everybody calls them
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
    >>> drill.injected_at
    2
    """
    made = make_injection(name, **how)
    if isinstance(step, bool) or not isinstance(step, int) or step < 1:
        raise UserError(f"step must be an integer >= 1 (steps of the generator), got {step!r}")
    return ActiveInjection(made, parse_networks("G", G), parse_networks("D", D), step)
