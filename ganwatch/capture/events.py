"""Events that the taps on torch emit, in the order in which they happen: small typed facts, complete when they are made.

Attribution (``attribution/update_attribution.py``) needs nothing else, so that events may be handled at once or some steps later. A tap
creates one with ``tuple.__new__(Class, (…))``, which runs no Python code, because code that runs once a step runs from cold caches.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ganwatch.capture.attribution.owned_parameters import OptimizerFacts, OwnedParameters


class NetworkCalled(NamedTuple):
    """A watched network was called."""

    role: str
    is_differentiable: bool = True
    """True if gradients were enabled."""
    has_grad_leaf: bool = False
    """True if an argument is a leaf that requires a gradient, as for a gradient penalty."""


class BackwardDone(NamedTuple):
    """A backward pass has ended."""

    losses: tuple[Tensor, ...]
    """Scalars that were back-propagated, detached and unscaled."""
    held: Collection[str] | None = None
    """Networks that had gradients before it; None if losses are not traced to networks."""
    reached: Collection[str] | None = None
    """Networks whose gradients it changed; None likewise."""


class LossDifferentiated(NamedTuple):
    """``torch.autograd.grad`` has computed the gradients of a loss."""

    loss: Tensor
    roles: Collection[str]
    """Networks with all their parameters among those that it was differentiated by."""


class PenaltyComputed(NamedTuple):
    """Gradients were computed in order to be differentiated again."""


class OptimizerBegan(NamedTuple):
    """An optimizer's step begins."""

    optimizer: torch.optim.Optimizer
    facts: OptimizerFacts
    is_skipped: bool = False
    """True if the optimizer is about to skip it, because a scaler found gradients that are not finite."""
    outer: Sequence[torch.optim.Optimizer] = ()
    """Optimizers within whose steps it runs, as that of one that wraps it."""


class OptimizerEnded(NamedTuple):
    """An optimizer's step has ended."""

    optimizer: torch.optim.Optimizer
    facts: OptimizerFacts
    with_gradient: Sequence[OwnedParameters]
    """Parameters of the networks that had a gradient."""
    learning_rates: Sequence[Any]
    """Learning rates of those, as the optimizer has them; None where it has none."""
    wall_time: float
    """Unix time, in seconds."""
    trains_others: bool = False
    """True if it also updates parameters of other networks, such as latents; False if all of the networks had a gradient."""


class ScalerStepped(NamedTuple):
    """A scaler let an optimizer step, or skipped its step."""

    optimizer: torch.optim.Optimizer
    facts: OptimizerFacts


class WiringFact(NamedTuple):
    """A fact about the loop was found at a step of an optimizer."""

    series: str
    value: float | Tensor


class BatchLoaded(NamedTuple):
    """The loop has got a batch of real data."""

    waiting_time: float
    """Time that it waited for the batch, in seconds."""
    batch: list[Any]
    """The batch, in a list that is emptied once newer ones have come."""


class ReadingLogged(NamedTuple):
    """The loop has logged a reading of its own."""

    series: str
    value: float | Tensor


Event = (
    NetworkCalled
    | BackwardDone
    | LossDifferentiated
    | PenaltyComputed
    | OptimizerBegan
    | OptimizerEnded
    | ScalerStepped
    | WiringFact
    | BatchLoaded
    | ReadingLogged
)
