"""Keeps errors of ganwatch's own parts from the training: each is counted, and the first one of a part is logged."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from typing import TypeVar

log = logging.getLogger("ganwatch")

T = TypeVar("T")


class Guard:
    """Runs parts so that an error of one goes no further.

    Attributes
    ----------
    errors : Counter of str
        Errors so far, by part.

    Examples
    --------
    >>> guard = Guard()
    >>> guard("half", lambda: 1 / 2)
    0.5
    >>> logging.disable()
    >>> guard("ratio", lambda: 1 / 0), guard("ratio", lambda: 1 / 0), guard.errors
    (None, None, Counter({'ratio': 2}))
    >>> logging.disable(logging.NOTSET)
    """

    def __init__(self) -> None:
        self.errors: Counter[str] = Counter()

    def __call__(self, part: str, action: Callable[[], T]) -> T | None:
        """Run a part and return its result; None after an error."""
        try:
            return action()
        except Exception as error:  # noqa: BLE001  # counted and logged
            self.note(part, error)
            return None

    def note(self, part: str, error: Exception, meaning: str = "further errors of it are only counted") -> None:
        """Count an error, and log the first one of the part with what it means for the run."""
        self.errors[part] += 1
        if self.errors[part] == 1:
            log.error("%s failed; training continues, and %s", part, meaning, exc_info=error)
