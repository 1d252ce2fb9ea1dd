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
from itertools import compress
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook
from torch.utils.hooks import RemovableHandle

from ganwatch.capture import backward_losses, forward_calls
from ganwatch.capture.recognition import EVERYTHING, Recognition
from ganwatch.capture.step import Arguments, Call, Step, Update, detached, score_leaf, tensors
from ganwatch.contracts import Probe
from ganwatch.errors import UserError

LOSSES_KEPT = 256
"""Back-propagated losses that may wait for the update that they belong to."""
CARRIED = 16
"""Steps for which a discriminator's calls stand for those that follow without one: it may be updated more seldom than the generator."""


MOMENTS = ("before_update", "after_update")
NOBODY: dict[str, list[Probe]] = {moment: [] for moment in MOMENTS}

_Role = tuple[str, list[str], list[nn.Parameter], dict[str, Any]]
"""A network, names and parameters of it that an optimizer has, and the first group that has them."""


@dataclass(slots=True)
class _Watched:
    """What an optimizer has of the networks, found out once."""

    shape: list[tuple[int, int]]
    roles: list[_Role]
    updates: dict[str, Update] = field(default_factory=dict)


class Recorder:
    """Watches one generator and one discriminator until ``close``.

    Parameters
    ----------
    networks : mapping of str to nn.Module
        ``{"g": generator, "d": discriminator}``.
    probes : sequence of Probe
        Those that are due see updates as they happen.
    on_step : callable
        Gets every finished ``Step``.
    guard : callable
        Runs a part of ganwatch so that no error of it reaches the loop.

    Attributes
    ----------
    index : int
        Steps counted so far.
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
    ) -> None:
        self.networks = dict(networks)
        self.probes, self.on_step, self.guard = probes, on_step, guard
        self.index = 0
        self.paused = False
        self._names: dict[int, tuple[str, str]] = {}
        for role, module in self.networks.items():
            for name, parameter in module.named_parameters():
                if self._names.setdefault(id(parameter), (role, name))[0] != role:
                    raise UserError(f"generator and discriminator must not share parameters, got {name!r} in both")
            if not any(known == role for known, _ in self._names.values()):
                raise UserError(f"network {role!r} must have parameters, got {type(module).__name__} without any")
        self._recognition = Recognition()
        self._parts: weakref.WeakKeyDictionary[torch.optim.Optimizer, _Watched] = weakref.WeakKeyDictionary()
        self._overriding = {moment: [probe for probe in probes if _overrides(probe, moment)] for moment in MOMENTS}
        self._watching = [probe for probe in probes if probe.wants_slopes or any(probe in self._overriding[m] for m in MOMENTS)]
        self._due: dict[str, list[Probe]] = NOBODY
        self._slopes_due = False
        self._restarted = True
        self._pending_losses: deque[Tensor] = deque(maxlen=LOSSES_KEPT)
        self._current = Step(1)
        self.spent = 0.0
        self._spent_before = 0.0
        self._handles: list[RemovableHandle] = []
        self._open = True
        self._plan()
        self._hook()

    def restart(self, index: int) -> None:
        """Count on from a number of steps, with nothing pending."""
        self.index = index
        self._current = Step(index + 1)
        self._pending_losses.clear()
        self._restarted = True
        self._plan()

    def _plan(self) -> None:
        """Find out which probes want to see the step that begins."""
        due = [probe for probe in self._watching if self.guard(f"probe {probe.name}", partial(probe.due, self.index + 1))]
        self._due = {moment: [probe for probe in due if probe in self._overriding[moment]] for moment in MOMENTS} if due else NOBODY
        self._slopes_due = any(probe.wants_slopes for probe in due)

    def close(self) -> bool:
        """Leave no hook behind; False where that was done before."""
        if not self._open:
            return False
        self._open = False
        self._unhook()
        return True

    def _hook(self) -> None:
        for module in self.networks.values():
            forward_calls.watch(module, self._on_call)
        backward_losses.listen(self._on_loss)
        self._handles = [
            register_optimizer_step_pre_hook(self._before_step),
            register_optimizer_step_post_hook(self._after_step),
        ]

    def _unhook(self) -> None:
        for module in self.networks.values():
            forward_calls.unwatch(module)
        backward_losses.unlisten(self._on_loss)
        for handle in self._handles:
            handle.remove()

    def arrived(self, batch: Any, waited: float) -> None:
        """Say that what the loop is about to use is real data: a tensor, or a nest whose floating tensors are samples.

        ``waited`` is the time in seconds that the loop waited for it.
        """
        self._current.data_time = (self._current.data_time or 0.0) + waited
        for tensor in tensors(batch):
            self._recognition.remember("real", tensor.detach())

    def _timed(self, part: str, action: Callable[[], Any]) -> None:
        if self.paused:
            return
        start = time.perf_counter()
        self.guard(part, action)
        self.spent += time.perf_counter() - start

    def _on_call(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        self._timed("capture", partial(self._record_call, module, args, kwargs, output))

    def _record_call(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        given = tensors(args) + tensors(kwargs) if kwargs else tensors(args)
        if module is self.networks["g"]:
            made = tensors(output)
            graded = any(x.requires_grad for x in made)
            made = [_bare(x) for x in made]
            for tensor in made:
                self._recognition.remember("fake", tensor)
            arguments = _arguments(args, kwargs) if self._restarted else None
            inputs = tuple(map(_bare, given))
            self._keep(Call("g", inputs, made, "latent", module.training, self.index + 1, graded=graded, arguments=arguments))
            return
        leaf = score_leaf(output)
        samples = next((x for x in given if x.ndim >= 2 and x.is_floating_point()), None)
        if leaf is None or samples is None:
            return
        attached = any(x.requires_grad for x in given)
        graded, score = leaf.requires_grad, _bare(leaf)
        inputs = tuple(map(_bare, given))
        calls = []
        for batch, part in self._recognition.parts(_bare(samples)):
            if part is not EVERYTHING:
                inputs_of = tuple(x[part] if x.ndim else x for x in inputs)
                call = Call("d", inputs_of, score[part] if score.ndim else score, batch, module.training, self.index + 1, attached, graded)
            else:
                call = Call("d", inputs, score, batch, module.training, self.index + 1, attached, graded)
            calls.append((part, call))
            self._keep(call)
        if graded and self._slopes_due and leaf.ndim:
            leaf.register_hook(partial(self._on_slope, calls))  # type: ignore[no-untyped-call]  # torch publishes no type here

    def _keep(self, call: Call) -> None:
        """Of calls that differ in nothing but time the last one stays, so that no more than a few batches are held.

        One that only looks, such as at reals for comparison in G's phase, does not replace one that trains.
        """
        kind = (call.network, call.batch, call.attached)
        for position, other in enumerate(self._current.calls):
            if (other.network, other.batch, other.attached) == kind:
                if other.graded and not call.graded:
                    return
                del self._current.calls[position]
                break
        self._current.calls.append(call)

    def _on_slope(self, calls: Sequence[tuple[slice, Call]], grad: Tensor) -> None:
        self._timed("capture", partial(_take_slope, calls, grad))

    def _on_loss(self, loss: Tensor) -> None:
        if not self.paused:
            self._pending_losses.append(loss)

    def _before_step(self, optimizer: torch.optim.Optimizer, *_: Any) -> None:
        self._timed("capture", partial(self._record_update, optimizer, "before_update"))

    def _after_step(self, optimizer: torch.optim.Optimizer, *_: Any) -> None:
        self._timed("capture", partial(self._record_update, optimizer, "after_update"))

    def _record_update(self, optimizer: torch.optim.Optimizer, moment: str) -> None:
        for role, update in self._updates_of(optimizer, anew=moment == "before_update").items():
            if role not in self._current.updates:
                for probe in self._due[moment]:
                    self.guard(f"probe {probe.name}", partial(getattr(probe, moment), update))
            if moment == "before_update":
                self._take_losses(role)
                continue
            if self._pending_losses:  # back-propagated by a closure, within the step: the last evaluation counts
                self._current.losses[role] = self._pending_losses.pop().reshape(())
                self._pending_losses.clear()
            self._current.updates[role] = self._current.updates.get(role, 0) + 1
            self._current.learning_rates[role] = update.learning_rate
            if role == "g":
                self._tick()

    def _updates_of(self, optimizer: torch.optim.Optimizer, *, anew: bool) -> dict[str, Update]:
        """What an optimizer's step means for each network; ``anew`` before the step, afterwards as it was then."""
        watched = self._parts.get(optimizer)
        shape = [(id(group["params"]), len(group["params"])) for group in optimizer.param_groups]
        if watched is None or watched.shape != shape:
            watched = self._parts[optimizer] = _Watched(shape, self._roles_of(optimizer))
        if not anew and watched.updates:
            updates, watched.updates = watched.updates, {}
            return updates
        watched.updates = {}
        for role, all_names, all_parameters, group in watched.roles:
            names, parameters = _with_gradient(all_names, all_parameters)
            if parameters:
                watched.updates[role] = Update(role, self.index + 1, names, parameters, float(group["lr"]))
        return watched.updates

    def _roles_of(self, optimizer: torch.optim.Optimizer) -> list[_Role]:
        found: dict[str, _Role] = {}
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                role, name = self._names.get(id(parameter), ("", ""))
                if role:
                    _, names, parameters, _ = found.setdefault(role, (role, [], [], group))
                    names.append(name)
                    parameters.append(parameter)
        return list(found.values())

    def _take_losses(self, role: str) -> None:
        if len(self._pending_losses) == 1:
            self._current.losses[role] = self._pending_losses[0].reshape(())
        elif self._pending_losses:
            self._current.losses[role] = torch.stack([loss.reshape(()) for loss in self._pending_losses]).sum()
        self._pending_losses.clear()

    def _tick(self) -> None:
        step, self.index = self._current, self.index + 1
        step.observer_time, self._spent_before = self.spent - self._spent_before, self.spent
        carried = [call for call in step.calls if call.network == "d" and not call.attached and call.index > self.index - CARRIED]
        self._current = Step(self.index + 1, calls=carried)
        self._restarted = False
        self._plan()
        self.on_step(step)


def _take_slope(calls: Sequence[tuple[slice, Call]], grad: Tensor) -> None:
    if not torch.is_grad_enabled():
        for part, call in calls:
            call.slope = grad.detach()[part]


def _bare(tensor: Tensor) -> Tensor:
    """The tensor without its graph."""
    return tensor.detach() if tensor.requires_grad else tensor


def _with_gradient(names: list[str], parameters: list[nn.Parameter]) -> tuple[list[str], list[nn.Parameter]]:
    has = [parameter.grad is not None for parameter in parameters]
    return (names, parameters) if all(has) else (list(compress(names, has)), list(compress(parameters, has)))


def _overrides(probe: Probe, moment: str) -> bool:
    return getattr(getattr(probe, moment), "__func__", None) is not getattr(Probe, moment)


def _arguments(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Arguments | None:
    try:
        return detached(args), detached(kwargs)
    except TypeError:
        return None
