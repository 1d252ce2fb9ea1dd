"""Parameters of the networks that one optimizer has: the records that ``parameter_ownership.py`` finds and events carry."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import compress
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ganwatch.capture.step import Update


class TensorCounts(NamedTuple):
    """Numbers of a network's parameter tensors."""

    total: int
    trainable: int
    """Tensors that require a gradient."""
    held: int
    """Tensors that some optimizer holds which has stepped."""
    with_gradient: int
    """Tensors that have a gradient now, be it zero."""


@dataclass(slots=True)
class OwnedParameters:
    """Parameters of one network that one optimizer has."""

    role: str
    group: dict[str, Any]
    """The optimizer's first parameter group with some of them."""
    optimizer_number: int = 0
    """Number of optimizers that had parameters of the network before."""
    names: list[str] = field(default_factory=list)
    parameters: list[nn.Parameter] = field(default_factory=list)
    key: str = field(init=False)
    """Identifier that is the same for the same optimizer in another process."""

    def __post_init__(self) -> None:
        self.key = f"{self.role} {self.optimizer_number}"

    @property
    def has_gradient(self) -> bool:
        """True if some parameter has a gradient, so that a step updates the network."""
        return self.parameters[-1].grad is not None or any(parameter.grad is not None for parameter in self.parameters)

    def build_update(self, network: str, index: int, *, scale: Tensor | None, unclipped_norms: Mapping[int, Tensor]) -> Update:
        """Return the update that a step makes; ``unclipped_norms`` has norms of gradients by the identity of the parameter."""
        has_grad = [parameter.grad is not None for parameter in self.parameters]
        names, parameters = self.names, self.parameters
        if not all(has_grad):
            names, parameters = list(compress(names, has_grad)), list(compress(parameters, has_grad))
        norms = []
        if unclipped_norms:
            norms = [unclipped_norms[id(parameter)] for parameter in parameters if id(parameter) in unclipped_norms]
        unclipped = torch.stack(norms) if len(norms) == len(parameters) else None
        without_gradient, maximizes = len(self.parameters) - len(parameters), bool(self.group.get("maximize"))
        return Update(network, index, names, parameters, scale, unclipped, without_gradient, maximizes)


@dataclass(slots=True)
class OptimizerFacts:
    """Parameters of the networks that one optimizer has."""

    optimizer: Callable[[], torch.optim.Optimizer | None]
    """Weak reference to it."""
    sizes: list[int]
    """Number of parameters in each of its groups."""
    owned: list[OwnedParameters]
    """One entry for each network of which it has some."""
    similar_roles: list[str]
    """Networks of which it has no parameter, but parameters of the same shapes as all of theirs."""
    is_of_other_watch: bool
    """True if it belongs to networks that are watched elsewhere."""
    roles: tuple[str, ...] = field(init=False)
    is_of_one_network: bool = field(init=False)
    """True if it trains one of the networks."""

    def __post_init__(self) -> None:
        self.roles = tuple(one.role for one in self.owned)
        self.is_of_one_network = len(self.owned) == 1 and not self.is_of_other_watch


NO_FACTS = OptimizerFacts(lambda: None, [], [], [], is_of_other_watch=False)
"""Facts of no optimizer."""
