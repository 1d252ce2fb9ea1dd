"""What a user may say about a training instead of leaving it to be found out; checked before anything begins."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from ganwatch.capture.heldout import Heldout, read_heldout
from ganwatch.capture.step import score_leaf
from ganwatch.errors import UserError

ROLES = {"G": "g", "D": "d"}


@dataclass(frozen=True, slots=True)
class Options:
    """As said by the user.

    Parameters
    ----------
    optimizers : mapping of str to list of Optimizer
        By role (``g``, ``d``): only these count as updates of it.
    logits : tuple of int and str, callable, or None
        Where in the discriminator's output the score is.
    sample : callable or None
        Turns the generator's output into a sample.
    fixed : tuple of Tensor
        What the generator is given for the gallery.
    ema : nn.Module or None
        Averaged weights of the generator, which quality is measured with.
    heldout : Heldout or None
        Reals that the training never sees.
    """

    optimizers: Mapping[str, Sequence[torch.optim.Optimizer]] = field(default_factory=dict)
    logits: tuple[int | str, ...] | Callable[[Any], Tensor] | None = None
    sample: Callable[[Any], Any] | None = None
    fixed: tuple[Tensor, ...] = ()
    ema: nn.Module | None = None
    heldout: Heldout | None = None

    def score(self, output: Any) -> tuple[Tensor | None, int | None]:
        """The tensor of a discriminator's output that judges, and the channel of it where only one does.

        Raises
        ------
        UserError
            ``logits`` leads to no floating tensor.

        Examples
        --------
        >>> output = {"scale": [torch.zeros(2, 8), torch.ones(2, 3)]}
        >>> Options(logits=("scale", 1, 0)).score(output)
        (tensor([[1., 1., 1.],
                [1., 1., 1.]]), 0)
        """
        if self.logits is None:
            return score_leaf(output), None
        found, channel = output, None
        if not isinstance(self.logits, tuple):
            with torch.no_grad():
                found = self.logits(output)
        else:
            for place in self.logits:
                if isinstance(found, Tensor) and found.ndim > 1 and channel is None and place in range(found.shape[1]):
                    channel = int(place)
                else:
                    found = _within(found, place)
        if not isinstance(found, Tensor) or not found.is_floating_point():
            raise UserError(f"logits must lead to a floating tensor in what D returns, got {type(found).__name__}")
        return found, channel


NOTHING_SAID = Options()


def _within(nest: Any, place: int | str) -> Any:
    by_name = isinstance(place, str) and not isinstance(nest, Mapping)
    try:
        if not isinstance(nest, Tensor):
            return getattr(nest, str(place)) if by_name else nest[place]
    except (LookupError, AttributeError, TypeError):
        pass
    raise UserError(f"logits must lead to a floating tensor in what D returns, got {place!r}, which is not in its {type(nest).__name__}")


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
    return f"{type(value).__name__} {value!r}"
