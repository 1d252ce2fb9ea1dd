"""Builds a ``Step`` from what happens to two networks: calls, back-propagated losses, optimizer steps.

A step ends with the generator's optimizer step. Which batch the discriminator saw is recognised by storage first (what the
generator returned, detached or not, and what the loader delivered), then by value (clones, and real and fake in one call);
what is neither, or both, stays ``unknown``.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import chain
from threading import get_ident
from typing import Any

import torch
from torch import Tensor, nn

from ganwatch.capture.attribution.batch_origin import BatchOrigin
from ganwatch.capture.attribution.origin_from_loss import OriginFromLoss
from ganwatch.capture.attribution.parameter_ownership import OwnedParameters, Ownership, members
from ganwatch.capture.calls import claim, generated, judged, keep, release
from ganwatch.capture.findings import Findings
from ganwatch.capture.logged_values import logged
from ganwatch.capture.options import NOTHING_SAID, Options
from ganwatch.capture.schedule import Schedule
from ganwatch.capture.step import Call, Step, Update, tensors
from ganwatch.capture.taps import backward_losses, forward_calls, loss_graph
from ganwatch.capture.taps.submodule_calls import ByParts
from ganwatch.capture.updates import AppliedUpdate, Updates
from ganwatch.core.probe import Probe
from ganwatch.isolation.isolated_call import IsolatedCall

PATIENCE = 2
"""Looks without a call of a network after which its parts are watched."""
WAITING = 20
"""Steps that are handed on together at most."""
CADENCE = 20
"""Steps between two looks at the most."""
AHEAD = 4
"""Steps before one that somebody looks at which are recorded too at most, where the discriminator is updated more seldom."""
MISSED = 6
"""Looks in a row at which the discriminator was not updated, though it is in between, after which other steps are looked at."""
CARRIED = 20
"""Steps for which a discriminator's calls stand for those that follow without one: it may be updated more seldom than the generator."""


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
    on_handed : callable
        Called when it has got all that waited.
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
    recognition, findings, updates
        What was real or fake, what was found out about the loop, and what its optimizers do.
    remembering : bool
        Whether batches of steps that nobody looks at are remembered, to recognise them later.
    reviews : tuple of int and callable, or None
        What is called after every so many optimizer steps.
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
        on_flush: Callable[[], None] = lambda: None,
        looks: Callable[[int], bool] = lambda _: False,
        options: Options = NOTHING_SAID,
    ) -> None:
        self.networks = dict(networks)
        self._members = {role: [getattr(each, "_orig_mod", each) for each in members(network)] for role, network in networks.items()}
        self.on_step, self.on_flush, self.guard, self.looks = on_step, on_flush, guard, looks
        self.index = 0
        self.paused = False
        self.remembering = True
        self.findings = Findings()
        self.options = options
        self.reviews: tuple[int, Callable[[], None]] | None = None
        self._sample = None if options.sample is None else IsolatedCall(options.sample)
        self.batch_origin = BatchOrigin()
        self._origin_from_loss = OriginFromLoss()
        self.probes = list(probes)
        self._schedule = Schedule(self.probes, guard)
        self._recording = True
        self._waiting: list[Step] = []
        self._looked = True
        self._restarted = True
        self._seldom = self._missed = 0
        """Steps in a row without a call of the discriminator: the most that were seen, and the latest ones."""
        self.shift = 0
        """By how much the steps that are looked at come before the multiples of the cadences."""
        self._idle_looks = self._updated = 0
        """Looks in a row at which the discriminator was not updated, and the last step in which it was."""
        self._shown: set[str] = set()
        self._noted: dict[str, Any] = {}
        """Readings that the last step was given."""
        self._current = Step(1)
        self.spent = 0.0
        self._spent_before = 0.0
        self.open = True
        self.updates = Updates(networks, options.optimizers, timed=self._timed, begun=self._begun, ended=self._ended)
        self._plan()
        self._by_parts: dict[str, ByParts] = {}
        self._hook()

    @property
    def ownership(self) -> Ownership:
        """Which optimizer has what."""
        return self.updates.ownership

    def restart(self, index: int) -> None:
        """Count on from a number of steps, with nothing pending."""
        self.index = index
        self._current = Step(index + 1)
        self.updates.drop()
        self._waiting.clear()
        self._restarted = True
        self._plan()

    def _plan(self, *, lacking: bool = False) -> None:
        """Find out who looks at the step that begins; ``lacking`` means that the last look missed a phase or a network."""
        self._current.shift = self.shift
        self._plan_now = plan = self._schedule.plan(self._current.tick)
        self._current.due = plan.due
        self.batch_origin.now = self._current.index
        soon = range(self._current.tick + 1, self._current.tick + 1 + self._seldom) if self._seldom <= AHEAD else ()
        ahead = bool(soon) and any(self._schedule.plan(step).needs_calls for step in soon)
        self._recording = lacking or ahead or self._restarted or plan.needs_calls or self.looks(self._current.index)
        self._wants_slopes = plan.needs_output_grads or lacking or ahead or self._restarted
        self.updates.looked_at = self._current.index if plan.watching else None
        if self._recording:
            forward_calls.refresh()

    def close(self) -> bool:
        """Leave no hook behind and hand on what waits; False where that was done before."""
        if not self.open:
            return False
        self.open = False
        self._unhook()
        self.flush()
        return True

    def _hook(self) -> None:
        for role, modules in self._members.items():
            for module in modules:
                forward_calls.watch(module, self._on_judged if role == "d" else self._on_generated)
        for by_parts in self._by_parts.values():
            by_parts.watch()
        self.updates.hook()

    def _unhook(self) -> None:
        for module in chain(*self._members.values()):
            forward_calls.unwatch(module)
        for by_parts in self._by_parts.values():
            by_parts.unwatch()
        self.updates.unhook()

    def _look_at_parts(self, role: str) -> None:
        """Calls of the whole network do not come: it may be called part by part."""
        network, on_call = self._members[role][0], self._on_judged if role == "d" else self._on_generated
        self._by_parts[role] = ByParts(network, judges=role == "d", on_call=on_call, batch_origin=self.batch_origin, options=self.options)
        self._by_parts[role].watch()

    def on_real_batch(self, batch: Any, waited: float) -> None:
        """Say that what the loop is about to use is real data: a tensor, or a nest whose floating tensors are samples.

        ``waited`` is the time in seconds that the loop waited for it.
        """
        self._current.data_time = (self._current.data_time or 0.0) + waited
        if self._recording or self.remembering:
            self._timed(self.batch_origin.remember, "real", batch)
        elif not self.paused:
            self.batch_origin.note("real", batch)

    def on_fake_batch(self, batch: Any) -> None:
        """Say that what the loop is about to use is generated."""
        self._timed(self.batch_origin.remember, "fake", batch)

    def log(self, name: Any, value: Any) -> None:
        """Note a reading of the loop's own at the step that is going on."""
        series, kept = logged(name, value)
        self._current.logged[series] = kept

    def add_readings(self, readings: Mapping[str, Any]) -> None:
        """Take readings of somebody else's at the last step, or at the next one where that has been handed on."""
        (self._waiting[-1] if self._waiting else self._current).logged |= readings

    def said_since(self) -> Step | None:
        """Readings that were given after the last step and that it does not have, as of that step; None where there are none."""
        logged = {series: value for series, value in self._current.logged.items() if series not in self._noted}
        return Step(self.index, logged=logged, wall_time=time.time()) if logged and self.index else None

    def _timed(self, action: Callable[..., Any], *args: Any) -> Any:
        if self.paused:
            return None
        start, result = time.perf_counter(), None
        try:
            result = action(*args)
        except Exception as error:  # noqa: BLE001  # handed on to the guard, without a closure on the hot path
            self.guard("capture", partial(_raise, error))
        self.spent += time.perf_counter() - start
        return result

    def _on_judged(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        if get_ident() != self.updates.thread:
            return
        if torch.is_grad_enabled():
            self.updates.update_kinds.judged((*args, *kwargs.values()) if kwargs else args)
        if self._recording and module is self._members["d"][0]:
            self._timed(self._record_judged, module, args, kwargs, output)

    def _on_generated(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        if get_ident() != self.updates.thread:
            return
        if self._recording and module is self._members["g"][0]:
            self._timed(self._record_generated, module, args, kwargs, output)
        elif self._recording or self.remembering:
            self._timed(self._remember_made, output)

    def _remember_made(self, output: Any) -> Any:
        """Remember what a generator returned, and give the samples in it."""
        self.batch_origin.remember("fake", output)
        if self._sample is None:
            return output
        self.batch_origin.remember("fake", samples := self._sample(output))
        return samples

    def _record_generated(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        made = tensors(self._remember_made(output))
        self.batch_origin.shape = next((x.shape[1:] for x in made if x.ndim >= 2 and x.is_floating_point()), None)
        call = generated(module, args, kwargs, output, index=self._current.index, whole=self._restarted or self._plan_now.needs_arguments)
        keep(self._current.calls, call)
        self.findings.generated(call)

    def _record_judged(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        now, known = self._current.index, self.batch_origin
        self.findings.called["d"] += 1
        for score, calls in judged(module, args, kwargs, output, index=now, batch_origin=known, options=self.options):
            for _, call in calls:
                keep(self._current.calls, call)
            self.findings.judged([call for _, call in calls], output)
            if score.requires_grad and score.ndim and self._wants_slopes:
                marked = loss_graph.mark(score) if self.findings.gathering else None
                score.register_hook(partial(self._on_slope, calls, marked))  # type: ignore[no-untyped-call]  # torch publishes no type here

    def _on_slope(self, calls: Sequence[tuple[Any, Call]], marked: object, grad: Tensor) -> None:
        self._timed(_take_slope, calls, marked, grad)

    def _begun(self, updates: Sequence[Update]) -> Sequence[Update]:
        fresh = [update for update in updates if update.network not in self._shown]
        for update in fresh:
            self._shown.add(update.network)
            self._show("before_update", update)
        return fresh

    def _ended(
        self,
        updates: Sequence[Update],
        moved: Sequence[AppliedUpdate],
        shares: Sequence[OwnedParameters],
        resembled: Sequence[str],
        *,
        late: Tensor | None,
        ends: bool,
    ) -> None:
        for update in updates:
            self._show("after_update", update)
        current = self._current
        if late is not None and "d" in current.losses:
            current.losses["d"] = current.losses["d"] + late
        for one in moved:
            role, group = one.share.role, one.share.group
            if one.loss is not None:
                current.losses[one.network] = one.loss
            current.updates[role] = current.updates.get(role, 0) + 1
            if not one.kind.counts:
                self.findings.auxiliary[role] += 1
            if "lr" in group:
                current.learning_rates[role] = group["lr"]
        roles = [one.share.role for one in moved]
        together = len(moved) > 1 and all(one.kind.counts for one in moved)
        self.findings.stepped(roles, shares, resembled, together=together)
        if self.reviews is not None and self.findings.steps % self.reviews[0] == 0:
            self.guard("status", self.reviews[1])
        if self._recording and roles == ["d"]:
            claim(current.calls, current.index)
        if ends:
            self._finish_step()

    def _show(self, moment: str, update: Update) -> None:
        for probe in self._plan_now.watching:
            self.guard(f"probe {probe.name}", partial(getattr(probe, moment), update))

    def _finish_step(self) -> None:
        step, self.index = self._current, self.index + 1
        self._noted = step.logged
        step.wall_time = time.time()
        step.observer_time, self._spent_before = self.spent - self._spent_before, self.spent
        judged, fresh = step.calls, []  # carried on
        if self._recording:
            release(step.calls, step.index)
            judged = [call for call in step.calls if call.network == "d" and not call.attached]
            fresh = [call for call in judged if call.index == step.index]
        if fresh:  # what is unknown with no memory of earlier steps may be known with it
            self.remembering = self.batch_origin.reached_back or (not self.remembering and any(c.batch == "unknown" for c in fresh))
            self.batch_origin.reached_back = False
            self._origin_from_loss.settle([call for call in step.calls if call.index == step.index])
        if self._recording:
            self.findings.looked([call for call in step.calls if call.index == step.index], step.updates)
            for role in ("g", "d"):
                if self.findings.uncalled[role] == PATIENCE and role not in self._by_parts:
                    self._look_at_parts(role)
        if self._recording:
            self._seldom, self._missed = (max(self._seldom, self._missed), 0) if fresh else (self._seldom, min(self._missed + 1, CARRIED))
        self._realign(step)
        lacking = self._recording and (not fresh or self._origin_from_loss.undecided or 0 < self.findings.uncalled["g"] <= PATIENCE)
        self._current = Step(self.index + 1, calls=[call for call in judged if call.index > self.index - CARRIED])
        self._restarted = False
        self._shown.clear()
        self._waiting.append(step)
        looked, self._looked = self._looked, self._recording or not self._plan_now.deferrable
        if looked or self._looked or len(self._waiting) >= WAITING:
            self.flush()
        self._plan(lacking=lacking)

    def _realign(self, step: Step) -> None:
        """Look at other steps where the cadence never meets an update of the discriminator, which has one of its own."""
        if "d" in step.updates:
            self._updated = step.index
        if self._plan_now.watching:
            self._idle_looks = 0 if "d" in step.updates else self._idle_looks + 1
        if self._idle_looks >= MISSED and self._updated > 0:
            self.shift = (self.shift + step.index - self._updated) % CADENCE
            self._idle_looks = 0

    def flush(self) -> None:
        """Give ``on_step`` what waits."""
        waiting, self._waiting = self._waiting, []
        for step in waiting:
            self.on_step(step)
        self.on_flush()


def _take_slope(calls: Sequence[tuple[Any, Call]], marked: object, grad: Tensor) -> None:
    if torch.is_grad_enabled():
        return
    scale, loss = backward_losses.scale(), backward_losses.loss()
    output_grad = grad.detach() if scale is None else grad.detach().float() / scale
    family = None if marked is None or loss is None else loss_graph.family(marked, loss)
    for part, call in calls:
        call.output_grad, call.family, call.shared = output_grad[part], family, call.output_grad is not None


def _raise(error: Exception) -> None:
    raise error
