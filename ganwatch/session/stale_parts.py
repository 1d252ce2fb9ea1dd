"""Parts of a checkpoint that were not taken at the step of its save: their values are not those in training."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

MAX_DEPTH, MAX_VALUES = 4, 100
"""Levels and values of a mapping that are searched for states."""
PREFIXES = ("module.", "_orig_mod.")
"""Beginnings that wrappers add to the names of parameters."""
COMPARED, ELEMENTS = 3, 16
"""Parameters of a network, and elements of each, that are compared."""
OTHERS = re.compile(r"(?i)ema|avg|average|shadow|swa|best|target|old|prev|init|start")
"""Names of parts that are meant to differ."""


def find_stale_parts(states: Any, networks: Iterable[nn.Module], optimizers: Iterable[Optimizer]) -> tuple[str, ...]:
    """Return the places of the states that are not of now.

    Parameters
    ----------
    states : Any
        Object that is saved. States of networks are found by the names of their parameters, those of optimizers by their keys.
    networks, optimizers : iterable
        Those in training. A part whose name says that it is another copy, such as ``G_ema``, is left out.

    Examples
    --------
    >>> g = nn.Linear(1, 1)
    >>> before = {name: value.clone() for name, value in g.state_dict().items()}
    >>> with torch.no_grad():
    ...     _ = g.weight.add_(1.0)
    >>> find_stale_parts({"G": before, "G_ema": before}, [g], []), find_stale_parts({"G": g.state_dict()}, [g], [])
    (('G',), ())
    """
    live = [*networks]
    counts = {count for optimizer in optimizers if (count := _count_updates(optimizer.state)) is not None}
    return tuple(place for place, value in iterate_mappings(states) if not OTHERS.search(place) and _is_stale(value, live, counts))


def iterate_mappings(value: Any, place: str = "", depth: int = MAX_DEPTH) -> Iterator[tuple[str, Mapping[Any, Any]]]:
    """Yield the mappings within a value, and itself, with their places."""
    if not isinstance(value, Mapping) or depth == 0:
        return
    yield place, value
    for name, inner in list(value.items())[:MAX_VALUES]:
        yield from iterate_mappings(inner, f"{place}.{name}" if place else str(name), depth - 1)


def has_state_of(network: nn.Module, value: Mapping[Any, Any]) -> bool:
    """Return True if a mapping has a value for every parameter of a network."""
    names = {strip_prefix(name) for name in value if isinstance(name, str)}
    own = {strip_prefix(name) for name, _ in network.named_parameters()}
    return bool(own) and own <= names


def strip_prefix(name: str) -> str:
    """Return the name of a parameter without those of wrappers."""
    for prefix in PREFIXES:
        name = name.removeprefix(prefix)
    return name


def _is_stale(value: Mapping[Any, Any], networks: list[nn.Module], counts: set[int]) -> bool:
    if "param_groups" in value and "state" in value:
        count = _count_updates(value["state"])
        return bool(counts) and count is not None and count not in counts
    known = [network for network in networks if has_state_of(network, value) and _has_shapes_of(network, value)]
    return bool(known) and not any(_is_equal(network, value) for network in known)


def _count_updates(state: Any) -> int | None:
    """Return the updates that the states of an optimizer, by parameter, count; None if they count none."""
    for of_parameter in state.values() if isinstance(state, Mapping) else ():
        step = of_parameter.get("step") if isinstance(of_parameter, Mapping) else None
        if isinstance(step, int | float | Tensor):
            return int(step)
    return None


def _has_shapes_of(network: nn.Module, value: Mapping[Any, Any]) -> bool:
    return all(isinstance(held, Tensor) and held.shape == own.shape for own, held in _pairs(network, value))


def _is_equal(network: nn.Module, value: Mapping[Any, Any]) -> bool:
    pairs = [*_pairs(network, value)]
    chosen = pairs[:: max(1, len(pairs) // COMPARED)]
    return all(torch.equal(_sample(own), _sample(held)) for own, held in chosen)


def _pairs(network: nn.Module, value: Mapping[Any, Any]) -> Iterator[tuple[Tensor, Any]]:
    held = {strip_prefix(name): one for name, one in value.items() if isinstance(name, str)}
    for name, parameter in network.named_parameters():
        yield parameter, held.get(strip_prefix(name))


def _sample(tensor: Tensor) -> Tensor:
    return tensor.detach().reshape(-1)[:ELEMENTS].float().cpu()
