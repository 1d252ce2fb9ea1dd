"""Adds up the time that ganwatch takes in the training thread."""

from __future__ import annotations

import time


class OwnTime:
    """A clock that runs while a part of ganwatch does, once for parts that call each other.

    Attributes
    ----------
    seconds : float
        Time so far, without that of appending events to the stream.

    Examples
    --------
    >>> own_time = OwnTime()
    >>> own_time.begin(), own_time.begin()
    (True, False)
    >>> own_time.end()
    >>> own_time.seconds > 0
    True
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self._since: float | None = None
        self._lap_start = 0.0

    def begin(self) -> bool:
        """Start; return False if it runs already, and then somebody else ends it."""
        if self._since is not None:
            return False
        self._since = time.perf_counter()
        return True

    def end(self) -> None:
        """Stop."""
        if self._since is not None:
            self.seconds += time.perf_counter() - self._since
        self._since = None

    def lap(self) -> float:
        """Return the seconds since the last lap, without those of a part that runs."""
        lap, self._lap_start = self.seconds - self._lap_start, self.seconds
        return lap
