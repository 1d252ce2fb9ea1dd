"""Tap on back-propagation: reports scalar losses, and gradients that are computed for a penalty.

While somebody listens, four functions are wrapped: ``torch.autograd.backward``, the engine call beneath it and ``torch.autograd.grad``
(code may have imported the latter by name), and two methods of ``GradScaler``. A loss that was scaled for mixed precision is reported
unscaled. A weight that ``loss.backward(-one)`` gives it is applied. A backward pass within another one, as checkpointing runs it, is not
reported, nor are other threads.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, MutableMapping, Sequence
from dataclasses import dataclass
from threading import get_ident
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.amp.grad_scaler import GradScaler
from torch.utils.weak import WeakIdKeyDictionary

from ganwatch.capture.event_stream import EventStream
from ganwatch.capture.events import BackwardDone, PenaltyComputed
from ganwatch.capture.taps.patches import Patch


class LossState(Protocol):
    """State of the losses that wait for their updates."""

    is_clear: bool
    """True if losses need not be traced to networks."""


class GradientWatch(Protocol):
    """Tells which networks a backward pass reaches."""

    def look(self) -> Any:
        """Look at the gradients before a backward pass."""

    def find_roles(self, before: Any) -> tuple[Collection[str], Collection[str]]:
        """Return the networks that had gradients when ``look`` returned ``before``, and those whose gradients have changed since."""


class BackwardWatch(Protocol):
    """Looks at gradients before and after a backward pass."""

    @property
    def watches(self) -> Sequence[Any]:
        """Gradients that it looks at; while there are none, it need not be called."""

    def begin_backward(self) -> Any:
        """Look before it."""

    def end_backward(self, before: Any) -> None:
        """Look after it; ``before`` is what ``begin_backward`` returned."""


@dataclass(slots=True)
class Listener:
    """Receiver of the back-propagation of one thread.

    While the stream is quiet, a loss is appended to it without any further call, unless it has to be traced.
    """

    stream: EventStream
    losses: LossState
    gradients: GradientWatch
    kept: BackwardWatch
    on_gradient: Callable[[Tensor, Sequence[Any]], None]
    """Gets every scalar, detached, that ``autograd.grad`` differentiates by parameters, and these parameters."""
    on_scaled_step: Callable[[torch.optim.Optimizer], None]
    """Gets an optimizer after a scaler let it step, or skipped its step because gradients were not finite."""

    def report(self, losses: tuple[Tensor, ...], before: Any) -> None:
        """Report a backward pass and its scalars; ``before`` is None if it was not traced."""
        if before is None:
            if self.stream.has_loss:  # two for one update: unusual, where losses are not traced
                self.stream.stop_quiet()
            self.stream.put(BackwardDone(losses))
        else:
            self.stream.put(BackwardDone(losses, *self.gradients.find_roles(before)))
        self.stream.has_loss = True


PENALTY = PenaltyComputed()

_listeners: list[Listener] = []
_unscaled: MutableMapping[Tensor, tuple[Tensor, Tensor]] = WeakIdKeyDictionary()
"""By scaled loss: the loss and its scale."""
_only_listener: Listener | None = None
"""The listener, if there is one alone and no loss was scaled yet."""
_has_scaled = False
"""True once a loss was scaled."""
_passes: dict[int, tuple[Any, Tensor | None]] = {}
"""By thread: the tensors and the scale of the outermost backward pass that is running."""


def _backward(tensors: Any, grad_tensors: Any = None, *args: Any, **kwargs: Any) -> Any:
    thread = get_ident()
    listener = _only_listener
    if listener is None or listener.kept.watches or grad_tensors is not None or not isinstance(tensors, Tensor):
        return _backward_any(tensors, grad_tensors, *args, **kwargs)
    stream = listener.stream
    if stream.thread != thread or thread in _passes:
        return _backward_patch.original(tensors, None, *args, **kwargs)
    before = None if listener.losses.is_clear else _look(listener)
    _passes[thread] = tensors, None
    try:
        result = _backward_patch.original(tensors, None, *args, **kwargs)
    finally:
        del _passes[thread]
    try:
        losses = (tensors.data.clone(),) if tensors.numel() == 1 else ()  # a loop may change its loss in place
        if before is None and stream.is_quiet and not stream.has_loss:
            stream.has_loss = True
            stream.emit(tuple.__new__(BackwardDone, (losses, None, None)))
        else:
            listener.report(losses, before)
    except Exception as error:  # noqa: BLE001  # counted and logged
        _backward_patch.fail(error)
    return result


def _backward_any(tensors: Any, grad_tensors: Any, *args: Any, **kwargs: Any) -> Any:
    """Run a backward pass of any kind, for any number of listeners; the usual one is handled above without further calls."""
    listeners, thread = _thread_listeners(), get_ident()
    if not listeners or thread in _passes:
        return _backward_patch.original(tensors, grad_tensors, *args, **kwargs)
    losses = tensors if isinstance(tensors, list | tuple) else (tensors,)
    originals = [_find_unscaled(loss) for loss in losses]
    _passes[thread] = tensors, next((original[1] for original in originals[:1] if original), None)
    before = [None if listener.losses.is_clear else _look(listener) for listener in listeners]
    watches = [(kept, _begin(kept)) for listener in listeners if (kept := listener.kept).watches]
    try:
        result = _backward_patch.original(tensors, grad_tensors, *args, **kwargs)
    finally:
        del _passes[thread]
    for kept, looked in watches:
        _end(kept, looked)
    scalars = _weigh_scalars([original[0] if original else loss for loss, original in zip(losses, originals, strict=True)], grad_tensors)
    for listener, looked in zip(listeners, before, strict=True):
        _report(listener, scalars, looked)
    return result


def _find_unscaled(loss: Any) -> tuple[Tensor, Tensor] | None:
    return _unscaled.get(loss) if isinstance(loss, Tensor) else None


def _weigh_scalars(losses: Sequence[Any], weights: Any) -> tuple[Tensor, ...]:
    """Return the scalar losses with the weights that the backward pass gives them."""
    weights = weights if isinstance(weights, list | tuple) else [weights] * len(losses)
    pairs = zip(losses, weights, strict=False)
    # torch also accepts edges of the graph
    return tuple(_weigh(loss, weight) for loss, weight in pairs if isinstance(loss, Tensor) and loss.numel() == 1)


def _weigh(loss: Tensor, weight: Tensor | None) -> Tensor:
    return loss.data.clone() if weight is None else loss.detach() * weight.detach().reshape(loss.shape)


def _look(listener: Listener) -> Any:
    try:
        return listener.gradients.look()
    except Exception as error:  # noqa: BLE001  # counted and logged
        _backward_patch.fail(error)
        return None


def _begin(watch: BackwardWatch) -> Any:
    try:
        return watch.begin_backward()
    except Exception as error:  # noqa: BLE001  # counted and logged
        _backward_patch.fail(error)
        return None


def _end(watch: BackwardWatch, before: Any) -> None:
    try:
        watch.end_backward(before)
    except Exception as error:  # noqa: BLE001  # counted and logged
        _backward_patch.fail(error)


def _report(listener: Listener, losses: tuple[Tensor, ...], before: Any) -> None:
    try:
        listener.report(losses, before)
    except Exception as error:  # noqa: BLE001  # counted and logged
        _backward_patch.fail(error)


def _engine(*args: Any, **kwargs: Any) -> Any:
    result = _engine_patch.original(*args, **kwargs)
    if not kwargs.get("accumulate_grad"):
        try:
            _report_gradient(*args[:5])
        except Exception as error:  # noqa: BLE001  # counted and logged
            _engine_patch.fail(error)
    return result


def _report_gradient(outputs: Any, _weights: Any, _retain_graph: Any, create_graph: Any, inputs: Any) -> None:
    """Report gradients that ``autograd.grad`` has computed."""
    if create_graph:
        for listener in _thread_listeners():
            listener.stream.put(PENALTY)
    elif isinstance(inputs[0], nn.Parameter) and len(outputs) == 1 and isinstance(outputs[0], Tensor) and outputs[0].numel() == 1:
        for listener in _thread_listeners():
            listener.on_gradient(outputs[0].detach(), inputs)


def _thread_listeners() -> list[Listener]:
    thread = get_ident()
    return [listener for listener in _listeners if listener.stream.thread == thread]


def _scale(self: GradScaler, outputs: Any) -> Any:
    result = _scale_patch.original(self, outputs)
    if isinstance(outputs, Tensor) and result is not outputs:
        _note_scaled()
        _unscaled[result] = (outputs.detach(), _scale_patch.original(self, torch.ones((), device=outputs.device)))
    return result


def _step(self: GradScaler, optimizer: torch.optim.Optimizer, *args: Any, **kwargs: Any) -> Any:
    result = _step_patch.original(self, optimizer, *args, **kwargs)
    try:
        for listener in _thread_listeners():
            listener.on_scaled_step(optimizer)
    except Exception as error:  # noqa: BLE001  # counted and logged
        _step_patch.fail(error)
    return result


_backward_patch = Patch("torch.autograd:backward", _backward, "losses are not seen")
_engine_patch = Patch("torch.autograd:_engine_run_backward", _engine, "gradient penalties and losses of autograd.grad are not recognised")
_scale_patch = Patch("torch.amp.grad_scaler:GradScaler.scale", _scale, "losses of mixed precision are read with their scale")
_step_patch = Patch("torch.amp.grad_scaler:GradScaler.step", _step, "updates that a scaler skips are not counted")
_all_patches = _backward_patch, _engine_patch, _scale_patch, _step_patch


def current_scale() -> Tensor | None:
    """Scale of the loss whose backward pass is running; None if it was not scaled."""
    return _current_pass()[1]


def current_loss() -> Tensor | None:
    """Tensor whose backward pass is running; None if there are several."""
    tensors = _current_pass()[0]
    return tensors if isinstance(tensors, Tensor) else None


def _current_pass() -> tuple[Any, Tensor | None]:
    """Tensors and scale of this thread's backward pass; on an accelerator hooks run in an engine thread, then of the only pass."""
    thread = get_ident()
    return _passes[thread] if thread in _passes else next(iter([*_passes.values()]), (None, None))


def _note_scaled() -> None:
    global _has_scaled  # noqa: PLW0603  # a fact of the process
    _has_scaled = True
    _choose_only_listener()


def _choose_only_listener() -> None:
    global _only_listener  # noqa: PLW0603  # read at every backward pass
    _only_listener = _listeners[0] if len(_listeners) == 1 and not _has_scaled else None


def add_listener(listener: Listener) -> None:
    """Call the listener's functions from now on."""
    _listeners.append(listener)
    _choose_only_listener()
    for patch in _all_patches:
        patch.install()


def remove_listener(listener: Listener) -> None:
    """Undo ``add_listener``."""
    _listeners.remove(listener)
    _choose_only_listener()
    if not _listeners:
        for patch in _all_patches:
            patch.remove()
