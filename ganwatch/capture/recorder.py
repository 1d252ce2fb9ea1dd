"""Builds a ``Step`` from the events of two networks: calls, back-propagated losses, optimizer steps.

A step ends with the optimizer step of the generator that ``StepClock`` chooses, and without any by what ``ActivityClock`` chooses.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from torch import Tensor, nn

from ganwatch.capture.attribution.activity_clock import (
    DISCRIMINATOR_CALLS,
    GENERATOR_UPDATES,
    Activity,
    ActivityClock,
)
from ganwatch.capture.attribution.parameter_ownership import Ownership
from ganwatch.capture.attribution.update_attribution import OptimizerStep
from ganwatch.capture.call_recorder import CallRecorder
from ganwatch.capture.calls import assign_to_d_phase
from ganwatch.capture.discriminator_cadence import MAX_CALL_AGE
from ganwatch.capture.event_stream import MAX_EVENTS, NO_THREAD
from ganwatch.capture.events import BatchLoaded, Event, NetworkCalled, OptimizerEnded, ReadingLogged, ScalerStepped, WiringFact
from ganwatch.capture.loaded_batches import LoadedBatches
from ganwatch.capture.logged_readings import parse_reading
from ganwatch.capture.options import NO_OPTIONS, Options
from ganwatch.capture.own_time import OwnTime
from ganwatch.capture.step import Call, Step, StepView, Update
from ganwatch.capture.step_effects import add_effects
from ganwatch.capture.step_planner import StepPlanner
from ganwatch.capture.taps import forward_calls
from ganwatch.capture.training_taps import TrainingTaps
from ganwatch.core.guard import Guard
from ganwatch.core.pace import Pace
from ganwatch.core.probe import Probe

MAX_PENDING_STEPS = 20
"""Bound on the number of steps that are delivered together."""
_CALLS = {role: f"calls/{role}" for role in ("g", "d")}


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
        Gets every finished step, in order.
    guard : Guard
        Keeps errors of ganwatch from the loop.
    on_flush : callable
        Called after all pending steps were delivered.
    is_sampled : callable
        Returns True for the index of a step whose calls something besides the probes needs.
    options : Options
        Options of the user.
    pace : Pace, optional
        Pace of the probes' looks.

    Attributes
    ----------
    networks : dict of str to nn.Module
    probes : list of Probe
    call_recorder : CallRecorder
        Calls of the networks.
    batch_origin, loop_facts
        Parts of ``call_recorder``.
    clock : ActivityClock
        Decides where a step ends once the generator is no longer updated.
    planner : StepPlanner
        Decides which steps are recorded.
    stream : EventStream
        Events of the loop.
    periodic_check : tuple of int and callable, or None
        Number of optimizer steps between two calls, and the function to call.
    is_open : bool
        False after ``close``.
    own_time : OwnTime
        Time that ganwatch takes in the training thread.

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
        on_step: Callable[[StepView], None],
        guard: Guard,
        on_flush: Callable[[], None] = lambda: None,
        is_sampled: Callable[[int], bool] = lambda _: False,
        options: Options = NO_OPTIONS,
        pace: Pace | None = None,
    ) -> None:
        self.networks, self.probes = dict(networks), list(probes)
        self.on_step, self.on_flush, self.guard = on_step, on_flush, guard
        self._index = 0
        self.is_open = True
        self.periodic_check: tuple[int, Callable[[], None]] | None = None
        self.own_time = OwnTime()
        self.planner = StepPlanner(self.probes, guard, is_sampled, pace)
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
        self._loaded = LoadedBatches()
        self._taps = TrainingTaps(
            networks,
            options.optimizers,
            handle=self._handle_events,
            fail=self._fail,
            run=self._run,
            before_step=self._before_optimizer_step,
        )
        self.stream = self._taps.stream
        self._handlers: dict[type, Callable[[Any], Any]] = self._taps.attribution.handlers | {
            NetworkCalled: self._add_call,
            BatchLoaded: self._add_batch,
            ReadingLogged: self._add_reading,
            OptimizerEnded: self._end_optimizer_step,
            ScalerStepped: self._end_scaled_step,
            WiringFact: self._add_wiring_fact,
        }
        self.call_recorder = CallRecorder(networks, stream=self.stream, options=options, run=self._run)
        self.batch_origin, self.loop_facts = self.call_recorder.batch_origin, self.call_recorder.loop_facts
        self._plan_step()
        self.attach_taps()

    @property
    def index(self) -> int:
        """Number of steps so far."""
        self.stream.drain()
        return self._index

    @property
    def ownership(self) -> Ownership:
        """Parameters of the networks, by optimizer."""
        return self._taps.ownership

    def state_dict(self) -> dict[str, Any]:
        """Return the state as plain types, after all pending steps were delivered."""
        self.flush()
        return {
            "index": self._index,
            "shift": self.planner.cadence.shift,
            "remembers_batches": self.call_recorder.remembers_batches,
            "update_kinds": self._taps.attribution.update_kinds.state_dict(),
            "clock": self.clock.state_dict(),
            "last_updates": dict(self._last_updates),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue to count from a saved state, with nothing pending."""
        self._index, self.planner.cadence.shift = state["index"], state["shift"]
        self._last_updates = dict(state["last_updates"])
        self.clock.load_state_dict(state["clock"])
        self.call_recorder.remembers_batches = state["remembers_batches"]
        self._taps.attribution.update_kinds.load_state_dict(state["update_kinds"])
        self._step = Step(self._index + 1)
        self._taps.drop_pending()
        self._pending_steps.clear()
        self._is_first_step = True
        self._plan_step()

    def _plan_step(self, *, is_incomplete: bool = False) -> None:
        """Plan the step that begins; ``is_incomplete`` means that the last sampled one lacked a phase or a network."""
        step, calls = self._step, self.call_recorder
        step.shift, step.count_tensors = self.planner.cadence.shift, self.ownership.count_tensors
        self._plan = plan = self.planner.plan(step.index)
        step.due = plan.due
        self.batch_origin.current_step = step.index
        is_extra = is_incomplete or self._is_first_step or self.planner.is_soon_sampled(step.index)
        calls.is_recording = is_extra or self.planner.is_recorded(step.index)
        calls.begin_step(step, plan, is_extra=is_extra, is_first=self._is_first_step)
        self._taps.sampler.begin_loop_step(step.index, plan)
        if calls.is_recording:
            forward_calls.wrap_compiled_modules()
        if not self.stream.queue:
            self._set_waiting()

    def _set_waiting(self) -> None:
        """Let events wait through the steps from the current one on in which nothing is looked at."""
        calls = self.call_recorder
        if not self.clock.is_regular:
            self.stream.stop_waiting()
        elif calls.is_recording or calls.keeps_fakes or calls.needs_every_call:
            self.stream.wait(0)
        else:
            longest = 1 if self._was_sampled else MAX_PENDING_STEPS - len(self._pending_steps)
            self.stream.wait(self.planner.count_quiet_steps(self._step.index, longest=longest))

    def close(self) -> bool:
        """Remove all hooks and deliver pending steps; return False if it was closed before."""
        if not self.is_open:
            return False
        self.is_open = False
        self.detach_taps()
        self.stream.drain_from_any_thread()
        self.flush()
        return True

    def attach_taps(self) -> None:
        """Begin to watch the networks and optimizers."""
        self.call_recorder.attach()
        self._taps.attach()

    def detach_taps(self) -> None:
        """Remove all hooks; ``attach_taps`` continues."""
        self.call_recorder.detach()
        self._taps.detach()

    def on_real_batch(self, batch: Any, waiting_time: float) -> None:
        """Mark data that the loop is about to use as real: a tensor, or a nest whose floating tensors are samples.

        ``waiting_time`` is the time in seconds that the loop waited for it.
        """
        stream = self.stream
        if stream.thread == NO_THREAD:
            return
        stream.emit(tuple.__new__(BatchLoaded, (waiting_time, self._loaded.add(batch))))
        if not stream.is_quiet or len(stream.queue) >= MAX_EVENTS:
            stream.drain()

    def on_fake_batch(self, batch: Any) -> None:
        """Mark data that the loop is about to use as generated."""
        self.stream.drain()
        self._run(self.batch_origin.remember, "fake", batch)

    def log(self, name: Any, value: Any) -> None:
        """Add a reading of the loop's own to the current step."""
        self.stream.put(ReadingLogged(*parse_reading(name, value)))

    def add_readings(self, readings: Mapping[str, Any]) -> None:
        """Add readings from outside to the last step, or to the current one if the last was delivered."""
        self.stream.drain()
        (self._pending_steps[-1] if self._pending_steps else self._step).logged |= readings

    def build_final_step(self) -> StepView | None:
        """Return a step with the index of the last one and the readings that were logged after it; None if there are none."""
        logged = {series: value for series, value in self._step.logged.items() if series not in self._last_logged}
        return StepView(Step(self._index, logged=logged, wall_time=time.time())) if logged and self._index else None

    def _run(self, action: Callable[..., Any], *args: Any) -> Any:
        """Run a part of ganwatch unless paused, add its time, and pass errors to the guard."""
        if self.stream.is_paused:
            return None
        is_outermost, result = self.own_time.begin(), None
        try:
            result = action(*args)
        except Exception as error:  # noqa: BLE001  # counted and logged
            self._fail(error)
        finally:
            if is_outermost:
                self.own_time.end()
        return result

    def _fail(self, error: Exception) -> None:
        self.guard.note("capture", error)

    def _before_optimizer_step(self, updates: Sequence[Update]) -> Sequence[Update]:
        """Pass the first update of each network in a step to the probes, and return those that were passed."""
        fresh = [update for update in updates if update.network not in self._probed_networks]
        for update in fresh:
            self._probed_networks.add(update.network)
            self._notify_probes("before_update", update)
        return fresh

    def _handle_events(self, queue: deque[Event]) -> None:
        """Handle events until none waits, and add the time that this takes."""
        handled = []  # so that what was alive when an event was emitted is alive when another one is handled
        is_outermost = self.own_time.begin()
        try:
            while queue:
                event = queue.popleft()
                handled.append(event)
                try:
                    self._handlers[type(event)](event)
                except Exception as error:  # noqa: BLE001  # counted and logged
                    self._fail(error)
        finally:
            if is_outermost:
                self.own_time.end()

    def _add_call(self, event: NetworkCalled) -> None:
        role, is_differentiable, _ = event
        self._step.counts[_CALLS[role]] += 1
        if role == "d" and is_differentiable:
            self._taps.attribution.handle(event)
            losses = self._taps.attribution.losses
            if losses.has_backward:
                losses.has_backward = False
                self._step.wall_time = time.time()
                self._add_activity(DISCRIMINATOR_CALLS)

    def _add_activity(self, activity: Activity) -> None:
        """Add something that happened to the clock, and end the step if it does."""
        if self.clock.add(activity):
            self._finish_step()
        elif not self.clock.is_regular:  # the step may end at any event
            self.stream.stop_waiting()

    def _add_reading(self, event: ReadingLogged) -> None:
        self._step.logged[event.series] = event.value

    def _add_wiring_fact(self, event: WiringFact) -> None:
        if isinstance(event.value, Tensor) or event.series not in self._step.wiring:  # one optimizer of several is enough
            self._step.wiring[event.series] = event.value

    def _end_optimizer_step(self, event: OptimizerEnded) -> None:
        for update in self._taps.sampler.end_step(event):
            self._notify_probes("after_update", update)
        self._step.wall_time = event.wall_time
        self._add_optimizer_step(self._taps.attribution.end_step(event))

    def _end_scaled_step(self, event: ScalerStepped) -> None:
        self._add_optimizer_step(self._taps.attribution.end_scaled_step(event))

    def _add_batch(self, event: BatchLoaded) -> None:
        self._step.data_time = (self._step.data_time or 0.0) + event.waiting_time
        calls = self.call_recorder
        remember = self.batch_origin.remember if calls.is_recording or calls.remembers_batches else self.batch_origin.remember_deferred
        for batch in event.batch:
            self._step.loaded = batch
            remember("real", batch)

    def _add_optimizer_step(self, done: OptimizerStep | None) -> None:
        if done is None:
            return
        if done.is_skipped:
            self._taps.sampler.drop_pending()
        add_effects(self._step, done, self._last_updates)
        self.loop_facts.add_optimizer_step(done)
        if self.periodic_check is not None and self.loop_facts.steps % self.periodic_check[0] == 0:
            self.guard("status", self.periodic_check[1])
        if self.call_recorder.is_recording and len(done.applied) == 1 and done.applied[0].owned.role == "d":
            assign_to_d_phase(self._step.calls, self._step.index)
        if done.activity is None:
            self.clock.drop_calls()
        else:
            self._add_activity(done.activity)

    def _notify_probes(self, method: str, update: Update) -> None:
        for probe in self._plan.update_probes:
            self.guard(f"probe {probe.name}", partial(getattr(probe, method), update))

    def _finish_step(self) -> None:
        step, self._index = self._step, self._index + 1
        self._last_logged = step.logged
        step.clock, step.last_updates = self.clock.source, dict(self._last_updates)
        step.wall_time = step.wall_time or time.time()
        step.observer_time = self.own_time.lap()
        is_recording = self.call_recorder.is_recording
        d_phase, has_d_call = self._finish_calls() if is_recording else (step.calls, None)
        self.planner.cadence.add_step(step, has_call=has_d_call, samples_updates=bool(self._plan.update_probes))
        is_incomplete = is_recording and (not has_d_call or self.call_recorder.is_inconclusive)
        recent = [call for call in d_phase if call.index > self._index - MAX_CALL_AGE]
        self._step = self.call_recorder.step = Step(self._index + 1, calls=recent)
        self._is_first_step = False
        self._probed_networks.clear()
        self._pending_steps.append(step)
        was_sampled, self._was_sampled = self._was_sampled, is_recording or not self._plan.deferrable
        if was_sampled or self._was_sampled or len(self._pending_steps) >= MAX_PENDING_STEPS:
            self.flush()
        self._plan_step(is_incomplete=is_incomplete)

    def _finish_calls(self) -> tuple[list[Call], bool]:
        return self.call_recorder.finish_step(has_g_update=self._step.clock is GENERATOR_UPDATES)

    def flush(self) -> None:
        """Deliver pending steps to ``on_step``."""
        self.stream.drain()
        pending, self._pending_steps = self._pending_steps, []
        for step in pending:
            self.on_step(StepView(step))
        self.on_flush()
