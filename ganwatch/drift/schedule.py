"""Times of repeated checks."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator

from ganwatch.core.errors import UserError

YEAR = 365 * 86_400.0
"""Longest interval, in seconds."""
_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}


def parse_interval(text: str) -> float:
    """Parse an interval such as ``24h`` into seconds.

    Raises
    ------
    UserError
        The text is no interval, or the interval is below a second or over a year.

    Examples
    --------
    >>> parse_interval("24h"), parse_interval("1.5m")
    (86400.0, 90.0)
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd])", text.strip())
    value = float(found[1]) * _UNITS[found[2]] if found else 0.0
    if not 1 <= value <= YEAR:
        raise UserError(f"every must be a number and a unit (s, m, h, d) from 1s to 365d, such as 24h, got {text!r}")
    return value


def due_times(every: float, *, clock: Callable[[], float] = time.time, sleep: Callable[[float], None] = time.sleep) -> Iterator[float]:
    """Yield the time of each check: now, then every ``every`` seconds.

    A time that passes during the last check is skipped.
    """
    due = clock()
    while True:
        yield due
        now = clock()
        due += every * max(1.0, -((due - now) // every))
        sleep(max(0.0, due - now))
