"""Checks what a user gives to a front end, before anything begins."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from numbers import Real
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from ganwatch.capture.options import Options
from ganwatch.core.errors import UserError
from ganwatch.evaluation.heldout import read_heldout

HIGHEST_PORT = 65535
ROLES = {"G": "g", "D": "d"}
Part = TypeVar("Part")


def checked_settings(*, store: Any, prometheus_port: Any, facts: Any, audit_seconds: Any) -> None:
    """Refuse what no front end can work with.

    Raises
    ------
    UserError
        An argument is of another type, or out of its range.
    """
    if store is not None and not isinstance(store, str | Path):
        raise UserError(f"store must be a folder (str or Path), a SQLAlchemy URL (str) or None, got {_shown(store)}")
    whole = isinstance(prometheus_port, int) and not isinstance(prometheus_port, bool)
    if prometheus_port is not None and not (whole and 0 <= prometheus_port <= HIGHEST_PORT):
        rule = f"prometheus_port must be an integer from 0 to {HIGHEST_PORT} (0 takes a free one) or None"
        raise UserError(f"{rule}, got {_shown(prometheus_port)}")
    if facts is not None and not isinstance(facts, Mapping):
        raise UserError(f"facts must be a mapping or None, got {_shown(facts)}")
    if isinstance(audit_seconds, bool) or not isinstance(audit_seconds, Real) or not float(audit_seconds) >= 0:
        raise UserError(f"audit_seconds must be a number >= 0 (seconds, 0 for no audit), got {_shown(audit_seconds)}")


def checked_parts(argument: str, parts: Any, kind: type[Part]) -> list[Part]:
    """The parts as a list.

    Raises
    ------
    UserError
        They are no sequence, or one of them is not of that kind.
    """
    if not isinstance(parts, Iterable) or isinstance(parts, str | Mapping):
        raise UserError(f"{argument} must be a sequence of {kind.__name__} instances, got {_shown(parts)}")
    listed = list(parts)
    rule = f"must be an instance of {kind.__name__}"
    for place, part in enumerate(listed):
        if isinstance(part, type) and issubclass(part, kind):
            raise UserError(f"{argument}[{place}] {rule}, got the class {part.__name__}: write {part.__name__}()")
        if not isinstance(part, kind):
            raise UserError(f"{argument}[{place}] {rule}, got {_shown(part)}")
    return listed


def checked_network(argument: str, network: nn.Module, described: str) -> None:
    """Refuse a network that cannot be watched.

    Raises
    ------
    UserError
        It has no parameters, or some that have no shape yet.
    """
    parameters = dict(network.named_parameters())
    if not parameters:
        raise UserError(f"{argument} must have parameters, got {described} without any")
    lazy = [name for name, parameter in parameters.items() if is_lazy(parameter)]
    if lazy:
        rule = f"{argument} must have parameters of known shapes: run one batch through it first"
        raise UserError(f"{rule}, got {described}, whose {lazy[0]!r} has none")


def checked_real(real: Any) -> None:
    """Refuse real data that cannot be read; what can only be iterated is left alone.

    Raises
    ------
    UserError
        They are empty, or no data.
    """
    if real is None:
        return
    from ganwatch.data.opening import open_source
    from ganwatch.data.source import NotIndexableError
    from ganwatch.isolation.random_state import preserved_random_state

    with suppress(NotIndexableError), preserved_random_state():
        open_source(real, "real")


def checked_options(
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
    """The options as given to a front end; ``networks`` by role, where optimizers may be given.

    Raises
    ------
    UserError
        One of them is of another type, or does not fit the networks.
    """
    if sample is not None and not callable(sample):
        raise UserError(f"sample must be a callable that turns G's output into a sample, or None, got {_shown(sample)}")
    if ema is not None and not (isinstance(ema, nn.Module) and any(True for _ in ema.parameters())):
        raise UserError(f"ema must be a torch.nn.Module with parameters or None, got {type(ema).__name__}")
    by_role = {} if optimizers is None else _by_role(networks or {}, optimizers)
    return Options(by_role, _place(logits), sample, _fixed(latent, conditions), ema, read_heldout(heldout))


def _by_role(networks: Mapping[str, nn.Module], optimizers: Any) -> dict[str, list[torch.optim.Optimizer]]:
    if not isinstance(optimizers, Mapping) or not set(optimizers) <= set(ROLES):
        got = f"keys {', '.join(map(repr, optimizers))}" if isinstance(optimizers, Mapping) else _shown(optimizers)
        raise UserError(f'optimizers must be a mapping such as {{"G": optimizer, "D": [optimizer, …]}}, got {got}')
    found = {}
    for name, given in optimizers.items():
        role = ROLES[name]
        own = {id(parameter) for parameter in networks[role].parameters()}
        found[role] = list(given) if isinstance(given, list | tuple) else [given]
        for optimizer in found[role]:
            if not isinstance(optimizer, torch.optim.Optimizer):
                raise UserError(f"optimizers[{name!r}] must be a torch.optim.Optimizer or a list of them, got {_shown(optimizer)}")
            if not any(id(parameter) in own for group in optimizer.param_groups for parameter in group["params"]):
                raise UserError(f"optimizers[{name!r}] must have parameters of {name}, got {type(optimizer).__name__} without any")
        if not found[role]:
            raise UserError(f"optimizers[{name!r}] must be a torch.optim.Optimizer or a list of them, got an empty list")
    return found


def _place(logits: Any) -> tuple[int | str, ...] | Callable[[Any], Tensor] | None:
    if logits is None or callable(logits):
        return logits  # type: ignore[no-any-return]  # checked where it is called
    path = tuple(logits) if isinstance(logits, list | tuple) else (logits,)
    if not path or not all(isinstance(place, int | str) and not isinstance(place, bool) for place in path):
        raise UserError(f"logits must be an index (int), a key (str), a tuple of those, a callable or None, got {_shown(logits)}")
    return path


def _fixed(latent: Any, conditions: Any) -> tuple[Tensor, ...]:
    if latent is None:
        if conditions is not None:
            raise UserError("conditions must come with the latent that they belong to, got latent=None")
        return ()
    latents = latent if isinstance(latent, list | tuple) else (latent,)
    fixed = [("latent", tensor) for tensor in latents] + ([] if conditions is None else [("conditions", conditions)])
    for name, tensor in fixed:
        if not isinstance(tensor, Tensor):
            raise UserError(f"{name} must be a tensor{' or a tuple of tensors' if name == 'latent' else ''}, got {_shown(tensor)}")
        if tensor.ndim == 0 or not len(tensor):
            raise UserError(f"{name} must have at least one sample along its first dimension, got shape {tuple(tensor.shape)}")
    if not latents or len({len(tensor) for _, tensor in fixed}) > 1:
        raise UserError(f"latent and conditions must be equally many, got {[len(tensor) for _, tensor in fixed]} samples")
    return tuple(tensor.detach().clone() for _, tensor in fixed)


def _shown(value: object) -> str:
    return f"the class {value.__name__}" if isinstance(value, type) else f"{type(value).__name__} {value!r}"
