"""Checks of the arguments of a front end, before anything starts. ``check_…`` only refuses; ``parse_…`` returns a value."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from itertools import islice
from numbers import Real
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from ganwatch.capture.attribution.parameter_ownership import NetworkGroup
from ganwatch.capture.options import Options
from ganwatch.core.errors import UserError, show_error, show_value
from ganwatch.distributed.rank_detection import unwrap
from ganwatch.evaluation.heldout import read_heldout

MAX_PORT = 65535
MAX_PARTS = 1000
"""Most detectors, probes or sinks."""
ROLE_BY_ARGUMENT = {"G": "g", "D": "d"}
Part = TypeVar("Part")
Networks = nn.Module | Sequence[nn.Module] | Mapping[str, nn.Module]


def check_settings(*, store: Any, prometheus_port: Any, facts: Any, audit_seconds: Any) -> None:
    """Refuse settings that no front end can use.

    Raises
    ------
    UserError
        An argument has a wrong type or is out of range.
    """
    if store is not None and not isinstance(store, str | Path):
        raise UserError(f"store must be a folder (str or Path), a SQLAlchemy URL (str) or None, got {_describe(store)}")
    is_integer = isinstance(prometheus_port, int) and not isinstance(prometheus_port, bool)
    if prometheus_port is not None and not (is_integer and 0 <= prometheus_port <= MAX_PORT):
        rule = f"prometheus_port must be an integer from 0 to {MAX_PORT} (0 takes a free one) or None"
        raise UserError(f"{rule}, got {_describe(prometheus_port)}")
    if facts is not None and not isinstance(facts, Mapping):
        raise UserError(f"facts must be a mapping or None, got {_describe(facts)}")
    is_number = isinstance(audit_seconds, Real) and not isinstance(audit_seconds, bool)
    if not (is_number and 0.0 <= audit_seconds <= sys.float_info.max):
        raise UserError(f"audit_seconds must be a finite number >= 0 (seconds, 0 for no audit), got {_describe(audit_seconds)}")


def parse_parts(argument: str, parts: Any, base: type[Part]) -> list[Part]:
    """Return the parts as a list.

    Raises
    ------
    UserError
        ``parts`` is no sequence, or one of them is no instance of ``base``.
    """
    if not isinstance(parts, Iterable) or isinstance(parts, str | Mapping):
        raise UserError(f"{argument} must be a sequence of {base.__name__} instances, got {_describe(parts)}")
    try:
        listed = list(islice(parts, MAX_PARTS + 1))
    except Exception as error:
        raise UserError(f"{argument} must be a sequence of {base.__name__} instances, got one that raises {show_error(error)}") from error
    if len(listed) > MAX_PARTS:
        raise UserError(f"{argument} must be at most {MAX_PARTS:,} instances of {base.__name__}, got more")
    rule = f"must be an instance of {base.__name__}"
    for index, part in enumerate(listed):
        if isinstance(part, type) and issubclass(part, base):
            raise UserError(f"{argument}[{index}] {rule}, got the class {part.__name__}: write {part.__name__}()")
        if not isinstance(part, base):
            raise UserError(f"{argument}[{index}] {rule}, got {_describe(part)}")
    return listed


def parse_networks(argument: str, given: Networks) -> nn.Module:
    """Return the network of a role; several ones become one module.

    Raises
    ------
    UserError
        There is no network, one has no parameters or lazy ones, or one is given twice.
    """
    named: dict[str, Any] = dict(given) if isinstance(given, Mapping) else {"0": given}
    if isinstance(given, list | tuple):
        named = {str(index): network for index, network in enumerate(given)}
    named = {name: unwrap(network) for name, network in named.items()}
    for name, network in named.items():
        place = argument if len(named) == 1 else f"{argument}[{name}]"
        if not isinstance(network, nn.Module):
            raise UserError(f"{place} must be a torch.nn.Module, got {type(network).__name__}")
        check_network(place, network, type(network).__name__)
    if not named:
        raise UserError(f"{argument} must be a network or several, got none")
    if len({id(network) for network in named.values()}) < len(named):
        raise UserError(f"{argument} must be different networks, got the same one twice")
    only: nn.Module = next(iter(named.values()))
    return only if len(named) == 1 else NetworkGroup(named)


def check_network(argument: str, network: nn.Module, description: str) -> None:
    """Refuse a network that cannot be watched.

    Raises
    ------
    UserError
        The network has no parameters, or some without a shape yet.
    """
    parameters = dict(network.named_parameters())
    if not parameters:
        raise UserError(f"{argument} must have parameters, got {description} without any")
    lazy = [name for name, parameter in parameters.items() if is_lazy(parameter)]
    if lazy:
        rule = f"{argument} must have parameters of known shapes: run one batch through it first"
        raise UserError(f"{rule}, got {description}, whose {lazy[0]!r} has none")


def check_real(real: Any) -> None:
    """Refuse real data that cannot be read; data that can only be iterated are accepted unread.

    Raises
    ------
    UserError
        The data are empty, or no data at all.
    """
    if real is None:
        return
    from ganwatch.data.opening import open_source
    from ganwatch.data.source import NotIndexableError
    from ganwatch.isolation.random_state import preserved_random_state

    with suppress(NotIndexableError), preserved_random_state():
        open_source(real, "real")


def parse_options(
    networks: Mapping[str, nn.Module] | None = None,
    *,
    optimizers: Any = None,
    logits: Any = None,
    sample: Any = None,
    latent: Any = None,
    conditions: Any = None,
    ema: Any = None,
    heldout: Any = None,
) -> Options:
    """Return the options of a front end; ``networks``, by role, are needed if optimizers are given.

    Raises
    ------
    UserError
        An option has a wrong type, or does not fit the networks.
    """
    if sample is not None and not callable(sample):
        raise UserError(f"sample must be a callable that turns G's output into a sample, or None, got {_describe(sample)}")
    if ema is not None and not (isinstance(ema, nn.Module) and any(True for _ in ema.parameters())):
        raise UserError(f"ema must be a torch.nn.Module with parameters or None, got {type(ema).__name__}")
    by_role = {} if optimizers is None else _parse_optimizers(networks or {}, optimizers)
    return Options(by_role, _parse_logits(logits), sample, _parse_latent(latent, conditions), ema, read_heldout(heldout))


def _parse_optimizers(networks: Mapping[str, nn.Module], optimizers: Any) -> dict[str, list[torch.optim.Optimizer]]:
    if not isinstance(optimizers, Mapping) or not set(optimizers) <= set(ROLE_BY_ARGUMENT):
        got = f"keys {', '.join(map(repr, optimizers))}" if isinstance(optimizers, Mapping) else _describe(optimizers)
        raise UserError(f'optimizers must be a mapping such as {{"G": optimizer, "D": [optimizer, …]}}, got {got}')
    found = {}
    for name, given in optimizers.items():
        role = ROLE_BY_ARGUMENT[name]
        own = {id(parameter) for parameter in networks[role].parameters()}
        found[role] = list(given) if isinstance(given, list | tuple) else [given]
        for optimizer in found[role]:
            if not isinstance(optimizer, torch.optim.Optimizer):
                raise UserError(f"optimizers[{name!r}] must be a torch.optim.Optimizer or a list of them, got {_describe(optimizer)}")
            if not any(id(parameter) in own for group in optimizer.param_groups for parameter in group["params"]):
                raise UserError(f"optimizers[{name!r}] must have parameters of {name}, got {type(optimizer).__name__} without any")
        if not found[role]:
            raise UserError(f"optimizers[{name!r}] must be a torch.optim.Optimizer or a list of them, got an empty list")
    return found


def _parse_logits(logits: Any) -> tuple[int | str, ...] | Callable[[Any], Tensor] | None:
    if logits is None or callable(logits):
        return logits  # type: ignore[no-any-return]  # its output is checked at each call
    path = tuple(logits) if isinstance(logits, list | tuple) else (logits,)
    if not path or not all(isinstance(key, int | str) and not isinstance(key, bool) for key in path):
        raise UserError(f"logits must be an index (int), a key (str), a tuple of those, a callable or None, got {_describe(logits)}")
    return path


def _parse_latent(latent: Any, conditions: Any) -> tuple[Tensor, ...]:
    if latent is None:
        if conditions is not None:
            raise UserError("conditions must come with the latent that they belong to, got latent=None")
        return ()
    latents = latent if isinstance(latent, list | tuple) else (latent,)
    fixed = [("latent", tensor) for tensor in latents] + ([] if conditions is None else [("conditions", conditions)])
    for name, tensor in fixed:
        if not isinstance(tensor, Tensor):
            raise UserError(f"{name} must be a tensor{' or a tuple of tensors' if name == 'latent' else ''}, got {_describe(tensor)}")
        if tensor.ndim == 0 or not len(tensor):
            raise UserError(f"{name} must have at least one sample along its first dimension, got shape {tuple(tensor.shape)}")
    if not latents or len({len(tensor) for _, tensor in fixed}) > 1:
        raise UserError(f"latent and conditions must be equally many, got {[len(tensor) for _, tensor in fixed]} samples")
    return tuple(tensor.detach().clone() for _, tensor in fixed)


def _describe(value: object) -> str:
    return f"the class {value.__name__}" if isinstance(value, type) else f"{type(value).__name__} {show_value(value)}"
