"""What vectors lose as they become float32: those far from 0 and close together can no longer be told apart."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ganwatch.core.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

MOST = 0.1
"""Rounding of a column in its standard deviations, from which on nothing may be measured."""
_CONSTANT = 1e-12
"""Of its mean, the standard deviation that rounding gives to a column of one value."""


def single(rows: Tensor, what: str) -> Tensor:
    """Rows ``(N, D)`` as float32.

    Raises
    ------
    UserError
        They are float64, and float32 does not tell them apart.
    """
    if rows.dtype.itemsize > np.dtype(np.float32).itemsize and len(rows):
        rounding = Rounding()
        rounding.add(rows.cpu().numpy())
        rounding.check(what)
    return rows.float()


class Rounding:
    """Standard deviations of the columns of a stream, and of what rounding changes in them.

    Examples
    --------
    >>> rounding = Rounding()
    >>> rounding.add(np.linspace(0, 1, 50)[:, None] + 1e8)
    >>> rounding.check("fresh")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ganwatch.core.errors.UserError: fresh must be told apart by float32, got column 0 about 1e+08 with a standard deviation of 0.29; sub...
    """

    def __init__(self) -> None:
        self._count = 0
        self._mean: Any = 0.0
        self._scatter: Any = 0.0
        self._lost: Any = 0.0

    def add(self, exact: NDArray[Any]) -> None:
        """Take rows ``(N, D)`` float64, N >= 1."""
        mean, total = exact.mean(0), self._count + len(exact)
        shift = mean - self._mean
        self._scatter += np.square(exact - mean).sum(0) + self._count * len(exact) / total * shift**2
        self._mean += len(exact) / total * shift
        self._lost += np.square(exact - exact.astype(np.float32)).sum(0)
        self._count = total

    def check(self, what: str) -> None:
        """Raise a UserError where a column is lost."""
        if not self._count:
            return
        spreads = self._scatter > self._count * np.square(_CONSTANT * self._mean)
        lost = np.flatnonzero(spreads & (self._lost > MOST**2 * self._scatter))
        if len(lost):
            about, spread = float(self._mean[lost[0]]), float(np.sqrt(self._scatter[lost[0]] / self._count))
            got = f"column {lost[0]} about {about:.3g} with a standard deviation of {spread:.2g}"
            raise UserError(f"{what} must be told apart by float32, got {got}; subtract the same number from it on every side")
