"""Samples the gradients of the networks right before an optimizer applies them, also within the closure that computes them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from ganwatch.capture.attribution.owned_parameters import OptimizerFacts, OwnedParameters
from ganwatch.capture.attribution.update_attribution import UpdateAttribution, name_network
from ganwatch.capture.event_stream import EventStream
from ganwatch.capture.events import OptimizerEnded
from ganwatch.capture.schedule import Plan
from ganwatch.capture.step import Update, compute_norms
from ganwatch.capture.taps import clipping

StepArguments = tuple[tuple[Any, ...], dict[str, Any]]


class GradientSampler:
    """Builds the updates of sampled steps.

    Parameters
    ----------
    networks : mapping of str to nn.Module
    stream : EventStream
        Its thread is sampled.
    attribution : UpdateAttribution
    run : callable
        Runs a function with its arguments as a part of ganwatch.
    before_step : callable
        Gets an optimizer's updates of the networks before it steps, and returns those that it uses.

    Attributes
    ----------
    sampled_index : int or None
        Index of the current step while its gradients are sampled.
    watches_updates : bool
        True if what the loop does with weights and gradients until the next update is looked at as well.
    """

    def __init__(
        self,
        networks: Mapping[str, nn.Module],
        stream: EventStream,
        attribution: UpdateAttribution,
        *,
        run: Callable[..., Any],
        before_step: Callable[[Sequence[Update]], Sequence[Update]],
    ) -> None:
        self._networks, self._stream, self._attribution = dict(networks), stream, attribution
        self._run, self._before_step = run, before_step
        self.sampled_index: int | None = None
        self.watches_updates = False
        self._sampled: dict[int, Sequence[Update]] = {}
        """Updates of steps that have begun, by the optimizer's identity."""
        self._unclipped_norms: dict[int, Tensor] = {}
        """Norms of gradients before clipping, by the parameter's identity."""

    def begin_loop_step(self, index: int, plan: Plan) -> None:
        """Begin a step of the loop with its plan."""
        self.sampled_index = index if plan.update_probes else None
        self.watches_updates = bool(plan.update_probes) and plan.watches_updates

    def attach(self) -> None:
        """Begin to listen to the clipping of gradients."""
        clipping.add_listener(self._on_clip)

    def detach(self) -> None:
        """Stop listening."""
        clipping.remove_listener(self._on_clip)

    def begin_step(
        self, optimizer: torch.optim.Optimizer, facts: OptimizerFacts, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> StepArguments | None:
        """Sample the gradients of a step now, or from within its closure; then return the arguments with the closure replaced."""
        self._sampled.pop(id(optimizer), None)  # of a step that never ended
        if (closure := args[1] if len(args) > 1 else kwargs.get("closure")) is None:
            self._sample(optimizer, facts)
            return None
        wrapper = partial(self._run_closure, optimizer, facts, closure)
        return ((args[0], wrapper, *args[2:]), kwargs) if len(args) > 1 else (args, kwargs | {"closure": wrapper})

    def _run_closure(self, optimizer: torch.optim.Optimizer, facts: OptimizerFacts, closure: Callable[[], Any]) -> Any:
        """Run the closure that computes the gradients of a step, and sample them after its first run."""
        result = closure()
        self._stream.drain()
        if id(optimizer) not in self._sampled:
            self._run(self._sample, optimizer, facts)
        return result

    def _sample(self, optimizer: torch.optim.Optimizer, facts: OptimizerFacts) -> None:
        if self.sampled_index is None:
            return
        scale = vars(optimizer).get("grad_scale")
        with_gradient = [one for one in facts.owned if one.has_gradient]
        about_to_end = OptimizerEnded(optimizer, facts, with_gradient, [None] * len(with_gradient), 0.0)
        roles = {one.role for one in self._attribution.select_attempted(about_to_end)}
        updates = [
            one.build_update(
                name_network(one, self._attribution.classify(one, facts)),
                self.sampled_index,
                scale=scale,
                unclipped_norms=self._unclipped_norms,
            )
            for one in with_gradient
            if one.role in roles
        ]
        self._sampled[id(optimizer)] = self._before_step(updates)

    def end_step(self, event: OptimizerEnded) -> Sequence[Update]:
        """Return the updates of a step that were sampled, and forget what belongs to it."""
        for one in event.with_gradient if self._unclipped_norms else ():
            self._forget_norms(one)
        return self._sampled.pop(id(event.optimizer), ())

    def _forget_norms(self, owned: OwnedParameters) -> None:
        for parameter in owned.parameters:
            self._unclipped_norms.pop(id(parameter), None)

    def drop_pending(self) -> None:
        """Forget gradients of an update that will not come."""
        self._unclipped_norms.clear()
        self._sampled.clear()

    def _on_clip(self, gradients: Sequence[Tensor]) -> None:
        if self.sampled_index is not None and self._stream.is_current_thread():
            self._run(self._note_unclipped_norms, gradients)

    def _note_unclipped_norms(self, gradients: Sequence[Tensor]) -> None:
        ids = {id(gradient) for gradient in gradients}
        own = {
            id(parameter): parameter.grad
            for network in self._networks.values()
            for parameter in network.parameters()
            if parameter.grad is not None and id(parameter.grad) in ids and id(parameter) not in self._unclipped_norms
        }
        if own:
            self._unclipped_norms |= zip(own, compute_norms(list(own.values())).unbind(), strict=True)
