"""Which parameters of which network an optimizer has, found out once."""

from __future__ import annotations

import weakref
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import compress
from typing import Any

import torch
from torch import Tensor, nn

from ganwatch.capture.step import Update
from ganwatch.capture.taps import forward_calls
from ganwatch.core.errors import UserError


class Several(nn.ModuleDict):
    """Networks that share a role, such as the two generators of a cycle; the first one stands for it."""


def members(network: nn.Module) -> list[nn.Module]:
    """The networks of a role."""
    return list(network.values()) if isinstance(network, Several) else [network]


@dataclass(slots=True)
class OwnedParameters:
    """What an optimizer has of one network."""

    role: str
    group: dict[str, Any]
    """The first of its groups that has some."""
    place: int = 0
    """How many other optimizers had some of the network before."""
    names: list[str] = field(default_factory=list)
    parameters: list[nn.Parameter] = field(default_factory=list)
    key: str = field(init=False)
    """The same for the same optimizer of another process."""

    def __post_init__(self) -> None:
        self.key = f"{self.role} {self.place}"

    @property
    def moves(self) -> bool:
        """Whether a step would move the network: some parameter has a gradient."""
        return self.parameters[-1].grad is not None or any(parameter.grad is not None for parameter in self.parameters)

    def update(self, network: str, index: int, *, scale: Tensor | None, unclipped: Mapping[int, Tensor]) -> Update:
        """What a step means for the network; ``unclipped`` has norms of gradients by the identity of the parameter."""
        has = [parameter.grad is not None for parameter in self.parameters]
        names, parameters = self.names, self.parameters
        if not all(has):
            names, parameters = list(compress(names, has)), list(compress(parameters, has))
        norms = [unclipped[id(parameter)] for parameter in parameters if id(parameter) in unclipped] if unclipped else []
        return Update(network, index, names, parameters, scale, torch.stack(norms) if len(norms) == len(parameters) else None)


@dataclass(slots=True)
class _Known:
    optimizer: weakref.ref[torch.optim.Optimizer]
    sizes: list[int]
    shares: list[OwnedParameters]
    resembled: list[str]
    elsewhere: bool


class Ownership:
    """Parameters by network.

    Parameters
    ----------
    networks : mapping of str to nn.Module
    only : mapping of str to sequence of Optimizer, optional
        The optimizers that count for a network, where they were named.

    Attributes
    ----------
    ends : list of tuple of str and Parameter
        Role and parameter, for the first and the last parameter of each network.

    Raises
    ------
    UserError
        A network has no parameters, or two share some.

    Examples
    --------
    >>> g, d = nn.Linear(2, 1), nn.Linear(1, 1)
    >>> owned = Ownership({"g": g, "d": d})
    >>> [(share.role, share.names) for share in owned.shares(torch.optim.SGD(g.parameters(), lr=0.1))]
    [('g', ['weight', 'bias'])]
    """

    def __init__(self, networks: Mapping[str, nn.Module], only: Mapping[str, Sequence[torch.optim.Optimizer]] | None = None) -> None:
        self._networks = dict(networks)
        self._known: dict[int, _Known] = {}
        self._only = {role: weakref.WeakSet([*map(_stepping, named), *named]) for role, named in (only or {}).items()}
        self._look_up()
        for role, module in networks.items():
            for name, parameter in module.named_parameters():
                if self._names[id(parameter)][0] != role:
                    raise UserError(f"generator and discriminator must not share parameters, got {name!r} in both")
            if not any(known == role for known, _ in self._names.values()):
                raise UserError(f"network {role!r} must have parameters, got {type(module).__name__} without any")

    def _look_up(self) -> None:
        """Find out what the networks consist of; they may grow."""
        self._names: dict[int, tuple[str, str]] = {}
        self._shapes: dict[str, Counter[torch.Size]] = {}
        self.ends: list[tuple[str, nn.Parameter]] = []
        for role, module in self._networks.items():
            parameters = dict(module.named_parameters())
            for name, parameter in parameters.items():
                self._names.setdefault(id(parameter), (role, name.replace("_orig_mod.", "")))  # of a compiled module
            every = list(parameters.values())
            self._shapes[role] = Counter(parameter.shape for parameter in every)
            self.ends += [(role, parameter) for parameter in (every[0], every[-1])] if every else []

    def shares(self, optimizer: torch.optim.Optimizer) -> list[OwnedParameters]:
        """One a network that the optimizer has parameters of; found out anew when its groups have changed."""
        known = self._known.get(id(optimizer))
        if known is not None and known.optimizer() is optimizer:  # most often, and in haste
            for group, size in zip(optimizer.param_groups, known.sizes, strict=False):
                if len(group["params"]) != size:
                    break
            else:
                if len(optimizer.param_groups) == len(known.sizes):
                    return known.shares
        sizes = [len(group["params"]) for group in optimizer.param_groups]
        self._known = {key: entry for key, entry in self._known.items() if entry.optimizer() is not None}
        self._known.pop(id(optimizer), None)
        given = [p for group in optimizer.param_groups for p in group["params"] if isinstance(p, nn.Parameter)]
        if given:  # rather than latents, of which every batch may have its own optimizer
            self._look_up()
        shares = self._find(optimizer)
        elsewhere = bool(given) and not shares and forward_calls.any_has([p for p in given if id(p) not in self._names])
        resembled = self._resembling(given) if given and not shares and not elsewhere else []
        self._known[id(optimizer)] = _Known(weakref.ref(optimizer), sizes, shares, resembled, elsewhere)
        return shares

    def has(self, optimizer: torch.optim.Optimizer) -> bool:
        """Whether an optimizer seems to belong to the networks, by the first parameter of each group."""
        return any(id(parameter) in self._names for group in optimizer.param_groups for parameter in group["params"][:1])

    def resembled(self, optimizer: torch.optim.Optimizer) -> list[str]:
        """Networks that an optimizer has nothing of, but parameters of the same shapes as all of theirs."""
        self.shares(optimizer)
        return self._known[id(optimizer)].resembled

    def elsewhere(self, optimizer: torch.optim.Optimizer) -> bool:
        """Whether an optimizer belongs to networks that somebody else watches."""
        self.shares(optimizer)
        return self._known[id(optimizer)].elsewhere

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        """Those asked for so far that are still there, by network; the second one of a network is ``g 2``, and so on."""
        named: dict[str, torch.optim.Optimizer] = {}
        for known in self._known.values():
            optimizer = known.optimizer()
            if optimizer is not None and known.shares:
                roles = "+".join(share.role for share in known.shares)
                count = sum(name.partition(" ")[0] == roles for name in named)
                named[f"{roles} {count + 1}" if count else roles] = optimizer
        return named

    def _resembling(self, parameters: Sequence[nn.Parameter]) -> list[str]:
        shapes = Counter(parameter.shape for parameter in parameters if id(parameter) not in self._names)
        return [role for role, needed in self._shapes.items() if needed <= shapes]

    def _find(self, optimizer: torch.optim.Optimizer) -> list[OwnedParameters]:
        found: dict[str, OwnedParameters] = {}
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                role, name = self._names.get(id(parameter), ("", ""))
                if role and (role not in self._only or optimizer in self._only[role]):
                    share = found.setdefault(role, OwnedParameters(role, group, self._count(role)))
                    share.names.append(name)
                    share.parameters.append(parameter)
        return list(found.values())

    def _count(self, role: str) -> int:
        return sum(share.role == role for known in self._known.values() for share in known.shares)


def _stepping(optimizer: torch.optim.Optimizer) -> torch.optim.Optimizer:
    """The one that steps in the end, inside wrappers such as those of Accelerate and Lightning."""
    inner = getattr(optimizer, "optimizer", None)
    return _stepping(inner) if isinstance(inner, torch.optim.Optimizer) else optimizer
