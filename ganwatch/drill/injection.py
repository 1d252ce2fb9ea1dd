"""What an injection is, and which ones there are."""

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
    """A real cause of a failure, brought into a training that runs.

    A subclass overrides what it interferes with; everything else passes unchanged. Nothing of it may draw random numbers or change a
    tensor of the loop's in place, other than weights and gradients. What its constructor takes are keyword arguments, positive numbers.

    Attributes
    ----------
    name : str
        By which it is asked for.
    label : str
        The failure that comes of it.
    codes : tuple of str
        Codes of the incidents that explain it rightly, the best first.
    cause : str
        What is wrong then, in a sentence.
    step : int
        From which on ``ganwatch drill`` injects it unless told otherwise.
    """

    name: ClassVar[str]
    label: ClassVar[str]
    codes: ClassVar[tuple[str, ...]]
    cause: ClassVar[str]
    step: ClassVar[int] = 600

    def settings(self, role: str, group: Mapping[str, Any]) -> dict[str, Any]:  # noqa: ARG002  # for those that override it
        """What differs in an optimizer's parameter group of network ``role`` (``g`` or ``d``) for one step, such as its ``lr``."""
        return {}

    def before_step(self, role: str, parameters: Sequence[nn.Parameter]) -> bool:  # noqa: ARG002  # as above
        """Interfere with weights or gradients right before an optimizer steps; whether anything was done."""
        return False

    def batch(self, batch: Any) -> Any:
        """What is delivered in place of a batch of real data, which may be any nest of tensors."""
        return batch

    def latents(self, latents: Tensor) -> Tensor:
        """What the generator is given in place of its latents ``(N, …)``."""
        return latents


@cache
def injections() -> dict[str, type[Injection]]:
    """Every injection of the modules in ``ganwatch.drill.causes``, by name.

    >>> "stall" in injections()
    True
    """
    found = [cls for cls in discover("ganwatch.drill.causes", Injection) if "name" in vars(cls)]
    return {cls.name: cls for cls in sorted(found, key=lambda cls: (cls.codes, cls.name))}


def make_injection(name: str, **how: float) -> Injection:
    """The injection of that name.

    Raises
    ------
    UserError
        There is none, or ``how`` does not fit it.

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
    """As many rows as that, those that are there again and again.

    >>> import torch
    >>> repeat_rows(torch.tensor([[1], [2]]), 3).tolist()
    [[1], [2], [1]]
    """
    return few.repeat(-(-size // len(few)), *[1] * (few.ndim - 1))[:size]
