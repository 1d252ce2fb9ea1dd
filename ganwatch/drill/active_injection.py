"""``inject``: brings an injection into a loop, from a chosen step of the generator on."""

from __future__ import annotations

import logging
import os
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_pre_hook

from ganwatch.capture.attribution.activity_clock import Activity
from ganwatch.capture.attribution.parameter_ownership import list_members
from ganwatch.capture.events import Event
from ganwatch.capture.taps import loaders, optimizer_steps
from ganwatch.capture.training_taps import TrainingTaps
from ganwatch.core.errors import UserError
from ganwatch.drill.injection import Injection, make_injection
from ganwatch.session.arguments import Networks, parse_networks
from ganwatch.session.run_start import active_drills

log = logging.getLogger("ganwatch")


@dataclass(slots=True)
class _SavedSettings:
    """Settings of an optimizer before a step that has begun, to restore after it."""

    optimizer: torch.optim.Optimizer
    roles: set[str]
    settings: list[tuple[dict[str, Any], dict[str, Any]]] = field(default_factory=list)

    def restore(self) -> None:
        for group, own in self.settings:
            group.update(own)


class ActiveInjection:
    """An injection in a loop, until ``close`` or the end of a ``with`` block; created by ``inject``.

    It changes settings of an optimizer only during a step: a scheduler works as usual and cannot undo the change. An error of the drill
    ends the drill, not the training. With GANWATCH_DISABLED=1 it does nothing.

    Attributes
    ----------
    injection : Injection
    step : int
        First step of the generator that is changed, from 1; everything before it is bit for bit as without the injection.
    steps : int
        Steps of the generator so far.
    injected_at : int or None
        First step in which something was changed; None before that.
    """

    def __init__(
        self, injection: Injection, generator: nn.Module, discriminator: nn.Module, step: int, *, loaders_too: bool = True
    ) -> None:
        self.injection, self.step = injection, step
        self.steps = 0
        self.injected_at: int | None = None
        self._generators = list_members(generator)
        networks = {"g": generator, "d": discriminator}
        self._taps = TrainingTaps(networks, handle=self._handle_events, fail=self._fail, run=self._run_guarded, before_step=lambda _: ())
        self._saved: list[_SavedSettings] = []
        self._dataset: Any = None
        self._changes_loaders = loaders_too
        self._is_open, self._is_disabled = True, os.environ.get("GANWATCH_DISABLED") == "1"
        self._taps.attach()
        optimizer_steps.add_outermost_listener(before=self._before_step, after=self._after_step)
        self._handle = register_module_forward_pre_hook(self._on_generator_call)  # type: ignore[arg-type]  # the hook may return None
        if loaders_too:
            loaders.add_transform(self._on_batch)
        self._description = {"name": injection.name, "step": step}
        active_drills.append(self._description)

    @property
    def is_acting(self) -> bool:
        """True from the chosen step on."""
        return self._is_open and not self._is_disabled and self.steps >= self.step - 1

    def change_batch(self, batch: Any) -> Any:
        """Return the batch to use in place of a batch of real data, for a loop without a ``DataLoader``."""
        return self._apply_change(self.injection.change_batch, batch) if self.is_acting else batch

    def close(self) -> None:
        """Remove all hooks and restore all settings. A second call does nothing."""
        if not self._is_open:
            return
        self._is_open = False
        self._taps.detach()
        optimizer_steps.remove_listener(before=self._before_step, after=self._after_step)
        self._handle.remove()
        if self._changes_loaders:
            loaders.remove_transform(self._on_batch)
        active_drills[:] = [other for other in active_drills if other is not self._description]
        while self._saved:
            self._saved.pop().restore()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _run_guarded(self, action: Callable[..., Any], *args: Any) -> Any:
        """Run a part of the drill; an error ends the drill, not the training."""
        try:
            return action(*args)
        except Exception as error:  # noqa: BLE001  # logged
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        log.error("drill: %s failed and is off from here on; the training goes on", self.injection.name, exc_info=error)
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

    def _handle_events(self, queue: deque[Event]) -> None:
        while queue:
            done = self._run_guarded(self._taps.attribution.handle, queue.popleft())
            self.steps += done is not None and done.activity is Activity.GENERATOR_UPDATES

    def _on_batch(self, dataset: Any, batch: Any) -> Any:
        if self._dataset is None:
            self._dataset = dataset
        return self.change_batch(batch) if dataset is self._dataset else batch

    def _on_generator_call(self, module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...] | None:
        if not self.is_acting or not module.training or module not in self._generators or not self._taps.stream.is_current_thread():
            return None
        index = next((index for index, x in enumerate(args) if isinstance(x, Tensor) and x.is_floating_point() and x.ndim), None)
        if index is None:
            return None
        return (*args[:index], self._apply_change(self.injection.change_latents, args[index]), *args[index + 1 :])

    def _before_step(self, optimizer: torch.optim.Optimizer, *_: Any) -> None:
        if self.is_acting:
            self._run_guarded(self._inject_into_step, optimizer)

    def _inject_into_step(self, optimizer: torch.optim.Optimizer) -> None:
        parts = self._taps.ownership.find(optimizer).owned
        if not parts:
            return
        while any(saved.optimizer is optimizer for saved in self._saved):  # its previous step did not end
            self._saved.pop().restore()
        inside = {role for saved in self._saved for role in saved.roles}
        parts = [owned for owned in parts if owned.role not in inside]
        saved = _SavedSettings(optimizer, {owned.role for owned in parts})
        self._saved.append(saved)
        for owned in parts:
            if owned.has_gradient and self.injection.before_step(owned.role, owned.parameters):
                self._note_first_change()
            own = set(map(id, owned.parameters))
            for group in optimizer.param_groups:
                if not own.isdisjoint(map(id, group["params"])):
                    self._set(saved, group, self.injection.settings(owned.role, group))

    def _set(self, saved: _SavedSettings, group: dict[str, Any], settings: dict[str, Any]) -> None:
        if settings:
            saved.settings.append((group, {name: group[name] for name in settings}))
            group.update(settings)
            self._note_first_change()

    def _after_step(self, optimizer: torch.optim.Optimizer, *_: Any) -> None:
        if any(saved.optimizer is optimizer for saved in self._saved):
            while (saved := self._saved.pop()).optimizer is not optimizer:
                saved.restore()
            saved.restore()


def inject(name: str, *, G: Networks, D: Networks, step: int = 500, **how: float) -> ActiveInjection:  # noqa: N803  # the field's own names
    """Bring the cause of a failure into a loop, from a step of the generator on.

    Call it before ``watch``, or at least before the first step: the run is then named a drill everywhere. Real batches are those of the
    ``DataLoader`` that delivers first; a loop without one uses ``drill.change_batch(batch)``. Latents are the first floating tensor that
    ``G`` is called with in training mode.

    Parameters
    ----------
    name : str
        One of ``ganwatch.drill.injections()``.
    G, D : nn.Module, or list or dict of them
        Generator and discriminator, as for ``ganwatch.watch``.
    step : int, >= 1
        First step of the generator that is changed.
    **how : float
        Arguments of the injection.

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
    injection = make_injection(name, **how)
    if isinstance(step, bool) or not isinstance(step, int) or step < 1:
        raise UserError(f"step must be an integer >= 1 (steps of the generator), got {step!r}")
    return ActiveInjection(injection, parse_networks("G", G), parse_networks("D", D), step)
