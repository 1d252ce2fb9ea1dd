"""When a check is due."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator

from ganwatch.core.errors import UserError

YEAR = 365 * 86_400.0
_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}


def seconds(text: str) -> float:
    """An interval such as ``24h`` in seconds.

    Raises
    ------
    UserError
        It is none, or longer than a year.

    Examples
    --------
    >>> seconds("24h"), seconds("1.5m")
    (86400.0, 90.0)
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd])", text.strip())
    value = float(found[1]) * _UNITS[found[2]] if found else 0.0
    if not 1 <= value <= YEAR:
        raise UserError(f"every must be a number and a unit (s, m, h, d) from 1s to 365d, such as 24h, got {text!r}")
    return value


def ticks(every: float, *, clock: Callable[[], float] = time.time, sleep: Callable[[float], None] = time.sleep) -> Iterator[float]:
    """The time of each check: now, then ``every`` seconds on; one that passed while the last was still made is left out."""
    due = clock()
    while True:
        yield due
        now = clock()
        due += every * max(1.0, -((due - now) // every))
        sleep(max(0.0, due - now))
