"""Builds a ``Step`` from what happens to two networks: calls, back-propagated losses, optimizer steps.

A step ends with the generator's optimizer step. Which batch the discriminator saw is recognised by storage first (what the
generator returned, detached or not, and what the loader delivered), then by value (clones, and real and fake in one call);
what is neither stays ``unknown``.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

from ganwatch.capture import backward_losses, forward_calls
from ganwatch.capture.step import Call, Step, Update, detached, last_leaf
from ganwatch.contracts import Probe

REMEMBERED = 16
"""Generator outputs and loader batches by which a discriminator's input is recognised."""
CALLS_KEPT = 64
"""Calls kept between two steps, so that a long critic-only phase takes no more memory."""


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

    Raises
    ------
    ValueError
        A network has no parameters, or both are the same.
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
                    raise ValueError(f"networks must not share parameters, got {name!r} in both g and d")
            if not any(known == role for known, _ in self._names.values()):
                raise ValueError(f"network {role!r} must have parameters, got {type(module).__name__} without any")
        self._fakes: deque[Tensor] = deque(maxlen=REMEMBERED)
        self._reals: deque[Tensor] = deque(maxlen=REMEMBERED)
        self._pending_losses: list[Tensor] = []
        self._current = Step(1)
        self._observer_time = 0.0
        for module in self.networks.values():
            forward_calls.watch(module, self._on_call)
        backward_losses.listen(self._on_loss)
        self._handles = [
            register_optimizer_step_pre_hook(self._before_step),
            register_optimizer_step_post_hook(self._after_step),
        ]
        self._open = True

    def restart(self, index: int) -> None:
        """Count on from a number of steps, with nothing pending."""
        self.index = index
        self._current = Step(index + 1)
        self._pending_losses = []

    def close(self) -> bool:
        """Leave no hook behind; False where that was done before."""
        if not self._open:
            return False
        self._open = False
        for module in self.networks.values():
            forward_calls.unwatch(module)
        backward_losses.unlisten(self._on_loss)
        for handle in self._handles:
            handle.remove()
        return True

    def arrived(self, batch: Any, waited: float) -> None:
        """Say that what the loop is about to use is real data: a tensor, or a nest whose floating tensors are samples.

        ``waited`` is the time in seconds that the loop waited for it.
        """
        self._current.data_time = (self._current.data_time or 0.0) + waited
        for tensor in _tensors(batch):
            if tensor.is_floating_point() and tensor.ndim >= 2:
                self._reals.append(tensor.detach())

    def _timed(self, part: str, action: Callable[[], Any]) -> None:
        if self.paused:
            return
        start = time.perf_counter()
        self.guard(part, action)
        self._observer_time += time.perf_counter() - start

    def _on_call(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        self._timed("capture", lambda: self._record_call(module, args, kwargs, output))

    def _record_call(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        given = _tensors((args, kwargs))
        if module is self.networks["g"]:
            call = Call("g", tuple(x.detach() for x in given), detached(output), "latent", module.training)
            for tensor in _tensors(call.output):
                if tensor.is_floating_point() and tensor.ndim >= 2:
                    self._fakes.append(tensor)
            self._keep(call)
            return
        leaf = last_leaf(output)
        samples = next((x for x in given if x.is_floating_point() and x.ndim >= 2), None)
        if leaf is None or samples is None:
            return
        attached = any(x.requires_grad for x in given)
        calls = []
        for batch, part in self._recognise(samples.detach()):
            inputs = tuple(x.detach()[part] if x.ndim else x.detach() for x in given)
            calls.append((part, Call("d", inputs, leaf.detach()[part], batch, module.training, attached)))
        for _, call in calls:
            self._keep(call)
        if leaf.requires_grad and any(probe.wants_slopes and probe.due(self.index + 1) for probe in self.probes):
            leaf.register_hook(partial(_take_slope, calls))  # type: ignore[no-untyped-call]  # torch publishes no type here

    def _keep(self, call: Call) -> None:
        self._current.calls.append(call)
        if len(self._current.calls) > CALLS_KEPT:
            del self._current.calls[0]

    def _recognise(self, samples: Tensor) -> list[tuple[str, slice]]:
        everything = slice(None)
        storage = samples.untyped_storage().data_ptr()
        for batch, known in (("fake", self._fakes), ("real", self._reals)):
            if any(tensor.untyped_storage().data_ptr() == storage for tensor in known):
                return [(batch, everything)]
        for batch, known in (("fake", self._fakes), ("real", self._reals)):
            if any(tensor.shape == samples.shape and torch.equal(tensor, samples) for tensor in known):
                return [(batch, everything)]
        parts: list[tuple[str, slice]] = []
        start = 0
        while start < len(samples):
            found = self._recognise_part(samples, start)
            if found is None:
                return [("unknown", everything)]
            parts.append(found)
            start = found[1].stop
        return parts

    def _recognise_part(self, samples: Tensor, start: int) -> tuple[str, slice] | None:
        for batch, known in (("fake", self._fakes), ("real", self._reals)):
            for tensor in reversed(known):
                stop = start + len(tensor)
                if tensor.shape[1:] == samples.shape[1:] and stop <= len(samples) and torch.equal(tensor, samples[start:stop]):
                    return batch, slice(start, stop)
        return None

    def _on_loss(self, loss: Tensor) -> None:
        if not self.paused:
            self._pending_losses.append(loss)

    def _before_step(self, optimizer: torch.optim.Optimizer, *_: Any) -> None:
        self._timed("capture", lambda: self._record_update(optimizer, "before_update"))

    def _after_step(self, optimizer: torch.optim.Optimizer, *_: Any) -> None:
        self._timed("capture", lambda: self._record_update(optimizer, "after_update"))

    def _record_update(self, optimizer: torch.optim.Optimizer, moment: str) -> None:
        for role, update in self._updates_of(optimizer).items():
            first = not self._current.updates.get(role)
            if first:
                for probe in self.probes:
                    if probe.due(update.index):
                        self.guard(f"probe {probe.name}", partial(getattr(probe, moment), update))
            if moment == "before_update":
                self._take_losses(role)
                continue
            self._current.updates[role] = self._current.updates.get(role, 0) + 1
            self._current.learning_rates[role] = update.learning_rate
            if role == "g":
                self._tick()

    def _updates_of(self, optimizer: torch.optim.Optimizer) -> dict[str, Update]:
        found: dict[str, tuple[list[str], list[nn.Parameter], float]] = {}
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                role, name = self._names.get(id(parameter), ("", ""))
                if role and parameter.grad is not None:
                    names, parameters, _ = found.setdefault(role, ([], [], float(group["lr"])))
                    names.append(name)
                    parameters.append(parameter)
        return {
            role: Update(role, self.index + 1, names, parameters, rate, optimizer) for role, (names, parameters, rate) in found.items()
        }

    def _take_losses(self, role: str) -> None:
        if self._pending_losses:
            self._current.losses[role] = torch.stack([loss.reshape(()) for loss in self._pending_losses]).sum()
            self._pending_losses = []

    def _tick(self) -> None:
        step, self.index = self._current, self.index + 1
        step.observer_time, self._observer_time = self._observer_time, 0.0
        self._current = Step(self.index + 1)
        self.on_step(step)


def _take_slope(calls: Sequence[tuple[slice, Call]], grad: Tensor) -> None:
    if not torch.is_grad_enabled():
        for part, call in calls:
            call.slope = grad.detach()[part]


def _tensors(nest: Any) -> list[Tensor]:
    if isinstance(nest, Tensor):
        return [nest]
    if isinstance(nest, Mapping):
        return [tensor for value in nest.values() for tensor in _tensors(value)]
    if isinstance(nest, list | tuple):
        return [tensor for value in nest for tensor in _tensors(value)]
    return []
