"""Readings that the loop itself logs."""

from __future__ import annotations

from numbers import Real
from typing import Any

from torch import Tensor

from ganwatch.core.errors import UserError

MAX_NAME_LENGTH = 100
"""Longest name of a reading, in characters."""


def parse_reading(name: Any, value: Any) -> tuple[str, float | Tensor]:
    """Return the series and the value of a logged reading; a tensor is copied on its device, without waiting for it.

    Raises
    ------
    UserError
        The name is not a text, or the value is not a single real number.

    Examples
    --------
    >>> parse_reading("fid", 3)
    ('logged/fid', 3.0)
    """
    if not isinstance(name, str) or not name.isprintable() or not 0 < len(name) <= MAX_NAME_LENGTH:
        raise UserError(f"name must be a str of 1 to {MAX_NAME_LENGTH} printable characters, got {name!r:.200}")
    if isinstance(value, Tensor):
        if value.ndim or value.is_complex():
            raise UserError(f"value of {name!r} must be a float or a real 0-d tensor, got {value.dtype} of shape {tuple(value.shape)}")
        return f"logged/{name}", value.detach().clone() if value.is_floating_point() else value.float()
    if not isinstance(value, Real):
        raise UserError(f"value of {name!r} must be a float or a real 0-d tensor, got {type(value).__name__} {value!r:.200}")
    return f"logged/{name}", float(value)
