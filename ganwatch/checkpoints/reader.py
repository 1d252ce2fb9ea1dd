"""Has checkpoints read back one after the other, in a thread that waits for the other process, and keeps the results."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ganwatch.checkpoints.manifest import CheckpointError, UnreadCheckpointError
from ganwatch.checkpoints.read_back import ReadBack
from ganwatch.core.checkpoints import SavedCheckpoint

log = logging.getLogger("ganwatch")

CLOSE_TIMEOUT = 120.0
"""Longest time that the end of the training waits for checkpoints that are not written or read back yet, in seconds."""


class CheckpointReader:
    """Reads checkpoints back, in the order in which they were written.

    Parameters
    ----------
    read_back : callable, optional
        Reads a checkpoint and returns what ``describe_checkpoint`` does.
    on_verified : callable, optional
        Called with the path of each checkpoint that was read back; an ``OSError`` of it is a fault of the checkpoint.
    """

    def __init__(
        self, read_back: Callable[[Path], Mapping[str, Any]] | None = None, on_verified: Callable[[Path], object] | None = None
    ) -> None:
        self._process = ReadBack()
        self._read_back = self._process if read_back is None else read_back
        self._on_verified = on_verified
        self._waiting: deque[SavedCheckpoint] = deque()
        self._results: list[SavedCheckpoint] = []
        self._removed: set[str] = set()
        self._is_busy = self._is_closing = False
        self._condition = threading.Condition()
        self._thread: threading.Thread | None = None

    def submit(self, checkpoint: SavedCheckpoint) -> None:
        """Have a checkpoint read back; one with a fault is a result already."""
        with self._condition:
            self._removed.discard(checkpoint.path)
            if checkpoint.fault:
                self._results.append(checkpoint)
                return
            self._waiting.append(checkpoint)
            if self._thread is None:
                self._thread = threading.Thread(target=self._read_until_closed, name="ganwatch-checkpoints-reads", daemon=True)
                self._thread.start()
            self._condition.notify_all()

    def note_removed(self, path: str) -> None:
        """Note that somebody has removed a checkpoint, which may wait to be read back."""
        with self._condition:
            self._removed.add(path)
            self._waiting = deque(one for one in self._waiting if one.path != path)
            self._results.append(SavedCheckpoint(path, 0, is_removed=True))

    def take_results(self) -> list[SavedCheckpoint]:
        """Return the results since the last call."""
        with self._condition:
            results, self._results = self._results, []
        return results

    def wait(self, timeout: float = CLOSE_TIMEOUT) -> bool:
        """Wait until everything was read back. Return False if time ran out."""
        with self._condition:
            return self._condition.wait_for(lambda: not (self._is_busy or self._waiting), timeout)

    def close(self, timeout: float = CLOSE_TIMEOUT) -> None:
        """Read what waits, and end the thread and the other process."""
        with self._condition:
            self._is_closing = True
            self._condition.notify_all()
        if self._thread is not None:
            self._thread.join(timeout)
            if self._thread.is_alive():
                log.error("checkpoints could not be read back within %g s", timeout)
                return
        self._process.close()

    def _read_until_closed(self) -> None:
        while True:
            with self._condition:
                self._condition.wait_for(lambda: self._waiting or self._is_closing)
                if not self._waiting:
                    return
                checkpoint = self._waiting.popleft()
                self._is_busy = True
            result = self._read(checkpoint)
            with self._condition:
                self._is_busy = False
                if result.path not in self._removed:
                    self._results.append(result)
                self._condition.notify_all()

    def _read(self, checkpoint: SavedCheckpoint) -> SavedCheckpoint:
        """Return the checkpoint as it was read back, or with its fault."""
        try:
            found = self._read_back(Path(checkpoint.path))
            if self._on_verified is not None:
                self._on_verified(Path(checkpoint.path))
        except UnreadCheckpointError as error:
            return replace(checkpoint, unread=str(error))
        except (OSError, CheckpointError) as error:
            log.error("the checkpoint %s cannot be used: %s", checkpoint.path, error)  # noqa: TRY400  # the message says it
            return replace(checkpoint, fault=str(error))
        except Exception as error:  # noqa: BLE001  # of the reading, so it says nothing about the checkpoint
            return replace(checkpoint, unread=f"not read back: {type(error).__name__}: {error}")
        return replace(checkpoint, sha256=found["sha256"], size=found["size"], nonfinite=tuple(found["nonfinite"]))
