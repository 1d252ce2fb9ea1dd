"""A thread that handles one piece of work after the other, from the first one on until it is closed."""

from __future__ import annotations

import random
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from typing import Any

from ganwatch.core.checkpoints import SavedCheckpoint


class Worker(ABC):
    """Base of a part with such a thread. A subclass holds its work and says how to take and handle a piece of it.

    Parameters
    ----------
    name : str
        Name of the thread.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._condition = threading.Condition()
        self._is_busy = self._is_closing = False
        self._thread: threading.Thread | None = None
        self._results: list[SavedCheckpoint] = []
        self._random = random.Random()  # the global one is the training's

    @property
    @abstractmethod
    def _has_work(self) -> bool:
        """True if a piece waits; called with the lock."""

    @abstractmethod
    def _take(self) -> Any:
        """Take the next piece; called with the lock."""

    @abstractmethod
    def _handle(self, piece: Any) -> None:
        """Handle a piece; called in the thread, without the lock. Raises nothing."""

    def take_results(self) -> list[SavedCheckpoint]:
        """Return the results since the last call."""
        with self._condition:
            results, self._results = self._results, []
        return results

    def wait(self, timeout: float) -> bool:
        """Wait until no piece is left. Return False if time ran out."""
        with self._condition:
            return self._condition.wait_for(lambda: not (self._is_busy or self._has_work), timeout)

    def _attempts(self, pauses: Iterable[float]) -> Iterator[None]:
        """Yield at once, and again after each pause in seconds, up to half as long again at random; without pauses while it closes."""
        for pause in (0.0, *pauses):
            with self._condition:
                self._condition.wait_for(lambda: self._is_closing, pause * (1.0 + self._random.random() / 2.0))
            yield

    def _wake(self) -> None:
        """Start the thread if there is none, and let it look for work; called with the lock."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
            self._thread.start()
        self._condition.notify_all()

    def _end(self, timeout: float) -> bool:
        """Let the thread handle what is left and end. Return False if time ran out."""
        with self._condition:
            self._is_closing = True
            self._condition.notify_all()
        if self._thread is not None:
            self._thread.join(timeout)
        return self._thread is None or not self._thread.is_alive()

    def _run(self) -> None:
        while True:
            with self._condition:
                self._condition.wait_for(lambda: self._has_work or self._is_closing)
                if not self._has_work:
                    return
                piece, self._is_busy = self._take(), True
            self._handle(piece)
            with self._condition:
                self._is_busy = False
                self._condition.notify_all()
