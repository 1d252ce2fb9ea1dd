"""Builds a ``Step`` from the events of two networks: calls, back-propagated losses, optimizer steps.

A step ends with the optimizer step of the generator that ``StepClock`` chooses, and without any by what ``ActivityClock`` chooses.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from torch import nn

from ganwatch.capture.attribution.activity_clock import (
    DISCRIMINATOR_CALLS,
    GENERATOR_UPDATES,
    ActivityClock,
)
from ganwatch.capture.attribution.parameter_ownership import Ownership
from ganwatch.capture.call_recorder import CallRecorder
from ganwatch.capture.calls import assign_to_d_phase
from ganwatch.capture.discriminator_cadence import MAX_CALL_AGE, DiscriminatorCadence
from ganwatch.capture.logged_readings import parse_reading
from ganwatch.capture.options import NO_OPTIONS, Options
from ganwatch.capture.schedule import Schedule
from ganwatch.capture.step import Step, Update
from ganwatch.capture.taps import forward_calls
from ganwatch.capture.updates import OptimizerStep, UpdateTracker
from ganwatch.core.probe import Probe

MAX_PENDING_STEPS = 20
"""Bound on the number of steps that are delivered together."""


class Recorder:
    """Watches one generator and one discriminator until ``close``.

    Calls are recorded in sampled steps only. Of other steps it keeps losses and, if that has helped to recognise a batch, the generator's
    outputs. Steps that are not sampled wait and are delivered together with the next sampled one. The step right after a sampled one is
    delivered at once, because it completes the values of the sampled one.

    Parameters
    ----------
    networks : mapping of str to nn.Module
        ``{"g": generator, "d": discriminator}``; either may be a ``NetworkGroup``, whose first member is the one with recorded calls.
    probes : sequence of Probe
        Due probes see updates as they happen.
    on_step : callable
        Gets every finished ``Step``, in order.
    guard : callable
        Runs a part of ganwatch so that no error of it reaches the loop.
    on_flush : callable
        Called after all pending steps were delivered.
    is_sampled : callable
        Returns True for the index of a step whose calls something besides the probes needs.
    options : Options
        Options of the user.

    Attributes
    ----------
    index : int
        Steps counted so far.
    networks : dict of str to nn.Module
    probes : list of Probe
    updates : UpdateTracker
        Steps of the optimizers.
    call_recorder : CallRecorder
        Calls of the networks.
    batch_origin, loop_facts
        Parts of ``call_recorder``.
    clock : ActivityClock
        Decides where a step ends once the generator is no longer updated.
    cadence : DiscriminatorCadence
        Moves the sampled steps to those at which the discriminator is updated.
    periodic_check : tuple of int and callable, or None
        Number of optimizer steps between two calls, and the function to call.
    is_open : bool
        False after ``close``.
    observer_time : float, seconds
        Time that ganwatch has taken in the training thread so far.

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
        is_sampled: Callable[[int], bool] = lambda _: False,
        options: Options = NO_OPTIONS,
    ) -> None:
        self.networks, self.probes = dict(networks), list(probes)
        self.on_step, self.on_flush, self.guard, self.is_sampled = on_step, on_flush, guard, is_sampled
        self.index = 0
        self.is_open = True
        self.periodic_check: tuple[int, Callable[[], None]] | None = None
        self.observer_time = self._observer_time_before = 0.0
        self.cadence = DiscriminatorCadence()
        self._schedule = Schedule(self.probes, guard)
        self._pending_steps: list[Step] = []
        self._was_sampled = self._is_first_step = True
        """True for the previous step if it was sampled, and for the current one if it is the first after the start or a restart."""
        self._probed_networks: set[str] = set()
        """Networks whose update the probes have seen in the current step."""
        self._last_logged: dict[str, Any] = {}
        """Readings that were logged for the last step."""
        self._step = Step(1)
        self.clock = ActivityClock()
        self._last_updates = {"g": 0, "d": 0}
        self.updates = UpdateTracker(
            networks,
            options.optimizers,
            run=self._run,
            before_step=self._before_optimizer_step,
            after_step=self._after_optimizer_step,
        )
        self.call_recorder = CallRecorder(
            networks, updates=self.updates, options=options, run=self._run, on_training_call=self._after_training_call
        )
        self.batch_origin, self.loop_facts = self.call_recorder.batch_origin, self.call_recorder.loop_facts
        self._plan_step()
        self.attach_taps()

    @property
    def is_paused(self) -> bool:
        """True while ganwatch itself calls the networks."""
        return self.call_recorder.is_paused

    @is_paused.setter
    def is_paused(self, value: bool) -> None:
        self.call_recorder.is_paused = value

    @property
    def ownership(self) -> Ownership:
        """Parameters of the networks, by optimizer."""
        return self.updates.ownership

    def state_dict(self) -> dict[str, Any]:
        """Return the state as plain types, after all pending steps were delivered."""
        self.flush()
        return {
            "index": self.index,
            "shift": self.cadence.shift,
            "remembers_batches": self.call_recorder.remembers_batches,
            "update_kinds": self.updates.update_kinds.state_dict(),
            "clock": self.clock.state_dict(),
            "last_updates": dict(self._last_updates),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue to count from a saved state, with nothing pending."""
        self.index, self.cadence.shift = state["index"], state["shift"]
        self._last_updates = dict(state["last_updates"])
        self.clock.load_state_dict(state["clock"])
        self.call_recorder.remembers_batches = state["remembers_batches"]
        self.updates.update_kinds.load_state_dict(state["update_kinds"])
        self._step = Step(self.index + 1)
        self.updates.drop_pending()
        self._pending_steps.clear()
        self._is_first_step = True
        self._plan_step()

    def _plan_step(self, *, is_incomplete: bool = False) -> None:
        """Plan the step that begins; ``is_incomplete`` means that the last sampled one lacked a phase or a network."""
        step, calls, lead = self._step, self.call_recorder, self.cadence.lead
        step.shift = self.cadence.shift
        tick = step.index + step.shift
        self._plan = plan = self._schedule.plan(tick)
        step.due = plan.due
        self.batch_origin.current_step = step.index
        is_soon_sampled = lead > 0 and any(self._schedule.plan(tick + ahead).needs_calls for ahead in range(1, lead + 1))
        is_extra = is_incomplete or is_soon_sampled or self._is_first_step
        calls.step = step
        calls.is_recording = is_extra or plan.needs_calls or self.is_sampled(step.index)
        calls.needs_output_grads = is_extra or plan.needs_output_grads
        calls.needs_arguments = plan.needs_arguments or self._is_first_step
        self.updates.sampled_index = step.index if plan.update_probes else None
        if calls.is_recording:
            forward_calls.wrap_compiled_modules()

    def close(self) -> bool:
        """Remove all hooks and deliver pending steps; return False if it was closed before."""
        if not self.is_open:
            return False
        self.is_open = False
        self.detach_taps()
        self.flush()
        return True

    def attach_taps(self) -> None:
        """Begin to watch the networks and optimizers."""
        self.call_recorder.attach()
        self.updates.attach()

    def detach_taps(self) -> None:
        """Remove all hooks; ``attach_taps`` continues."""
        self.call_recorder.detach()
        self.updates.detach()

    def on_real_batch(self, batch: Any, waiting_time: float) -> None:
        """Mark data that the loop is about to use as real: a tensor, or a nest whose floating tensors are samples.

        ``waiting_time`` is the time in seconds that the loop waited for it.
        """
        self._step.data_time = (self._step.data_time or 0.0) + waiting_time
        if self.call_recorder.is_recording or self.call_recorder.remembers_batches:
            self._run(self.batch_origin.remember, "real", batch)
        elif not self.call_recorder.is_paused:
            self.batch_origin.remember_deferred("real", batch)

    def on_fake_batch(self, batch: Any) -> None:
        """Mark data that the loop is about to use as generated."""
        self._run(self.batch_origin.remember, "fake", batch)

    def log(self, name: Any, value: Any) -> None:
        """Add a reading of the loop's own to the current step."""
        series, parsed = parse_reading(name, value)
        self._step.logged[series] = parsed

    def add_readings(self, readings: Mapping[str, Any]) -> None:
        """Add readings from outside to the last step, or to the current one if the last was delivered."""
        (self._pending_steps[-1] if self._pending_steps else self._step).logged |= readings

    def build_final_step(self) -> Step | None:
        """Return a step with the index of the last one and the readings that were logged after it; None if there are none."""
        logged = {series: value for series, value in self._step.logged.items() if series not in self._last_logged}
        return Step(self.index, logged=logged, wall_time=time.time()) if logged and self.index else None

    def _run(self, action: Callable[..., Any], *args: Any) -> Any:
        """Run a part of ganwatch unless paused, add its time, and pass errors to the guard."""
        if self.call_recorder.is_paused:
            return None
        start, result = time.perf_counter(), None
        try:
            result = action(*args)
        except Exception as error:  # noqa: BLE001  # passed to the guard, without a closure on the hot path
            self.guard("capture", partial(_raise, error))
        self.observer_time += time.perf_counter() - start
        return result

    def _before_optimizer_step(self, updates: Sequence[Update]) -> Sequence[Update]:
        """Pass the first update of each network in a step to the probes, and return those that were passed."""
        fresh = [update for update in updates if update.network not in self._probed_networks]
        for update in fresh:
            self._probed_networks.add(update.network)
            self._notify_probes("before_update", update)
        return fresh

    def _after_optimizer_step(self, done: OptimizerStep) -> None:
        for update in done.sampled:
            self._notify_probes("after_update", update)
        self._add_effects(done)
        self.loop_facts.add_optimizer_step(done)
        if self.periodic_check is not None and self.loop_facts.steps % self.periodic_check[0] == 0:
            self.guard("status", self.periodic_check[1])
        if self.call_recorder.is_recording and len(done.applied) == 1 and done.applied[0].owned.role == "d":
            assign_to_d_phase(self._step.calls, self._step.index)
        if done.activity is None:
            self.clock.drop_calls()
        elif self.clock.add(done.activity):
            self._finish_step()

    def _add_effects(self, done: OptimizerStep) -> None:
        """Add counts, losses and learning rates."""
        step = self._step
        for role in done.attempted:
            step.counts[f"updates_attempted/{role}"] += 1
            if done.is_skipped:
                step.counts[f"updates_skipped/{role}"] += 1
        if done.late_d_loss is not None and "d" in step.losses:
            step.losses["d"] = step.losses["d"] + done.late_d_loss
        for one in done.applied:
            role, group = one.owned.role, one.owned.group
            step.counts[f"updates_performed/{role}"] += 1
            self._last_updates[role] = step.index
            if one.loss is not None:
                step.losses[role if one.kind.is_comparable else one.network] = one.loss
            if "lr" in group:
                step.learning_rates[role] = group["lr"]

    def _after_training_call(self) -> None:
        if self.clock.add(DISCRIMINATOR_CALLS):
            self._run(self._finish_step)

    def _notify_probes(self, method: str, update: Update) -> None:
        for probe in self._plan.update_probes:
            self.guard(f"probe {probe.name}", partial(getattr(probe, method), update))

    def _finish_step(self) -> None:
        step, self.index = self._step, self.index + 1
        self._last_logged = step.logged
        step.clock, step.last_updates = self.clock.source, dict(self._last_updates)
        step.wall_time = time.time()
        step.observer_time, self._observer_time_before = self.observer_time - self._observer_time_before, self.observer_time
        is_recording = self.call_recorder.is_recording
        has_g_update = step.clock is GENERATOR_UPDATES
        d_phase, has_d_call = self.call_recorder.finish_step(has_g_update=has_g_update) if is_recording else (step.calls, False)
        self.cadence.add_step(step, has_call=has_d_call if is_recording else None, samples_updates=bool(self._plan.update_probes))
        is_incomplete = is_recording and (not has_d_call or self.call_recorder.is_inconclusive)
        recent = [call for call in d_phase if call.index > self.index - MAX_CALL_AGE] if d_phase else []
        self._step = self.call_recorder.step = Step(self.index + 1, calls=recent)
        self._is_first_step = False
        self._probed_networks.clear()
        self._pending_steps.append(step)
        was_sampled, self._was_sampled = self._was_sampled, is_recording or not self._plan.deferrable
        if was_sampled or self._was_sampled or len(self._pending_steps) >= MAX_PENDING_STEPS:
            self.flush()
        self._plan_step(is_incomplete=is_incomplete)

    def flush(self) -> None:
        """Deliver pending steps to ``on_step``."""
        pending, self._pending_steps = self._pending_steps, []
        for step in pending:
            self.on_step(step)
        self.on_flush()


def _raise(error: Exception) -> None:
    raise error
