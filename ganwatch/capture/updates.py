"""Assembles one update: the losses back-propagated before it, the gradients, and the optimizer's step."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from threading import get_ident
from typing import Any

import torch
from torch import Tensor, nn

from ganwatch.capture.attribution.activity_clock import (
    DISCRIMINATOR_ATTEMPTS,
    GENERATOR_ATTEMPTS,
    GENERATOR_UPDATES,
    Activity,
)
from ganwatch.capture.attribution.parameter_ownership import OptimizerFacts, OwnedParameters, Ownership
from ganwatch.capture.attribution.step_clock import StepClock
from ganwatch.capture.attribution.update_kind import AUXILIARY, MAIN, UpdateKind, UpdateKindTracker
from ganwatch.capture.attribution.update_losses import PendingLosses
from ganwatch.capture.step import Update, compute_norms
from ganwatch.capture.taps import backward_losses, clipping, optimizer_steps

_Arguments = tuple[tuple[Any, ...], dict[str, Any]]


@dataclass(slots=True)
class AppliedUpdate:
    """Effect of an optimizer's step on one network."""

    owned: OwnedParameters
    kind: UpdateKind
    loss: Tensor | None

    @property
    def network(self) -> str:
        """Name of the network: its role, or another one for its regularising updates."""
        return _network_name(self.owned, self.kind)


@dataclass(slots=True)
class OptimizerStep:
    """A step of an optimizer, performed or skipped."""

    owned: Sequence[OwnedParameters]
    """All parameters of the networks that the optimizer has."""
    attempted: Sequence[str]
    """Networks that it was to update."""
    applied: Sequence[AppliedUpdate] = ()
    """Its effect on each network."""
    sampled: Sequence[Update] = ()
    """Updates that ``before_step`` returned."""
    late_d_loss: Tensor | None = None
    """A loss of the discriminator that was taken for the generator's until now."""
    similar_roles: Sequence[str] = ()
    """Networks with parameters like its own, if it has none of theirs."""
    is_skipped: bool = False
    """True if gradients were not finite and a scaler skipped it."""
    activity: Activity | None = None
    """Activity of the loop that it shows; None if it trains another network, or the generator for something else."""


@dataclass(slots=True)
class _OpenStep:
    """An optimizer's step that has begun and not ended."""

    optimizer: torch.optim.Optimizer
    facts: OptimizerFacts
    loss: Tensor | None
    late_d_loss: Tensor | None
    """Loss that belongs to the discriminator's previous update."""
    is_skipped: bool
    updates: Sequence[Update] = ()
    """Updates that ``before_step`` returned."""
    is_sampled: bool = False
    """True if ``before_step`` was called."""


class UpdateTracker:
    """Tracks losses, gradients and optimizer steps of the thread that trains, from ``attach`` to ``detach``.

    What other threads do meanwhile is no part of the training, and reading gradients that another thread writes crashes a process.

    Parameters
    ----------
    networks : mapping of str to nn.Module
    only : mapping of str to sequence of Optimizer, optional
        The optimizers that count for a network, if the user named them.
    run : callable
        Runs a function with its arguments as a part of ganwatch, and returns its result, None after an error.
    before_step : callable
        Gets an optimizer's updates of the networks at sampled steps, and returns those that it uses.
    after_step : callable
        Gets every ``OptimizerStep`` after it.

    Attributes
    ----------
    sampled_index : int or None
        Index of the current step while its gradients are sampled.
    listener : backward_losses.Listener
        Its ``thread`` is the thread that trains: the one that steps an optimizer of the networks, until then the one that created this.
    losses : PendingLosses
    """

    def __init__(
        self,
        networks: Mapping[str, nn.Module],
        only: Mapping[str, Sequence[torch.optim.Optimizer]] | None = None,
        *,
        run: Callable[..., Any],
        before_step: Callable[[Sequence[Update]], Sequence[Update]],
        after_step: Callable[[OptimizerStep], None],
    ) -> None:
        self.ownership = Ownership(networks, only)
        self.update_kinds = UpdateKindTracker()
        self._networks = dict(networks)
        self._run, self._before_step, self._after_step = run, before_step, after_step
        self.sampled_index: int | None = None
        self._step_clock = StepClock()
        self._separate_roles: set[str] = set()
        """Networks that some optimizer has updated which has no parameter of the other one."""
        self._open_steps: list[_OpenStep] = []
        self._last_optimizer: int | None = None
        """Identity of the optimizer that stepped last."""
        self.losses = PendingLosses(self.ownership)
        self._unclipped_norms: dict[int, Tensor] = {}
        self.listener = backward_losses.Listener(
            on_backward=self.losses.before_backward,
            on_loss=self.losses.after_backward,
            on_gradient=self.losses.add_without_backward,
            on_penalty=self.update_kinds.add_penalty,
            on_scaled_step=self._on_scaled_step,
            thread=get_ident(),
        )
        self._step_listeners = {"before": partial(run, self._begin_step), "after": partial(run, self._end_step)}

    def attach(self) -> None:
        """Begin to listen to torch."""
        backward_losses.add_listener(self.listener)
        clipping.add_listener(self._on_clip)
        optimizer_steps.add_listener(**self._step_listeners)

    def detach(self) -> None:
        """Remove all listeners."""
        backward_losses.remove_listener(self.listener)
        clipping.remove_listener(self._on_clip)
        optimizer_steps.remove_listener(**self._step_listeners)

    def drop_pending(self) -> None:
        """Drop all that waits for an update that will not come."""
        self.losses.clear()
        self._unclipped_norms.clear()
        self.update_kinds.drop_phase()

    def _begin_step(self, optimizer: torch.optim.Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> _Arguments | None:
        if get_ident() != self.listener.thread:
            if not self.ownership.has_first_parameter(optimizer):
                return None
            self.listener.thread = get_ident()
        facts = self.ownership.find(optimizer)
        loss, late_d_loss = self.losses.take(facts.roles)
        is_skipped = hasattr(optimizer, "found_inf") and _has_overflow(optimizer)
        step = _OpenStep(optimizer, facts, loss, late_d_loss, is_skipped)
        if self._open_steps:
            self._open_steps = [other for other in self._open_steps if other.optimizer is not optimizer]
        self._open_steps.append(step)
        return None if self.sampled_index is None or is_skipped else self._begin_sampled_step(step, args, kwargs)

    def _begin_sampled_step(self, step: _OpenStep, args: tuple[Any, ...], kwargs: dict[str, Any]) -> _Arguments | None:
        """Sample the gradients of a step now, or from within the closure that computes them."""
        if (closure := args[1] if len(args) > 1 else kwargs.get("closure")) is None:
            self._sample_gradients(step)
            return None
        wrapper = partial(self._run_closure, step, closure)
        return ((args[0], wrapper, *args[2:]), kwargs) if len(args) > 1 else (args, kwargs | {"closure": wrapper})

    def _run_closure(self, step: _OpenStep, closure: Callable[[], Any]) -> Any:
        """Run the closure that computes the gradients of a step, and sample them after its first run."""
        result = closure()
        if not step.is_sampled:
            self._run(self._sample_gradients, step)
        return result

    def _sample_gradients(self, step: _OpenStep) -> None:
        if self.sampled_index is None:
            return
        scale, owned = getattr(step.optimizer, "grad_scale", None), step.facts.owned
        outer_steps = [other for other in self._open_steps if other is not step]
        updates = [
            one.build_update(
                _network_name(one, self._classify(one, owned)), self.sampled_index, scale=scale, unclipped_norms=self._unclipped_norms
            )
            for one in _select_attempted(owned, outer_steps, step.optimizer)
            if one.has_gradient
        ]
        step.updates, step.is_sampled = self._before_step(updates), True

    def _end_step(self, optimizer: torch.optim.Optimizer, *_: Any) -> None:
        if get_ident() != self.listener.thread:
            return
        is_innermost = self._open_steps and self._open_steps[-1].optimizer is optimizer
        step = self._open_steps.pop() if is_innermost else self._close_abandoned_steps(optimizer)
        if step is None or step.facts.is_of_other_watch:
            return
        owned = step.facts.owned
        if owned:
            self._last_optimizer = id(optimizer)
            if self.losses.pending:
                step.loss = self.losses.take_latest(step.loss)  # back-propagated by a closure, within the step
        is_usual = len(owned) == 1 and owned[0].parameters[-1].grad is not None and self._is_plain_phase(step)
        self._after_step(self._end_usual_update(step) if is_usual else self._end_any_update(step))

    def _is_plain_phase(self, step: _OpenStep) -> bool:
        """Return True if D was called on plain batches alone, and nothing else is special about the step."""
        kinds = self.update_kinds
        return kinds.has_call and not (kinds.has_penalty or step.is_skipped or self._open_steps or self._unclipped_norms)

    def _end_usual_update(self, step: _OpenStep) -> OptimizerStep:
        """Return the update of one network by an optimizer of its own, after calls of the discriminator on plain batches."""
        [owned], roles = step.facts.owned, step.facts.roles
        activity: Activity | None = DISCRIMINATOR_ATTEMPTS
        if owned.role == "g":
            ends_step = self._step_clock.ends_step(step.optimizer, is_g_only=True, has_d_call=True)
            activity = GENERATOR_UPDATES if ends_step else None
        else:
            self._step_clock.has_d_update = True
        self.update_kinds.end_phase(step.facts.owned)
        self._separate_roles.add(owned.role)
        applied = (AppliedUpdate(owned, MAIN, step.loss),)
        return OptimizerStep(step.facts.owned, roles, applied, step.updates, step.late_d_loss, activity=activity)

    def _end_any_update(self, step: _OpenStep) -> OptimizerStep:
        facts = step.facts
        attempted = _select_attempted(facts.owned, self._open_steps, step.optimizer)
        roles = [one.role for one in attempted]
        if step.is_skipped:
            self.drop_pending()
            return OptimizerStep(facts.owned, roles, is_skipped=True, activity=_attempt_activity(roles))
        applied = [AppliedUpdate(one, self._classify(one, facts.owned), step.loss) for one in attempted if one.has_gradient]
        activity = self._find_activity(step, roles, applied)
        if applied:
            self._end_phase(facts, [one.owned for one in applied])
        similar_roles = () if facts.owned else facts.similar_roles
        return OptimizerStep(facts.owned, roles, applied, step.updates, step.late_d_loss, similar_roles, activity=activity)

    def _find_activity(self, step: _OpenStep, roles: Sequence[str], applied: Sequence[AppliedUpdate]) -> Activity | None:
        main_roles = [one.owned.role for one in applied if one.kind.is_main]
        self._step_clock.has_d_update |= main_roles == ["d"]
        if "g" in main_roles:
            has_call = self.update_kinds.has_call
            if self._step_clock.ends_step(step.optimizer, is_g_only=main_roles == ["g"], has_d_call=has_call):
                return GENERATOR_UPDATES
        return None if any(one.owned.role == "g" for one in applied) else _attempt_activity(roles)

    def _end_phase(self, facts: OptimizerFacts, updated: Sequence[OwnedParameters]) -> None:
        self.update_kinds.end_phase(updated)
        if len(facts.owned) == 1:
            self._separate_roles.add(facts.roles[0])
        for parameter in (p for one in updated for p in one.parameters):
            self._unclipped_norms.pop(id(parameter), None)

    def _close_abandoned_steps(self, optimizer: torch.optim.Optimizer) -> _OpenStep | None:
        """Drop steps that began within the optimizer's step and never ended; return the latter, None if its begin was not seen."""
        while any(step.optimizer is optimizer for step in self._open_steps):
            step = self._open_steps.pop()
            if step.optimizer is optimizer:
                return step
        return None

    def _classify(self, owned: OwnedParameters, all_owned: Sequence[OwnedParameters]) -> UpdateKind:
        """Return the kind of an update; if each network has an optimizer of its own, one of both trains neither of them as a GAN."""
        if len(all_owned) > 1 and self._separate_roles.issuperset(one.role for one in all_owned):
            return AUXILIARY
        return self.update_kinds.classify(owned)

    def _on_scaled_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Drop losses and calls if a scaler skipped the optimizer's step: they belong to no update."""
        if self._last_optimizer != id(optimizer) and (facts := self.ownership.find(optimizer)).owned:
            self.drop_pending()
            activity = _attempt_activity(facts.roles)
            self._run(self._after_step, OptimizerStep(facts.owned, facts.roles, is_skipped=True, activity=activity))
        self._last_optimizer = None

    def _on_clip(self, gradients: Sequence[Tensor]) -> None:
        if self.sampled_index is not None and get_ident() == self.listener.thread:
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


def _select_attempted(
    owned: Sequence[OwnedParameters], outer_steps: Sequence[_OpenStep], optimizer: torch.optim.Optimizer
) -> Sequence[OwnedParameters]:
    """Return the parameters that an optimizer is to update.

    Those of optimizers that wrap it and are stepping now are left out, and those without a gradient if it updates other networks.
    """
    if outer_steps:
        outer_roles = {role for step in outer_steps for role in step.facts.roles}
        owned = [one for one in owned if one.role not in outer_roles]
    if all(one.has_gradient for one in owned) or not _trains_others(optimizer, owned):
        return owned
    return [one for one in owned if one.has_gradient]


def _trains_others(optimizer: torch.optim.Optimizer, owned: Sequence[OwnedParameters]) -> bool:
    """Return True if an optimizer updates parameters of other networks, such as latents that are searched with frozen networks."""
    own = {id(parameter) for one in owned for parameter in one.parameters}
    return any(p.grad is not None and id(p) not in own for group in optimizer.param_groups for p in group["params"])


def _attempt_activity(roles: Collection[str]) -> Activity | None:
    """Return the activity that attempted updates of these networks show."""
    return None if not roles else GENERATOR_ATTEMPTS if "g" in roles else DISCRIMINATOR_ATTEMPTS


def _network_name(owned: OwnedParameters, kind: UpdateKind) -> str:
    return owned.role if kind.is_comparable else f"{owned.role}_regularised"


def _has_overflow(optimizer: torch.optim.Optimizer) -> bool:
    """Return True if a fused optimizer is about to skip its step; never waits for an accelerator."""
    found_inf: Any = getattr(optimizer, "found_inf", None)
    return isinstance(found_inf, Tensor) and found_inf.device.type == "cpu" and bool(found_inf)
