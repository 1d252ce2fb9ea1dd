"""Has checkpoints read back one after the other, in a thread that waits for the other process, and keeps the results."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ganwatch.checkpoints.manifest import CheckpointError, UnreadCheckpointError
from ganwatch.checkpoints.read_back import ReadBack
from ganwatch.checkpoints.worker import Worker
from ganwatch.core.checkpoints import SavedCheckpoint

log = logging.getLogger("ganwatch")

MAX_WAITING = 8
"""Checkpoints of somebody else that wait to be read back, at most; older ones are not read."""
MAX_READS = 3
"""Times that a checkpoint is read that somebody replaces meanwhile."""
CLOSE_TIMEOUT = 120.0
"""Longest time that the end of the training waits for checkpoints that are not written or read back yet, in seconds."""


class CheckpointReader(Worker):
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
        super().__init__("ganwatch-checkpoints-reads")
        self._process = ReadBack()
        self._read_back = self._process if read_back is None else read_back
        self._on_verified = on_verified
        self._waiting: deque[SavedCheckpoint] = deque()
        self._removed: set[str] = set()

    def submit(self, checkpoint: SavedCheckpoint) -> None:
        """Have a checkpoint read back; one with a fault is a result already."""
        with self._condition:
            self._removed.discard(checkpoint.path)
            if checkpoint.fault:
                self._results.append(checkpoint)
                return
            if self._on_verified is None and len(self._waiting) == MAX_WAITING:
                self._results.append(replace(self._waiting.popleft(), unread=f"not read back: {MAX_WAITING} newer ones waited too"))
            self._waiting.append(checkpoint)
            self._wake()

    def note_removed(self, path: str) -> None:
        """Note that somebody has removed a checkpoint, which may wait to be read back."""
        with self._condition:
            self._removed.add(path)
            self._waiting = deque(one for one in self._waiting if one.path != path)
            self._results.append(SavedCheckpoint(path, 0, is_removed=True))

    def close(self, timeout: float = CLOSE_TIMEOUT) -> None:
        """Read what waits, and end the thread and the other process."""
        if not self._end(timeout):
            log.error("checkpoints could not be read back within %g s", timeout)
            return
        self._process.close()

    @property
    def _has_work(self) -> bool:
        return bool(self._waiting)

    def _take(self) -> SavedCheckpoint:
        return self._waiting.popleft()

    def _handle(self, piece: SavedCheckpoint) -> None:
        result = self._read_still(piece)
        with self._condition:
            if result.path not in self._removed:
                self._results.append(result)

    def _read_still(self, checkpoint: SavedCheckpoint) -> SavedCheckpoint:
        """Read a checkpoint that nobody replaces meanwhile; one that is gone is no fault, as its save was seen to work."""
        for _ in range(MAX_READS):
            before = identify_file(checkpoint.path)
            if before is None:
                break
            result = self._read(checkpoint)
            if identify_file(checkpoint.path) == before:
                return result
        return replace(checkpoint, unread="not read back: it was replaced or removed meanwhile", is_removed=True)

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


def identify_file(path: str | Path) -> object:
    """Return what tells a file or a folder from one that takes its place; None without one."""
    try:
        status = Path(path).stat()
    except (OSError, ValueError, TypeError):
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size
