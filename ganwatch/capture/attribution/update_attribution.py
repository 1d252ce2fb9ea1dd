"""Attributes losses, calls and penalties to the updates of the networks, from events alone.

Equal events give equal updates, whenever they are handled: nothing here reads a network, an optimizer's gradients or a clock.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ganwatch.capture.attribution.activity_clock import (
    DISCRIMINATOR_ATTEMPTS,
    GENERATOR_ATTEMPTS,
    GENERATOR_UPDATES,
    Activity,
)
from ganwatch.capture.attribution.owned_parameters import OptimizerFacts, OwnedParameters
from ganwatch.capture.attribution.step_clock import StepClock
from ganwatch.capture.attribution.update_kind import AUXILIARY, UpdateKind, UpdateKindTracker
from ganwatch.capture.attribution.update_losses import PendingLosses
from ganwatch.capture.events import (
    BackwardDone,
    Event,
    LossDifferentiated,
    NetworkCalled,
    OptimizerBegan,
    OptimizerEnded,
    PenaltyComputed,
    ScalerStepped,
)


@dataclass(slots=True)
class AppliedUpdate:
    """Effect of an optimizer's step on one network."""

    owned: OwnedParameters
    kind: UpdateKind
    loss: Tensor | None
    learning_rate: Any = None
    """A float or a tensor, whichever the optimizer has; None if it has none."""

    @property
    def network(self) -> str:
        """Name of the network: its role, or another one for its regularising updates."""
        return name_network(self.owned, self.kind)


@dataclass(slots=True)
class OptimizerStep:
    """A step of an optimizer, performed or skipped."""

    owned: Sequence[OwnedParameters]
    """All parameters of the networks that the optimizer has."""
    attempted: Sequence[str]
    """Networks that it was to update."""
    applied: Sequence[AppliedUpdate] = ()
    """Its effect on each network."""
    late_d_loss: Tensor | None = None
    """A loss of the discriminator that was taken for the generator's until now."""
    similar_roles: Sequence[str] = ()
    """Networks with parameters like its own, if it has none of theirs and its own have gradients."""
    is_skipped: bool = False
    """True if gradients were not finite and a scaler skipped it."""
    activity: Activity | None = None
    """Activity of the loop that it shows; None if it trains another network, or the generator for something else."""


@dataclass(slots=True)
class _OpenStep:
    """An optimizer's step that has begun and not ended."""

    began: OptimizerBegan
    loss: Tensor | None
    late_d_loss: Tensor | None
    """Loss that belongs to the discriminator's previous update."""


class UpdateAttribution:
    """State between the events of a training.

    Attributes
    ----------
    losses : PendingLosses
    update_kinds : UpdateKindTracker
    handlers : dict of type to callable
        What takes an event, by its type.

    Examples
    --------
    >>> import weakref
    >>> parameter = torch.nn.Parameter(torch.zeros(1))
    >>> optimizer = torch.optim.SGD([parameter], lr=0.1)
    >>> owned = [OwnedParameters("g", optimizer.param_groups[0], 0, ["weight"], [parameter])]
    >>> facts = OptimizerFacts(weakref.ref(optimizer), [1], owned, [], False)
    >>> attribution = UpdateAttribution()
    >>> events = NetworkCalled("d"), OptimizerBegan(optimizer, facts), OptimizerEnded(optimizer, facts, owned, [0.1], 0.0)
    >>> *_, done = map(attribution.handle, events)
    >>> done.attempted, str(done.activity), done.applied[0].kind.is_main
    (['g'], 'updates of the generator', True)
    """

    def __init__(self) -> None:
        self.losses = PendingLosses()
        self.update_kinds = UpdateKindTracker()
        self._step_clock = StepClock()
        self._separate_roles: set[str] = set()
        """Networks that some optimizer has updated which has no parameter of the other one."""
        self._open_steps: list[_OpenStep] = []
        self._last_optimizer: int | None = None
        """Identity of the optimizer that stepped last."""
        self.handlers: dict[type, Callable[[Any], OptimizerStep | None]] = {
            NetworkCalled: self._add_call,
            BackwardDone: self.losses.add_backward,
            LossDifferentiated: self.losses.add_differentiated,
            PenaltyComputed: self._add_penalty,
            OptimizerBegan: self.begin_step,
            OptimizerEnded: self.end_step,
            ScalerStepped: self.end_scaled_step,
        }

    def handle(self, event: Event) -> OptimizerStep | None:
        """Take the next event; return the optimizer's step that it ends, if it ends one."""
        handler = self.handlers.get(type(event))
        return None if handler is None else handler(event)

    def _add_call(self, event: NetworkCalled) -> None:
        if event.role == "d" and event.is_differentiable:
            self.update_kinds.add_discriminator_call(has_grad_leaf=event.has_grad_leaf)

    def _add_penalty(self, _: PenaltyComputed) -> None:
        self.update_kinds.add_penalty()

    def begin_step(self, event: OptimizerBegan) -> None:
        """Begin an optimizer's step: the losses that wait are its own."""
        loss, late_d_loss = self.losses.take(event.facts.roles)
        if self._open_steps:  # also one that an error has ended
            self._open_steps = [step for step in self._open_steps if any(step.began.optimizer is outer for outer in event.outer)]
        self._open_steps.append(_OpenStep(event, loss, late_d_loss))

    def end_step(self, event: OptimizerEnded) -> OptimizerStep | None:
        """Return the effect of an optimizer's step; None without a begin, or if its networks are watched elsewhere."""
        step, facts = self._close_step(event.optimizer), event.facts
        if step is None or facts.is_of_other_watch:
            return None
        if facts.owned:
            self._last_optimizer = id(event.optimizer)
            step.loss = self.losses.take_latest(step.loss)  # back-propagated by a closure, within the step
        attempted = self.select_attempted(event)
        roles = [one.role for one in attempted]
        if step.began.is_skipped:
            self.drop_pending()
            return OptimizerStep(facts.owned, roles, is_skipped=True, activity=_attempt_activity(roles))
        applied = self._find_applied(event, attempted, step.loss)
        activity = self._find_activity(event.optimizer, roles, applied)
        if applied:
            self.update_kinds.end_phase(one.owned for one in applied)
            if len(facts.owned) == 1:
                self._separate_roles.add(facts.roles[0])
        similar_roles = facts.similar_roles if not facts.owned and _has_gradient(event.optimizer) else ()
        return OptimizerStep(facts.owned, roles, applied, step.late_d_loss, similar_roles, activity=activity)

    def _find_applied(self, event: OptimizerEnded, attempted: Sequence[OwnedParameters], loss: Tensor | None) -> list[AppliedUpdate]:
        rates = {one.role: rate for one, rate in zip(event.with_gradient, event.learning_rates, strict=True)}
        return [AppliedUpdate(one, self.classify(one, event.facts), loss, rates[one.role]) for one in attempted if one.role in rates]

    def _close_step(self, optimizer: torch.optim.Optimizer) -> _OpenStep | None:
        """Close the optimizer's step, and those that began within it and never ended; None if its begin was not seen."""
        if self._open_steps and self._open_steps[-1].began.optimizer is optimizer:
            return self._open_steps.pop()
        while any(step.began.optimizer is optimizer for step in self._open_steps):
            step = self._open_steps.pop()
            if step.began.optimizer is optimizer:
                return step
        return None

    def select_attempted(self, event: OptimizerEnded) -> Sequence[OwnedParameters]:
        """Return the parameters that an optimizer's step is to update.

        Those of other optimizers that wrap it and are stepping now are left out, and those without a gradient if it updates other
        networks, as when latents are searched with frozen networks.
        """
        if not (self._open_steps or event.trains_others):
            return event.facts.owned
        outer = {role for step in self._open_steps if step.began.optimizer is not event.optimizer for role in step.began.facts.roles}
        owned = [one for one in event.facts.owned if one.role not in outer]
        if not event.trains_others:
            return owned
        roles = {one.role for one in event.with_gradient}
        return [one for one in owned if one.role in roles]

    def _find_activity(self, optimizer: torch.optim.Optimizer, roles: Sequence[str], applied: Sequence[AppliedUpdate]) -> Activity | None:
        main_roles = [one.owned.role for one in applied if one.kind.is_main]
        self._step_clock.has_d_update |= main_roles == ["d"]
        if "g" in main_roles:
            has_call = self.update_kinds.has_call
            if self._step_clock.ends_step(optimizer, is_g_only=main_roles == ["g"], has_d_call=has_call):
                return GENERATOR_UPDATES
        return None if any(one.owned.role == "g" for one in applied) else _attempt_activity(roles)

    def classify(self, owned: OwnedParameters, facts: OptimizerFacts) -> UpdateKind:
        """Return the kind of an update; if each network has an optimizer of its own, one of both trains neither of them as a GAN."""
        if len(facts.owned) > 1 and self._separate_roles.issuperset(facts.roles):
            return AUXILIARY
        return self.update_kinds.classify(owned)

    def end_scaled_step(self, event: ScalerStepped) -> OptimizerStep | None:
        """Return the skipped step of an optimizer if a scaler did not let it step: losses and calls then belong to no update."""
        last, self._last_optimizer = self._last_optimizer, None
        if last == id(event.optimizer) or not event.facts.owned:
            return None
        self.drop_pending()
        roles = event.facts.roles
        return OptimizerStep(event.facts.owned, roles, is_skipped=True, activity=_attempt_activity(roles))

    def drop_pending(self) -> None:
        """Drop all that waits for an update that will not come."""
        self.losses.clear()
        self.update_kinds.drop_phase()


def name_network(owned: OwnedParameters, kind: UpdateKind) -> str:
    """Return the name under which an update compares with others: its network's role, or another one if it regularises."""
    return owned.role if kind.is_comparable else f"{owned.role}_regularised"


def _attempt_activity(roles: Collection[str]) -> Activity | None:
    """Return the activity that attempted updates of these networks show."""
    return None if not roles else GENERATOR_ATTEMPTS if "g" in roles else DISCRIMINATOR_ATTEMPTS


def _has_gradient(optimizer: torch.optim.Optimizer) -> bool:
    """Return True if a parameter of an optimizer has a gradient."""
    return any(parameter.grad is not None for group in optimizer.param_groups for parameter in group["params"])
