"""Taps on the updates of two networks: losses, penalties, clipping and the steps of optimizers, as events of one stream."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from ganwatch.capture.attribution.parameter_ownership import Ownership
from ganwatch.capture.attribution.update_attribution import UpdateAttribution
from ganwatch.capture.event_stream import EventStream
from ganwatch.capture.events import Event, LossDifferentiated
from ganwatch.capture.gradient_changes import GradientChanges
from ganwatch.capture.gradient_sampler import GradientSampler
from ganwatch.capture.kept_gradients import KeptGradients
from ganwatch.capture.optimizer_tap import OptimizerTap
from ganwatch.capture.step import Update
from ganwatch.capture.taps import backward_losses
from ganwatch.capture.undone_updates import UndoneUpdates


class TrainingTaps:
    """Taps from ``attach`` to ``detach``.

    Parameters
    ----------
    networks : mapping of str to nn.Module
    only : mapping of str to sequence of Optimizer, optional
        The optimizers that count for a network, if the user named them.
    handle : callable
        Handles a queue of events; must not raise.
    fail : callable
        Takes an error of a tap.
    run : callable
        Runs a function with its arguments as a part of ganwatch, and returns its result, None after an error.
    before_step : callable
        Gets an optimizer's updates of the networks before sampled steps, and returns those that it uses.

    Attributes
    ----------
    ownership : Ownership
    stream : EventStream
    attribution : UpdateAttribution
        For the handler.
    sampler : GradientSampler
    """

    def __init__(
        self,
        networks: Mapping[str, nn.Module],
        only: Mapping[str, Sequence[torch.optim.Optimizer]] | None = None,
        *,
        handle: Callable[[deque[Event]], None],
        fail: Callable[[Exception], None],
        run: Callable[..., Any],
        before_step: Callable[[Sequence[Update]], Sequence[Update]],
    ) -> None:
        self.ownership = Ownership(networks, only)
        self.stream = EventStream(handle, fail)
        self.attribution = UpdateAttribution()
        self.sampler = GradientSampler(networks, self.stream, self.attribution, run=run, before_step=before_step)
        self._changes = GradientChanges(self.ownership)
        self._kept, self._undone = KeptGradients(self._changes, self.stream), UndoneUpdates(self.stream)
        self._optimizers = OptimizerTap(
            self.ownership, self.stream, self.attribution.losses, self.sampler, kept=self._kept, undone=self._undone, run=run
        )
        self._losses = backward_losses.Listener(
            self.stream,
            self.attribution.losses,
            self._changes,
            self._kept,
            on_gradient=partial(run, self._on_gradient),
            on_scaled_step=partial(run, self._optimizers.end_scaled_step),
        )

    def attach(self) -> None:
        """Begin to listen to torch."""
        backward_losses.add_listener(self._losses)
        self.sampler.attach()
        self._optimizers.attach()

    def detach(self) -> None:
        """Remove all listeners."""
        backward_losses.remove_listener(self._losses)
        self.sampler.detach()
        self._optimizers.detach()
        self._kept.clear()
        self._undone.clear()

    def _on_gradient(self, loss: Tensor, parameters: Sequence[Any]) -> None:
        roles = self._changes.find_complete(parameters)
        if roles:
            self.stream.put(LossDifferentiated(loss.clone(), roles))

    def drop_pending(self) -> None:
        """Drop all that waits for an update that will not come."""
        self.attribution.drop_pending()
        self._kept.clear()
        self._undone.clear()
        self.sampler.drop_pending()
