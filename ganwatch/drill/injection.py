"""The ``Injection`` base class, and a registry of all injections."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar

from ganwatch.core.discovery import discover
from ganwatch.core.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor, nn


class Injection:
    """A real cause of a failure, brought into a running training.

    A subclass overrides the methods that it needs; everything else passes unchanged. An injection must not draw random numbers, and must
    not change tensors of the loop in place, except weights and gradients. Its constructor takes keyword arguments, positive numbers.

    Attributes
    ----------
    name : str
        Name on the command line and in ``inject``.
    label : str
        The failure that it causes.
    codes : tuple of str
        Codes of the incidents that name the cause correctly, the best first.
    cause : str
        The fault, in one sentence.
    step : int
        Default step at which ``ganwatch drill`` injects it.
    """

    name: ClassVar[str]
    label: ClassVar[str]
    codes: ClassVar[tuple[str, ...]]
    cause: ClassVar[str]
    step: ClassVar[int] = 600

    def settings(self, role: str, group: Mapping[str, Any]) -> dict[str, Any]:  # noqa: ARG002  # for subclasses
        """Return the settings to change in an optimizer's parameter group of ``role`` (``g`` or ``d``) for one step, such as its ``lr``."""
        return {}

    def before_step(self, role: str, parameters: Sequence[nn.Parameter]) -> bool:  # noqa: ARG002  # as above
        """Change weights or gradients right before an optimizer steps; return True if anything was changed."""
        return False

    def change_batch(self, batch: Any) -> Any:
        """Return the batch to deliver in place of a batch of real data, which may be any nest of tensors."""
        return batch

    def change_latents(self, latents: Tensor) -> Tensor:
        """Return the latents that the generator gets in place of its own ``(N, …)``."""
        return latents


@cache
def injections() -> dict[str, type[Injection]]:
    """Return every injection of the modules in ``ganwatch.drill.causes``, by name.

    >>> "stall" in injections()
    True
    """
    classes = [cls for cls in discover("ganwatch.drill.causes", Injection) if "name" in vars(cls)]
    return {cls.name: cls for cls in sorted(classes, key=lambda cls: (cls.codes, cls.name))}


def make_injection(name: str, **how: float) -> Injection:
    """Create the injection of that name.

    Raises
    ------
    UserError
        The name is unknown, or ``how`` does not fit the injection.

    Examples
    --------
    >>> make_injection("range-mismatch").codes
    ('GW501',)
    """
    known = injections()
    if name not in known:
        raise UserError(f"failure must be one of {', '.join(known)}, got {name!r}")
    allowed = [argument for argument in inspect.signature(known[name]).parameters if argument not in {"args", "kwargs"}]
    for argument, value in how.items():
        if argument not in allowed:
            raise UserError(f"{name} takes {', '.join(allowed) or 'no arguments'}, got {argument}={value!r}")
        if isinstance(value, bool) or not isinstance(value, int | float) or not (value >= 0 and math.isfinite(value)):
            raise UserError(f"{argument} of {name} must be a finite number >= 0, got {value!r}")
    return known[name](**how)


def repeat_rows(few: Tensor, size: int) -> Tensor:
    """Repeat the rows of ``few`` in turn up to ``size`` rows.

    >>> import torch
    >>> repeat_rows(torch.tensor([[1], [2]]), 3).tolist()
    [[1], [2], [1]]
    """
    return few.repeat(-(-size // len(few)), *[1] * (few.ndim - 1))[:size]
