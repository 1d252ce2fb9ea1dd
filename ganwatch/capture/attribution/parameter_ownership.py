"""Finds the parameters of each network that an optimizer has, and caches the result."""

from __future__ import annotations

import weakref
from collections import Counter
from collections.abc import Mapping, Sequence

import torch
from torch import nn

from ganwatch.capture.attribution.owned_parameters import OptimizerFacts, OwnedParameters, TensorCounts
from ganwatch.capture.taps import forward_calls
from ganwatch.core.errors import UserError


class NetworkGroup(nn.ModuleDict):
    """Networks that share a role, such as the two generators of a cycle; the first one represents the group."""


def list_members(network: nn.Module) -> list[nn.Module]:
    """Return the networks of a role: the members of a group, or the network itself."""
    return list(network.values()) if isinstance(network, NetworkGroup) else [network]


class Ownership:
    """Parameters of the networks, by optimizer.

    Parameters
    ----------
    networks : mapping of str to nn.Module
    only : mapping of str to sequence of Optimizer, optional
        The optimizers that count for a network, if the user named them.

    Attributes
    ----------
    end_parameters : list of tuple of str and Parameter
        Role and parameter, for the first and the last parameter of each network.
    known : dict of int to OptimizerFacts
        What ``find`` has found, by the optimizer's identity.

    Raises
    ------
    UserError
        A network has no parameters, or two share some.

    Examples
    --------
    >>> g, d = nn.Linear(2, 1), nn.Linear(1, 1)
    >>> ownership = Ownership({"g": g, "d": d})
    >>> [(owned.role, owned.names) for owned in ownership.find(torch.optim.SGD(g.parameters(), lr=0.1)).owned]
    [('g', ['weight', 'bias'])]
    """

    def __init__(self, networks: Mapping[str, nn.Module], only: Mapping[str, Sequence[torch.optim.Optimizer]] | None = None) -> None:
        self._networks = dict(networks)
        self.known: dict[int, OptimizerFacts] = {}
        self._only = {role: weakref.WeakSet([*map(_unwrap, named), *named]) for role, named in (only or {}).items()}
        self._index_parameters()
        for role, module in networks.items():
            for name, parameter in module.named_parameters():
                if self._names[id(parameter)][0] != role:
                    raise UserError(f"generator and discriminator must not share parameters, got {name!r} in both")
            if not any(owner == role for owner, _ in self._names.values()):
                raise UserError(f"network {role!r} must have parameters, got {type(module).__name__} without any")

    def _index_parameters(self) -> None:
        """List the parameters of the networks, which may have grown."""
        self._names: dict[int, tuple[str, str]] = {}
        self._shapes: dict[str, Counter[torch.Size]] = {}
        self.end_parameters: list[tuple[str, nn.Parameter]] = []
        for role, module in self._networks.items():
            parameters = dict(module.named_parameters())
            for name, parameter in parameters.items():
                self._names.setdefault(id(parameter), (role, name.replace("_orig_mod.", "")))  # of a compiled module
            every = list(parameters.values())
            self._shapes[role] = Counter(parameter.shape for parameter in every)
            self.end_parameters += [(role, parameter) for parameter in (every[0], every[-1])] if every else []

    def find(self, optimizer: torch.optim.Optimizer) -> OptimizerFacts:
        """Return the parameters that the optimizer has; search again if its groups have changed."""
        facts = self.known.get(id(optimizer))
        if facts is not None and facts.optimizer() is optimizer:  # the usual case, kept fast
            for group, size in zip(optimizer.param_groups, facts.sizes, strict=False):
                if len(group["params"]) != size:
                    break
            else:
                if len(optimizer.param_groups) == len(facts.sizes):
                    return facts
        return self._find_anew(optimizer)

    def _find_anew(self, optimizer: torch.optim.Optimizer) -> OptimizerFacts:
        sizes = [len(group["params"]) for group in optimizer.param_groups]
        for key in [key for key, entry in self.known.items() if entry.optimizer() in {None, optimizer}]:
            del self.known[key]
        parameters = [p for group in optimizer.param_groups for p in group["params"] if isinstance(p, nn.Parameter)]
        if parameters:  # not for latents: each batch of them may have an optimizer of its own
            self._index_parameters()
        owned = self._search(optimizer)
        is_of_other_watch, similar_roles = self._examine_foreign(parameters) if parameters and not owned else (False, [])
        facts = OptimizerFacts(weakref.ref(optimizer), sizes, owned, similar_roles, is_of_other_watch)
        self.known[id(optimizer)] = facts
        return facts

    def _examine_foreign(self, parameters: Sequence[nn.Parameter]) -> tuple[bool, list[str]]:
        """Return whether parameters belong to networks that are watched elsewhere, and else the networks that they are shaped like."""
        is_of_other_watch = forward_calls.has_watched([p for p in parameters if id(p) not in self._names])
        return is_of_other_watch, [] if is_of_other_watch else self._find_similar_roles(parameters)

    def has_first_parameter(self, optimizer: torch.optim.Optimizer) -> bool:
        """Return True if the first parameter of one of the optimizer's groups belongs to the networks: a quick check."""
        return any(id(parameter) in self._names for group in optimizer.param_groups for parameter in group["params"][:1])

    def named_optimizers(self) -> dict[str, torch.optim.Optimizer]:
        """Return the optimizers that have stepped and still exist, by network; the second one of a network is ``g 2``, and so on."""
        named: dict[str, torch.optim.Optimizer] = {}
        for facts in self.known.values():
            optimizer = facts.optimizer()
            if optimizer is not None and facts.owned:
                roles = "+".join(owned.role for owned in facts.owned)
                count = sum(name.partition(" ")[0] == roles for name in named)
                named[f"{roles} {count + 1}" if count else roles] = optimizer
        return named

    def count_tensors(self) -> dict[str, TensorCounts]:
        """Count the tensors of each network, by what optimizers and backward passes have done with them."""
        held = {id(p) for facts in self.known.values() if facts.optimizer() is not None for owned in facts.owned for p in owned.parameters}
        counts = {}
        for role, network in self._networks.items():
            tensors = list(network.parameters())
            counts[role] = TensorCounts(
                len(tensors),
                sum(tensor.requires_grad for tensor in tensors),
                sum(id(tensor) in held for tensor in tensors),
                sum(tensor.grad is not None for tensor in tensors),
            )
        return counts

    def _find_similar_roles(self, parameters: Sequence[nn.Parameter]) -> list[str]:
        shapes = Counter(parameter.shape for parameter in parameters if id(parameter) not in self._names)
        return [role for role, needed in self._shapes.items() if needed <= shapes]

    def _search(self, optimizer: torch.optim.Optimizer) -> list[OwnedParameters]:
        by_role: dict[str, OwnedParameters] = {}
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                role, name = self._names.get(id(parameter), ("", ""))
                if role and (role not in self._only or optimizer in self._only[role]):
                    owned = by_role.setdefault(role, OwnedParameters(role, group, self._count_optimizers(role)))
                    owned.names.append(name)
                    owned.parameters.append(parameter)
        return list(by_role.values())

    def _count_optimizers(self, role: str) -> int:
        return sum(owned.role == role for facts in self.known.values() for owned in facts.owned)


def _unwrap(optimizer: torch.optim.Optimizer) -> torch.optim.Optimizer:
    """Return the optimizer inside wrappers such as those of Accelerate and Lightning."""
    inner = getattr(optimizer, "optimizer", None)
    return _unwrap(inner) if isinstance(inner, torch.optim.Optimizer) else optimizer
