"""Puts together what belongs to one update: the losses back-propagated before it, the gradients, and the optimizer's step."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from threading import get_ident
from typing import Any

import torch
from torch import Tensor, nn

from ganwatch.capture.attribution.parameter_ownership import OwnedParameters, Ownership
from ganwatch.capture.attribution.step_clock import StepClock
from ganwatch.capture.attribution.update_kind import AUXILIARY, UpdateKind, UpdateKindTracker
from ganwatch.capture.attribution.update_losses import Losses
from ganwatch.capture.step import Update, norms_of
from ganwatch.capture.taps import backward_losses, clipping, optimizer_steps

_Arguments = tuple[tuple[Any, ...], dict[str, Any]]


@dataclass(slots=True)
class AppliedUpdate:
    """What an optimizer's step meant for one network."""

    share: OwnedParameters
    kind: UpdateKind
    loss: Tensor | None

    @property
    def network(self) -> str:
        """The role, or what its regularising updates go by."""
        return _network(self.share, self.kind)


@dataclass(slots=True)
class _Stepping:
    """An optimizer's step that has begun."""

    optimizer: torch.optim.Optimizer
    shares: Sequence[OwnedParameters]
    loss: Tensor | None
    late: Tensor | None
    """What belongs to the discriminator's update before."""
    skipped: bool
    updates: Sequence[Update] | None = None
    """What somebody has taken of it; None where nobody was shown anything."""


class Updates:
    """Watches losses, gradients and optimizers from ``hook`` to ``unhook``, of the thread that trains.

    ``looked_at`` is the index of the step while somebody looks at its gradients, else None. ``thread`` is the one that steps an optimizer
    of the networks, until then the one that this was made in: what others do meanwhile is no part of the training, and reading gradients
    that another thread is writing ends a process.

    Parameters
    ----------
    networks : mapping of str to nn.Module
    only : mapping of str to sequence of Optimizer, optional
        The optimizers that count for a network, where they were named.
    timed : callable
        Runs a function with its arguments as a part of ganwatch, and gives what it returned, None after an error.
    begun, ended : callable
        Get what an optimizer is about to do to each network, where somebody looks (and give back what of it they took); and, when it has
        stepped, those updates, what it ``AppliedUpdate``, all that it has, networks that it resembles, a loss of the discriminator that was
        taken for the generator's until now (``late``), and whether it ``ends`` a step.
    """

    def __init__(
        self,
        networks: Mapping[str, nn.Module],
        only: Mapping[str, Sequence[torch.optim.Optimizer]] | None = None,
        *,
        timed: Callable[..., Any],
        begun: Callable[[Sequence[Update]], Sequence[Update]],
        ended: Callable[..., None],
    ) -> None:
        self.ownership = Ownership(networks, only)
        self.update_kinds = UpdateKindTracker()
        self._networks = dict(networks)
        self._timed, self._begun, self._ended = timed, begun, ended
        self.looked_at: int | None = None
        self._primary = StepClock()
        self._apart: set[str] = set()
        """Networks that some optimizer has moved which has nothing of the other one."""
        self._stepping: list[_Stepping] = []
        self._stepped: int | None = None
        self._losses = Losses(self.ownership)
        self._unclipped: dict[int, Tensor] = {}
        self._listener = backward_losses.Listener(
            self._losses.before, self._losses.after, self._losses.asked, self.update_kinds.penalised, self._on_scaled_step, get_ident()
        )
        self._around_steps = {"before": partial(timed, self._begin), "after": partial(timed, self._end)}

    @property
    def thread(self) -> int:
        """Identifier of the thread that trains."""
        return self._listener.thread

    def hook(self) -> None:
        """Begin to watch."""
        backward_losses.listen(self._listener)
        clipping.listen(self._on_clip)
        optimizer_steps.listen(**self._around_steps)

    def unhook(self) -> None:
        """Leave nothing behind."""
        backward_losses.unlisten(self._listener)
        clipping.unlisten(self._on_clip)
        optimizer_steps.unlisten(**self._around_steps)

    def drop(self) -> None:
        """Forget what waits for an update that will not come."""
        self._losses.clear()
        self._unclipped.clear()
        self.update_kinds.drop()

    def _begin(self, optimizer: torch.optim.Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> _Arguments | None:
        if get_ident() != self._listener.thread:
            if not self.ownership.has(optimizer):
                return None
            self._listener.thread = get_ident()
        shares = self.ownership.shares(optimizer)
        loss, late = self._losses.take([share.role for share in shares])
        skipped = hasattr(optimizer, "found_inf") and _overflowed(optimizer)
        step = _Stepping(optimizer, shares, loss, late, skipped)
        if self._stepping:
            self._stepping = [other for other in self._stepping if other.optimizer is not optimizer]
        self._stepping.append(step)
        if self.looked_at is None or skipped:
            return None
        if (closure := args[1] if len(args) > 1 else kwargs.get("closure")) is None:
            self._look(step)
            return None
        shown = partial(self._evaluate, step, closure)
        return ((args[0], shown, *args[2:]), kwargs) if len(args) > 1 else (args, kwargs | {"closure": shown})

    def _evaluate(self, step: _Stepping, closure: Callable[[], Any]) -> Any:
        """Run the closure that computes the gradients of a step, and show them when it did so first."""
        result = closure()
        if step.updates is None:
            self._timed(self._look, step)
        return result

    def _look(self, step: _Stepping) -> None:
        if self.looked_at is None:
            return
        scale, shares = getattr(step.optimizer, "grad_scale", None), step.shares
        wrapping = [other for other in self._stepping if other is not step]
        updates = [
            share.update(_network(share, self._kind(share, shares)), self.looked_at, scale=scale, unclipped=self._unclipped)
            for share in _moving(shares, wrapping)
        ]
        step.updates = self._begun(updates)

    def _end(self, optimizer: torch.optim.Optimizer, *_: Any) -> None:
        if get_ident() != self._listener.thread:
            return
        step = self._stepping.pop() if self._stepping and self._stepping[-1].optimizer is optimizer else self._interrupted(optimizer)
        if step is None or step.skipped or (not step.shares and self.ownership.elsewhere(optimizer)):
            return
        if step.shares:
            step.loss = self._losses.last(step.loss)  # back-propagated by a closure, within the step
        resembled = () if step.shares else self.ownership.resembled(optimizer)
        moving = _moving(step.shares, self._stepping)
        moved = [AppliedUpdate(share, self._kind(share, step.shares), step.loss) for share in moving]
        counted = [one.share.role for one in moved if one.kind.counts]
        ends = "g" in counted and self._primary.ends_step(optimizer, alone=counted == ["g"], judged=self.update_kinds.called)
        self._primary.opposed |= counted == ["d"]
        if moving:
            self._stepped = id(optimizer)
            self.update_kinds.end(moving)
            if len(step.shares) == 1:
                self._apart.add(step.shares[0].role)
            if self._unclipped:
                for parameter in (p for share in moving for p in share.parameters):
                    self._unclipped.pop(id(parameter), None)
        self._ended(step.updates or (), moved, step.shares, resembled, late=step.late, ends=ends)

    def _interrupted(self, optimizer: torch.optim.Optimizer) -> _Stepping | None:
        """The step of an optimizer within which others have begun one that never ended; None where it began unwatched."""
        while any(begun.optimizer is optimizer for begun in self._stepping):
            step = self._stepping.pop()
            if step.optimizer is optimizer:
                return step
        return None

    def _kind(self, share: OwnedParameters, shares: Sequence[OwnedParameters]) -> UpdateKind:
        """What an update is for; where each network has an optimizer of its own, one of both trains neither of them to be a GAN."""
        if len(shares) > 1 and self._apart.issuperset(one.role for one in shares):
            return AUXILIARY
        return self.update_kinds.kind(share)

    def _on_scaled_step(self, optimizer: torch.optim.Optimizer) -> None:
        """A scaler has let an optimizer step, or has not; then its losses and calls belong to no update."""
        if self._stepped != id(optimizer) and self.ownership.shares(optimizer):
            self.drop()
        self._stepped = None

    def _on_clip(self, gradients: Sequence[Tensor]) -> None:
        if self.looked_at is not None and get_ident() == self._listener.thread:
            self._timed(self._note_unclipped, gradients)

    def _note_unclipped(self, gradients: Sequence[Tensor]) -> None:
        clipped = {id(gradient) for gradient in gradients}
        ours = {
            id(parameter): parameter.grad
            for network in self._networks.values()
            for parameter in network.parameters()
            if parameter.grad is not None and id(parameter.grad) in clipped and id(parameter) not in self._unclipped
        }
        if ours:
            self._unclipped |= zip(ours, norms_of(list(ours.values())).unbind(), strict=True)


def _moving(shares: Sequence[OwnedParameters], wrapping: Sequence[_Stepping]) -> list[OwnedParameters]:
    """What an optimizer moves of what it has, without what others that wrap it are moving just now."""
    if not wrapping:
        return [share for share in shares if share.moves]
    others = {share.role for step in wrapping for share in step.shares}
    return [share for share in shares if share.role not in others and share.moves]


def _network(share: OwnedParameters, kind: UpdateKind) -> str:
    return share.role if kind.plain else f"{share.role}_regularised"


def _overflowed(optimizer: torch.optim.Optimizer) -> bool:
    """Whether a fused optimizer is about to skip its step; on an accelerator that is not waited for."""
    found: Any = getattr(optimizer, "found_inf", None)
    return isinstance(found, Tensor) and found.device.type == "cpu" and bool(found)
