"""Readings that the loop itself gives."""

from __future__ import annotations

from numbers import Real
from typing import Any

from torch import Tensor

from ganwatch.core.errors import UserError

LONGEST = 100
"""Characters of a name."""


def logged(name: Any, value: Any) -> tuple[str, float | Tensor]:
    """Series and value of a reading; a tensor is copied where it is, without waiting for it.

    Raises
    ------
    UserError
        The name is no text, or the value no single real number.

    Examples
    --------
    >>> logged("fid", 3)
    ('logged/fid', 3.0)
    """
    if not isinstance(name, str) or not name.isprintable() or not 0 < len(name) <= LONGEST:
        raise UserError(f"name must be a str of 1 to {LONGEST} printable characters, got {name!r:.200}")
    if isinstance(value, Tensor):
        if value.ndim or value.is_complex():
            raise UserError(f"value of {name!r} must be a float or a real 0-d tensor, got {value.dtype} of shape {tuple(value.shape)}")
        return f"logged/{name}", value.detach().clone() if value.is_floating_point() else value.float()
    if not isinstance(value, Real):
        raise UserError(f"value of {name!r} must be a float or a real 0-d tensor, got {type(value).__name__} {value!r:.200}")
    return f"logged/{name}", float(value)
