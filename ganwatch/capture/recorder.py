"""Builds a ``Step`` from what happens to two networks: calls, back-propagated losses, optimizer steps.

A step ends with the generator's optimizer step. Which batch the discriminator saw is recognised by storage first (what the
generator returned, detached or not, and what the loader delivered), then by value (clones, and real and fake in one call);
what is neither, or both, stays ``unknown``.
"""

from __future__ import annotations

import time
import weakref
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook
from torch.utils.hooks import RemovableHandle

from ganwatch.capture import backward_losses, forward_calls
from ganwatch.capture.calls import claim, generated, judged, keep, release
from ganwatch.capture.findings import Findings
from ganwatch.capture.logged import logged
from ganwatch.capture.options import NOTHING_SAID, Options
from ganwatch.capture.ownership import Ownership, Share, members
from ganwatch.capture.recognition import Recognition
from ganwatch.capture.roles import settle
from ganwatch.capture.schedule import Schedule
from ganwatch.capture.step import Call, Step, Update, tensors
from ganwatch.capture.undisturbed import Undisturbed
from ganwatch.contracts import Probe

LOSSES_KEPT = 256
"""Back-propagated losses that may wait for the update that they belong to."""
WAITING = 20
"""Steps that are handed on together at most."""
CARRIED = 16
"""Steps for which a discriminator's calls stand for those that follow without one: it may be updated more seldom than the generator."""


@dataclass(slots=True)
class _Stepping:
    """An optimizer's step that has begun."""

    optimizer: torch.optim.Optimizer
    loss: Tensor | None
    updates: list[Update] = field(default_factory=list)


def nobody() -> None:
    """No optimizer."""


class Recorder:
    """Watches one generator and one discriminator until ``close``.

    Calls are recorded only in steps that somebody looks at. Of the others no more is kept than losses and, where that has helped to
    recognise a batch, what the generator returned. They are handed on together with the next step that
    is looked at; the one after it, whose coming makes its values complete, does not wait either.

    Parameters
    ----------
    networks : mapping of str to nn.Module
        ``{"g": generator, "d": discriminator}``; either may be a ``Several``, whose first member is the one whose calls are recorded.
    probes : sequence of Probe
        Those that are due see updates as they happen.
    on_step : callable
        Gets every finished ``Step``, in order.
    guard : callable
        Runs a part of ganwatch so that no error of it reaches the loop.
    looks : callable
        Whether somebody beside the probes wants the calls of a step, by its index.
    options : Options
        What the user has said about the training.

    Attributes
    ----------
    index : int
        Steps counted so far.
    probes : list of Probe
    ownership, recognition, findings
        Which optimizer has what, what was real or fake, and what was found out about the loop.
    remembering : bool
        Whether what the generator returns in steps that nobody looks at is remembered, to recognise it later.
    open : bool
        False after ``close``.
    spent : float, seconds
        Time that observation has taken in the training thread so far.

    Raises
    ------
    UserError
        A network has no parameters, or both share some.
    """

    def __init__(
        self,
        networks: Mapping[str, nn.Module],
        *,
        probes: Sequence[Probe],
        on_step: Callable[[Step], None],
        guard: Callable[[str, Callable[[], Any]], Any],
        looks: Callable[[int], bool] = lambda _: False,
        options: Options = NOTHING_SAID,
    ) -> None:
        self.networks = dict(networks)
        self._members = {role: members(network) for role, network in networks.items()}
        self.on_step, self.guard, self.looks = on_step, guard, looks
        self.index = 0
        self.paused = False
        self.remembering = True
        self.findings = Findings()
        self.options = options
        self._sample = None if options.sample is None else Undisturbed(options.sample)
        self.ownership = Ownership(networks, options.optimizers)
        self.recognition = Recognition()
        self.probes = list(probes)
        self._schedule = Schedule(self.probes, guard)
        self._recording = True
        self._waiting: list[Step] = []
        self._looked = True
        self._restarted = True
        self._primary: Callable[[], torch.optim.Optimizer | None] = nobody
        self._second: Callable[[], torch.optim.Optimizer | None] = nobody
        self._alone = False
        self._stepping: list[_Stepping] = []
        self._pending_losses: deque[Tensor] = deque(maxlen=LOSSES_KEPT)
        self._current = Step(1)
        self.spent = 0.0
        self._spent_before = 0.0
        self._handles: list[RemovableHandle] = []
        self.open = True
        self._plan()
        self._hook()

    def restart(self, index: int) -> None:
        """Count on from a number of steps, with nothing pending."""
        self.index = index
        self._current = Step(index + 1)
        self._pending_losses.clear()
        self._waiting.clear()
        self._restarted = True
        self._plan()

    def _plan(self, *, lacking: bool = False) -> None:
        """Find out who looks at the step that begins; ``lacking`` means that the last look missed a phase or a network."""
        self._plan_now = plan = self._schedule.plan(self._current.index)
        self._current.due = plan.due
        self.recognition.now = self._current.index
        self._recording = lacking or self._restarted or plan.wants_calls or self.looks(self._current.index)

    def close(self) -> bool:
        """Leave no hook behind and hand on what waits; False where that was done before."""
        if not self.open:
            return False
        self.open = False
        self._unhook()
        self.hand_on()
        return True

    def _hook(self) -> None:
        for module in chain(*self._members.values()):
            forward_calls.watch(module, self._on_call)
        backward_losses.listen(self._on_loss)
        self._handles = [
            register_optimizer_step_pre_hook(self._before_step),
            register_optimizer_step_post_hook(self._after_step),
        ]

    def _unhook(self) -> None:
        for module in chain(*self._members.values()):
            forward_calls.unwatch(module)
        backward_losses.unlisten(self._on_loss)
        for handle in self._handles:
            handle.remove()

    def arrived(self, batch: Any, waited: float) -> None:
        """Say that what the loop is about to use is real data: a tensor, or a nest whose floating tensors are samples.

        ``waited`` is the time in seconds that the loop waited for it.
        """
        self._current.data_time = (self._current.data_time or 0.0) + waited
        self._remember("real", batch)

    def made(self, batch: Any) -> None:
        """Say that what the loop is about to use is generated."""
        self._remember("fake", batch)

    def log(self, name: Any, value: Any) -> None:
        """Note a reading of the loop's own at the step that is going on."""
        series, kept = logged(name, value)
        self._current.logged[series] = kept

    def _timed(self, action: Callable[..., Any], *args: Any) -> None:
        if self.paused:
            return
        start = time.perf_counter()
        try:
            action(*args)
        except Exception as error:  # noqa: BLE001  # handed on to the guard, without a closure on the hot path
            self.guard("capture", partial(_raise, error))
        self.spent += time.perf_counter() - start

    def _on_call(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        if self._recording and module is self._members["d"][0]:
            self._timed(self._record_judged, module, args, kwargs, output)
        elif self._recording and module is self._members["g"][0]:
            self._timed(self._record_generated, module, args, kwargs, output)
        elif (self._recording or self.remembering) and not any(module is judge for judge in self._members["d"]):
            self._timed(self._remember_made, output)

    def _remember_made(self, output: Any) -> None:
        self._remember("fake", output)
        if self._sample is not None:
            self._remember("fake", self._sample(output))

    def _remember(self, batch: str, nest: Any) -> None:
        for tensor in (nest,) if isinstance(nest, Tensor) else tensors(nest):
            self.recognition.remember(batch, tensor)

    def _record_generated(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        self._remember_made(output)
        call = generated(module, args, kwargs, output, index=self._current.index, whole=self._restarted)
        keep(self._current.calls, call)
        self.findings.generated(call)

    def _record_judged(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        now, known = self._current.index, self.recognition
        score, calls = judged(module, args, kwargs, output, index=now, recognition=known, options=self.options)
        for _, call in calls:
            keep(self._current.calls, call)
        self.findings.judged([call for _, call in calls], output)
        if score is not None and score.requires_grad and score.ndim and self._plan_now.wants_slopes:
            score.register_hook(partial(self._on_slope, calls))  # type: ignore[no-untyped-call]  # torch publishes no type here

    def _on_slope(self, calls: Sequence[tuple[Any, Call]], grad: Tensor) -> None:
        self._timed(_take_slope, calls, grad)

    def _on_loss(self, loss: Tensor) -> None:
        if not self.paused:
            self._pending_losses.append(loss if loss.ndim == 0 else loss.reshape(()))

    def _before_step(self, optimizer: torch.optim.Optimizer, *_: Any) -> None:
        self._timed(self._begin_update, optimizer)

    def _after_step(self, optimizer: torch.optim.Optimizer, *_: Any) -> None:
        self._timed(self._end_update, optimizer)

    def _begin_update(self, optimizer: torch.optim.Optimizer) -> None:
        step = _Stepping(optimizer, self._take_losses())
        self._stepping = [other for other in self._stepping if other.optimizer is not optimizer]
        if self._plan_now.watching:
            for share in self._moving(optimizer):
                if share.role not in self._current.updates:
                    step.updates.append(share.update(self._current.index))
                    self._show("before_update", step.updates[-1])
        self._stepping.append(step)

    def _end_update(self, optimizer: torch.optim.Optimizer) -> None:
        places = [place for place, begun in enumerate(self._stepping) if begun.optimizer is optimizer]
        if not places:  # observation began in the middle of this step
            return
        step = self._stepping[places[-1]]
        del self._stepping[places[-1] :]
        for update in step.updates:
            self._show("after_update", update)
        if self._pending_losses:  # back-propagated by a closure, within the step: the last evaluation counts
            step.loss = self._pending_losses.pop()
            self._pending_losses.clear()
        current, moved = self._current, self._moving(optimizer)
        for share in moved:
            if step.loss is not None:
                current.losses[share.role] = step.loss
            current.updates[share.role] = current.updates.get(share.role, 0) + 1
            if "lr" in share.group:
                current.learning_rates[share.role] = share.group["lr"]
        shares = self.ownership.shares(optimizer)
        self.findings.stepped(moved, shares, () if shares else self.ownership.resembled(optimizer))
        roles = {share.role for share in moved}
        if roles == {"d"}:
            claim(current.calls, current.index)
        elif "g" in roles and self._ends_step(optimizer, alone=roles == {"g"}):
            self._tick()

    def _moving(self, optimizer: torch.optim.Optimizer) -> list[Share]:
        """What the optimizer moves, without what another one that wraps it is moving just now."""
        wrapping = {share.role for step in self._stepping for share in self.ownership.shares(step.optimizer)} if self._stepping else ()
        return [share for share in self.ownership.shares(optimizer) if share.role not in wrapping and share.moves]

    def _show(self, moment: str, update: Update) -> None:
        for probe in self._plan_now.watching:
            self.guard(f"probe {probe.name}", partial(getattr(probe, moment), update))

    def _ends_step(self, optimizer: torch.optim.Optimizer, *, alone: bool) -> bool:
        """Whether the generator is through: of several optimizers that share it the first one counts, while it goes on stepping.

        One that moves the discriminator too does not follow one that moves the generator ``alone``: that is no GAN training any more.
        """
        primary = self._primary()
        if primary is not optimizer and (primary is None or (self._second() is optimizer and (alone or not self._alone))):
            primary, self._primary, self._alone = optimizer, weakref.ref(optimizer), alone
        self._second = nobody if primary is optimizer else weakref.ref(optimizer)
        return primary is optimizer

    def _take_losses(self) -> Tensor | None:
        pending = self._pending_losses
        if not pending:
            return None
        loss = pending[0] if len(pending) == 1 else torch.stack(list(pending)).sum()
        pending.clear()
        return loss

    def _tick(self) -> None:
        step, self.index = self._current, self.index + 1
        step.wall_time = time.time()
        step.observer_time, self._spent_before = self.spent - self._spent_before, self.spent
        release(step.calls, step.index)
        judged = [call for call in step.calls if call.network == "d" and not call.attached]
        fresh = [call for call in judged if call.index == step.index]
        if fresh:  # what is unknown with no memory of earlier steps may be known with it
            self.remembering = self.recognition.reached_back or (not self.remembering and any(c.batch == "unknown" for c in fresh))
            self.recognition.reached_back = False
            settle([call for call in step.calls if call.index == step.index])
        if self._recording:
            self.findings.looked([call for call in step.calls if call.index == step.index])
        lacking = self._recording and (not fresh or self.findings.uncalled["g"] == 1)
        self._current = Step(self.index + 1, calls=[call for call in judged if call.index > self.index - CARRIED])
        self._restarted = False
        self._waiting.append(step)
        looked, self._looked = self._looked, self._recording or not self._plan_now.patient
        if looked or self._looked or len(self._waiting) >= WAITING:
            self.hand_on()
        self._plan(lacking=lacking)

    def hand_on(self) -> None:
        """Give ``on_step`` what waits."""
        waiting, self._waiting = self._waiting, []
        for step in waiting:
            self.on_step(step)


def _take_slope(calls: Sequence[tuple[Any, Call]], grad: Tensor) -> None:
    if not torch.is_grad_enabled():
        for part, call in calls:
            call.slope = grad.detach()[part]


def _raise(error: Exception) -> None:
    raise error
