"""Latest batches of the loader whose events may wait, so that waiting keeps no more of them alive."""

from __future__ import annotations

from collections import deque
from typing import Any

MAX_LOADED = 2
"""Batches that are kept."""


class LoadedBatches:
    """Keeps the latest batches, each in a list that is emptied once newer ones have come.

    Examples
    --------
    >>> batches = LoadedBatches()
    >>> first, second, third = batches.add("a"), batches.add("b"), batches.add("c")
    >>> first, second, third
    ([], ['b'], ['c'])
    """

    def __init__(self) -> None:
        self._latest: deque[list[Any]] = deque()

    def add(self, batch: Any) -> list[Any]:
        """Keep a batch, and return the list that holds it."""
        if len(self._latest) == MAX_LOADED:
            self._latest.popleft().clear()
        self._latest.append(holder := [batch])
        return holder
