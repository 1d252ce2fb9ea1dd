"""Emits the events of the optimizers' steps, and samples gradients right before a step where probes ask for them."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Sequence
from functools import partial
from threading import get_ident
from typing import Any

import torch
from torch import Tensor

from ganwatch.capture.attribution.owned_parameters import NO_FACTS, OwnedParameters
from ganwatch.capture.attribution.parameter_ownership import Ownership
from ganwatch.capture.attribution.update_losses import PendingLosses
from ganwatch.capture.event_stream import MAX_EVENTS, EventStream
from ganwatch.capture.events import OptimizerBegan, OptimizerEnded, ScalerStepped
from ganwatch.capture.gradient_sampler import GradientSampler, StepArguments
from ganwatch.capture.kept_gradients import KeptGradients
from ganwatch.capture.taps import optimizer_steps
from ganwatch.capture.undone_updates import UndoneUpdates

_OPTIMIZER_FILE = inspect.getfile(torch.optim.Optimizer)
"""The file of torch whose code calls the hooks of a step."""


class OptimizerTap:
    """Tap on the optimizers of the thread that trains, from ``attach`` to ``detach``.

    What other threads do meanwhile is no part of the training, and reading gradients that another thread writes crashes a process. The
    thread that trains is the one that steps an optimizer of the networks.

    Parameters
    ----------
    ownership : Ownership
    stream : EventStream
    losses : PendingLosses
        Says if losses need no tracing.
    sampler : GradientSampler
    kept : KeptGradients
    undone : UndoneUpdates
    run : callable
        Runs a function with its arguments as a part of ganwatch, and returns its result, None after an error.
    """

    def __init__(
        self,
        ownership: Ownership,
        stream: EventStream,
        losses: PendingLosses,
        sampler: GradientSampler,
        *,
        kept: KeptGradients,
        undone: UndoneUpdates,
        run: Callable[..., Any],
    ) -> None:
        self._ownership, self._stream, self._losses, self._sampler, self._run = ownership, stream, losses, sampler, run
        self._kept, self._undone = kept, undone
        self._running: list[torch.optim.Optimizer] = []
        """Optimizers whose steps have begun and not ended, the innermost last."""

    def attach(self) -> None:
        """Begin to listen."""
        optimizer_steps.add_listener(before=self._begin, after=self._end)

    def detach(self) -> None:
        """Stop listening."""
        optimizer_steps.remove_listener(before=self._begin, after=self._end)

    def _begin(self, optimizer: torch.optim.Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> StepArguments | None:
        stream = self._stream
        try:
            # the usual case, without further calls
            if stream.is_quiet and stream.thread == get_ident() and not (self._running or self._undone.waiting):
                facts = self._ownership.known.get(id(optimizer), NO_FACTS)
                is_usual = facts.is_of_one_network and facts.optimizer() is optimizer
                if is_usual and (stream.has_loss or not self._losses.is_clear) and "found_inf" not in optimizer.__dict__:
                    stream.has_loss = False
                    self._running.append(optimizer)
                    stream.emit(tuple.__new__(OptimizerBegan, (optimizer, facts, False, ())))
                    return None
        except Exception as error:  # noqa: BLE001  # counted and logged
            stream.fail(error)
        result: StepArguments | None = self._run(self._begin_any, optimizer, args, kwargs)
        return result

    def _begin_any(self, optimizer: torch.optim.Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> StepArguments | None:
        stream = self._stream
        if not self._is_of_training(optimizer):
            return None
        before = self._ownership.known.get(id(optimizer))
        facts = self._ownership.find(optimizer)
        self._run(partial(self._undone.begin_step, optimizer, facts, watch=self._sampler.watches_updates))
        # from here on losses are traced, if a third network is trained or there was no loss, and a new optimizer may replace an old one
        if not (facts.owned and facts is before and (stream.has_loss or not self._losses.is_clear)):
            stream.stop_quiet()
        stream.has_loss = False
        is_skipped = _has_overflow(optimizer)
        outer = [other for other in self._running if other is not optimizer and _is_stepping(other)]
        self._running = [*outer, optimizer]
        stream.put(OptimizerBegan(optimizer, facts, is_skipped, outer))
        if self._sampler.sampled_index is None or is_skipped:
            return None
        stream.drain()
        return self._sampler.begin_step(optimizer, facts, args, kwargs)

    def _is_of_training(self, optimizer: torch.optim.Optimizer) -> bool:
        """Return True in the thread that trains; it is this one if the optimizer belongs to the networks."""
        if get_ident() != self._stream.thread:
            if not self._ownership.has_first_parameter(optimizer):
                return False
            self._stream.follow(get_ident())
        return True

    def _end(self, optimizer: torch.optim.Optimizer, *_: Any) -> None:
        stream = self._stream
        try:
            if self._running and self._running[-1] is optimizer:
                self._running.pop()
            if stream.is_quiet and stream.thread == get_ident() and not (self._kept.watches or self._undone.waiting):
                facts = self._ownership.known.get(id(optimizer), NO_FACTS)
                if facts.is_of_one_network and facts.optimizer() is optimizer:
                    owned = facts.owned[0]
                    if owned.parameters[-1].grad is not None and len(optimizer.param_groups) == len(facts.sizes):
                        event = (optimizer, facts, facts.owned, (owned.group.get("lr"),), time.time(), False)
                        stream.emit(tuple.__new__(OptimizerEnded, event))
                        stream.steps_left -= owned.role == "g"
                        if stream.steps_left <= 0 or len(stream.queue) >= MAX_EVENTS:
                            stream.drain()
                        return
        except Exception as error:  # noqa: BLE001  # counted and logged
            stream.fail(error)
        self._run(self._end_any, optimizer)

    def _end_any(self, optimizer: torch.optim.Optimizer) -> None:
        stream = self._stream
        if get_ident() != stream.thread:
            return
        self._running = [other for other in self._running if other is not optimizer]
        facts = self._ownership.find(optimizer)
        self._run(self._undone.end_step, optimizer)
        self._run(partial(self._kept.end_step, optimizer, facts, watch_next=self._sampler.watches_updates))
        with_gradient = [one for one in facts.owned if one.has_gradient]
        trains_others = len(with_gradient) < len(facts.owned) and _trains_others(optimizer, facts.owned)
        rates = [one.group.get("lr") for one in with_gradient]
        stream.put(OptimizerEnded(optimizer, facts, with_gradient, rates, time.time(), trains_others))
        stream.steps_left -= "g" in facts.roles
        if stream.steps_left <= 0:
            stream.drain()

    def end_scaled_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Emit that a scaler let an optimizer step, or skipped its step."""
        self._stream.put(ScalerStepped(optimizer, self._ownership.find(optimizer)))


def _is_stepping(optimizer: torch.optim.Optimizer) -> bool:
    """Return True if a step of the optimizer is running in this thread; a step that raised an error begins and never ends."""
    frame = inspect.currentframe()
    while frame is not None:
        if frame.f_code.co_filename == _OPTIMIZER_FILE and frame.f_locals.get("self") is optimizer:
            return True
        frame = frame.f_back
    return False


def _trains_others(optimizer: torch.optim.Optimizer, owned: Sequence[OwnedParameters]) -> bool:
    """Return True if an optimizer updates parameters of other networks, such as latents that are searched with frozen networks."""
    own = {id(parameter) for one in owned for parameter in one.parameters}
    return any(p.grad is not None and id(p) not in own for group in optimizer.param_groups for p in group["params"])


def _has_overflow(optimizer: torch.optim.Optimizer) -> bool:
    """Return True if a fused optimizer is about to skip its step; never waits for an accelerator."""
    found_inf = vars(optimizer).get("found_inf")  # set by a scaler; an optimizer may have a __getattr__ that raises anything
    return isinstance(found_inf, Tensor) and found_inf.device.type == "cpu" and bool(found_inf)
