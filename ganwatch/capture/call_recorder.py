"""Records the forward calls of the two networks in the current step, with the gradients of the discriminator's outputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn

from ganwatch.capture.attribution.batch_origin import BatchOrigin
from ganwatch.capture.attribution.origin_from_loss import OriginFromLoss
from ganwatch.capture.attribution.parameter_ownership import list_members
from ganwatch.capture.calls import (
    add_call,
    build_discriminator_calls,
    build_generator_call,
    has_grad_leaf,
    restore_d_phase,
    restore_g_phase,
    select_d_phase,
)
from ganwatch.capture.event_stream import EventStream
from ganwatch.capture.events import NetworkCalled
from ganwatch.capture.loop_facts import LoopFacts
from ganwatch.capture.options import Options
from ganwatch.capture.schedule import Plan
from ganwatch.capture.step import Call, Step, find_tensors, to_plain
from ganwatch.capture.taps import backward_losses, forward_calls, loss_graph
from ganwatch.capture.taps.submodule_calls import SubmoduleCalls
from ganwatch.isolation.isolated_call import IsolatedCall

MAX_SAMPLES_WITHOUT_CALL = 2
"""Sampled steps without a call of a network after which its submodules are watched."""


class CallRecorder:
    """Records calls from ``attach`` to ``detach``.

    A discriminator's batch is recognised by storage first (the generator's output, detached or not, and the loader's batches), then by
    value (clones, and real and fake in one call), then by the loss. If it is neither or both, it stays ``unknown``.

    Parameters
    ----------
    networks : mapping of str to nn.Module
    stream : EventStream
        Gets the event of each call.
    options : Options
    run : callable
        Runs a function with its arguments as a part of ganwatch.

    Attributes
    ----------
    step : Step
        The current step.
    is_recording : bool
        True if calls of the current step are recorded.
    keeps_fakes : bool
        True if the generator's latest samples are kept, whether calls are recorded or not.
    needs_output_grads, needs_arguments : bool
        True if the gradients of the discriminator's outputs, or the generator's arguments, are recorded with them.
    remembers_batches : bool
        True if batches of other steps are remembered too, to recognise them later.
    batch_origin : BatchOrigin
    origin_from_loss : OriginFromLoss
    loop_facts : LoopFacts
    """

    def __init__(
        self,
        networks: Mapping[str, nn.Module],
        *,
        stream: EventStream,
        options: Options,
        run: Callable[..., Any],
    ) -> None:
        self._members = {
            role: [getattr(member, "_orig_mod", member) for member in list_members(network)] for role, network in networks.items()
        }
        self._stream, self._options, self._run = stream, options, run
        self._sample = None if options.sample is None else IsolatedCall(options.sample)
        self._on_call: dict[str, forward_calls.OnCall] = {"g": self._on_generator_call, "d": self._on_discriminator_call}
        self._submodule_calls: dict[str, SubmoduleCalls] = {}
        self.step = Step(1)
        self.is_recording = self.remembers_batches = True
        self.needs_output_grads = self.needs_arguments = self.keeps_fakes = False
        self.batch_origin = BatchOrigin()
        self.origin_from_loss = OriginFromLoss()
        self.loop_facts = LoopFacts()

    def begin_step(self, step: Step, plan: Plan, *, is_extra: bool, is_first: bool) -> None:
        """Begin a step with its plan; the first and other extra ones are examined more closely than planned."""
        self.step, self.keeps_fakes = step, plan.needs_fakes
        self.needs_output_grads = is_extra or plan.needs_output_grads
        self.needs_arguments = is_first or plan.needs_arguments

    def attach(self) -> None:
        """Watch the networks."""
        for role, modules in self._members.items():
            for module in modules:
                forward_calls.watch(module, self._on_call[role], role=role, stream=self._stream)
        for submodule_calls in self._submodule_calls.values():
            submodule_calls.attach()

    def detach(self) -> None:
        """Stop watching them."""
        for module in chain(*self._members.values()):
            forward_calls.unwatch(module)
        for submodule_calls in self._submodule_calls.values():
            submodule_calls.detach()

    def _watch_submodules(self, role: str) -> None:
        self._submodule_calls[role] = SubmoduleCalls(
            self._members[role][0],
            is_discriminator=role == "d",
            on_call=partial(self._on_assembled_call, role),
            batch_origin=self.batch_origin,
            options=self._options,
        )
        self._submodule_calls[role].attach()

    def _on_assembled_call(self, role: str, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        """Record a call that was assembled from those of submodules, and emit its event."""
        if self._stream.is_current_thread():
            self._on_call[role](module, args, kwargs, output)
            has_leaf = has_grad_leaf(find_tensors(args) + find_tensors(kwargs))
            self._stream.put(NetworkCalled(role, torch.is_grad_enabled(), has_leaf))

    def _on_discriminator_call(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        if self.is_recording and module is self._members["d"][0]:
            self._run(self._record_discriminator_call, module, args, kwargs, output)

    def _on_generator_call(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        is_first = module is self._members["g"][0]
        if self.is_recording and is_first:
            self._run(self._record_generator_call, module, args, kwargs, output)
        elif self.is_recording or self.remembers_batches or (self.keeps_fakes and is_first):
            self._run(self._examine_generator_call, output, is_first)

    def _examine_generator_call(self, output: Any, is_first: bool) -> Tensor | None:
        """Remember the output of a generator where calls are recognised by it, keep the samples of the first one, and return these."""
        samples = output if self._sample is None else self._sample(output)
        if self.is_recording or self.remembers_batches:
            self.batch_origin.remember("fake", output)
            if samples is not output:
                self.batch_origin.remember("fake", samples)
        first = next((x for x in find_tensors(samples) if x.ndim >= 2 and x.is_floating_point()), None)
        if self.keeps_fakes and is_first:
            self.step.fakes = None if first is None else to_plain(first.detach())
        return first

    def _record_generator_call(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        samples = self._examine_generator_call(output, is_first=True)
        self.batch_origin.sample_shape = None if samples is None else samples.shape[1:]
        call = build_generator_call(module, args, kwargs, output, index=self.step.index, needs_arguments=self.needs_arguments)
        add_call(self.step.calls, call)
        self.loop_facts.add_generator_call(call)

    def _record_discriminator_call(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        self.loop_facts.calls["d"] += 1
        for score, calls in build_discriminator_calls(
            module, args, kwargs, output, index=self.step.index, batch_origin=self.batch_origin, options=self._options
        ):
            for _, call in calls:
                add_call(self.step.calls, call)
            self.loop_facts.add_discriminator_calls([call for _, call in calls], output)
            if score.requires_grad and score.ndim and self.needs_output_grads:
                mark = loss_graph.mark_score(score) if self.loop_facts.needs_evidence else None
                score.register_hook(partial(self._run, _store_output_grad, calls, mark))  # type: ignore[no-untyped-call]  # torch publishes no type here

    @property
    def needs_every_call(self) -> bool:
        """True if calls of steps that are not recorded are examined too."""
        return self.remembers_batches or bool(self._submodule_calls)

    def finish_step(self, *, has_g_update: bool) -> tuple[list[Call], bool]:
        """Complete the record of the current step, which ended with the generator's update or without one.

        Returns
        -------
        tuple of list of Call and bool
            The calls of the discriminator's own phase, also those of earlier steps; and True if some are of this step.
        """
        step = self.step
        if has_g_update:
            restore_g_phase(step.calls, step.index)
        restore_d_phase(step.calls, step.index)
        calls_now = [call for call in step.calls if call.index == step.index]
        d_phase_now = select_d_phase(calls_now)
        if d_phase_now:
            self._complete_origins(calls_now, d_phase_now)
        self.loop_facts.add_sampled_step(calls_now, [role for role in ("g", "d") if step.counts[f"updates_performed/{role}"]])
        self._watch_uncalled_networks()
        return select_d_phase(step.calls), bool(d_phase_now)

    def _watch_uncalled_networks(self) -> None:
        """Watch the submodules of networks that are trained and never called as a whole."""
        for role in ("g", "d"):
            if self.loop_facts.samples_without_call[role] == MAX_SAMPLES_WITHOUT_CALL and role not in self._submodule_calls:
                self._watch_submodules(role)

    def _complete_origins(self, calls: list[Call], d_phase: list[Call]) -> None:
        """Infer origins that are unknown, and decide whether a memory of earlier steps would help."""
        has_unknown = any(call.origin == "unknown" for call in d_phase)
        self.remembers_batches = self.batch_origin.used_earlier_batch or (not self.remembers_batches and has_unknown)
        self.batch_origin.used_earlier_batch = False
        self.origin_from_loss.assign_origins(calls)

    @property
    def is_inconclusive(self) -> bool:
        """True if a further step can complete the record of the last one."""
        return self.origin_from_loss.needs_more_steps or 0 < self.loop_facts.samples_without_call["g"] <= MAX_SAMPLES_WITHOUT_CALL


def _store_output_grad(calls: Sequence[tuple[Any, Call]], mark: object, grad: Tensor) -> None:
    """Store the gradient of a score in its calls, unscaled, and the family of the loss."""
    if torch.is_grad_enabled():
        return
    scale, loss = backward_losses.current_scale(), backward_losses.current_loss()
    output_grad = grad.detach() if scale is None else grad.detach().float() / scale
    family = None if mark is None or loss is None else loss_graph.find_family(mark, loss)
    for part, call in calls:
        call.output_grad, call.family, call.has_several_backwards = output_grad[part], family, call.output_grad is not None
