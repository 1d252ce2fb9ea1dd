"""Check that float32 still tells vectors apart: rounding merges values that are far from 0 and close together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ganwatch.core.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

MAX_ROUNDING = 0.1
"""Rounding of a column, in its standard deviations, above which nothing may be measured."""
_CONSTANT_SPREAD = 1e-12
"""Standard deviation, as a share of the mean, that rounding gives to a column of equal values."""


def to_float32(rows: Tensor, what: str) -> Tensor:
    """Return rows ``(N, D)`` as float32.

    Raises
    ------
    UserError
        The rows are float64 and float32 does not tell them apart.
    """
    if rows.dtype.itemsize > np.dtype(np.float32).itemsize and len(rows):
        rounding = RoundingCheck()
        rounding.add(rows.cpu().numpy())
        rounding.check(what)
    return rows.float()


class RoundingCheck:
    """Standard deviations of the columns of a stream, and of the error that rounding to float32 makes in them.

    Examples
    --------
    >>> rounding = RoundingCheck()
    >>> rounding.add(np.linspace(0, 1, 50)[:, None] + 1e8)
    >>> rounding.check("fresh")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ganwatch.core.errors.UserError: fresh must stay distinct in float32, got column 0 about 1e+08 with a standard deviation of 0.29; sub...
    """

    def __init__(self) -> None:
        self._count = 0
        self._mean: Any = 0.0
        self._scatter: Any = 0.0
        self._lost: Any = 0.0

    def add(self, exact: NDArray[Any]) -> None:
        """Add rows ``(N, D)`` float64, N >= 1."""
        mean, total = exact.mean(0), self._count + len(exact)
        shift = mean - self._mean
        self._scatter += np.square(exact - mean).sum(0) + self._count * len(exact) / total * shift**2
        self._mean += len(exact) / total * shift
        self._lost += np.square(exact - exact.astype(np.float32)).sum(0)
        self._count = total

    def check(self, what: str) -> None:
        """Raise a UserError if rounding merges the values of a column."""
        if not self._count:
            return
        spreads = self._scatter > self._count * np.square(_CONSTANT_SPREAD * self._mean)
        lost = np.flatnonzero(spreads & (self._lost > MAX_ROUNDING**2 * self._scatter))
        if len(lost):
            about, spread = float(self._mean[lost[0]]), float(np.sqrt(self._scatter[lost[0]] / self._count))
            got = f"column {lost[0]} about {about:.3g} with a standard deviation of {spread:.2g}"
            raise UserError(f"{what} must stay distinct in float32, got {got}; subtract the same number from it on every side")
