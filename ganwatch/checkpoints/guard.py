"""Guarded writing: a checkpoint is written with retries, read back, and only then made the latest, off the training thread."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from ganwatch.checkpoints.copies import CheckpointCopies, CheckpointStorage
from ganwatch.checkpoints.folder import CheckpointFolder
from ganwatch.checkpoints.manifest import CheckpointError, Manifest
from ganwatch.checkpoints.reader import CLOSE_TIMEOUT, CheckpointReader
from ganwatch.checkpoints.snapshot import SnapshotBuffer
from ganwatch.checkpoints.worker import Worker
from ganwatch.core.checkpoints import SavedCheckpoint

log = logging.getLogger("ganwatch")

PAUSES = (0.5, 2.0, 8.0, 30.0)
"""Seconds before each further attempt at a save, each up to half as long again at random."""


@dataclass
class _Save:
    manifest: Manifest
    states: Mapping[str, Any]
    buffer: SnapshotBuffer


class CheckpointGuard(Worker):
    """Writes the checkpoints of one folder.

    The training thread pays for the copy into one of two buffers. If a save is still being written, the new one waits, and takes the place
    of one that waits already: the latest state counts. One thread writes, with further attempts after a failure, and another one has what
    was written read back.

    Parameters
    ----------
    folder : str or Path
    pauses : sequence of float, seconds, optional
        Before each further attempt; ``PAUSES`` by default.
    read_back : callable, optional
        Reads a checkpoint and returns what ``describe_checkpoint`` does.
    storage : CheckpointStorage, optional
        Gets a copy of each verified checkpoint.
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        pauses: Sequence[float] | None = None,
        read_back: Callable[[Path], Mapping[str, Any]] | None = None,
        storage: CheckpointStorage | None = None,
    ) -> None:
        super().__init__("ganwatch-checkpoints-writes")
        self.folder, self.pauses = CheckpointFolder(Path(folder).absolute()), PAUSES if pauses is None else pauses
        self.copies = None if storage is None else CheckpointCopies(storage, self.pauses)
        self.reader = CheckpointReader(read_back, self._on_verified)
        self._buffers = [SnapshotBuffer(), SnapshotBuffer()]
        self._waiting: _Save | None = None
        self._removals: list[Path] = []
        self._has_cleaned = self.has_saved = False

    def save(self, parts: Mapping[str, Any], manifest: Manifest) -> None:
        """Copy the states of the parts and have them written.

        Raises
        ------
        UserError
            A part holds something that cannot be read back without a risk.
        """
        with self._condition:
            buffer = self._buffers.pop() if self._waiting is None else self._waiting.buffer
            if self._waiting is not None:
                skipped, self._waiting = self._waiting.manifest.step, None
                log.warning("the checkpoint of step %d is not written: that of step %d takes its place", skipped, manifest.step)
        try:
            save = _Save(manifest, buffer.copy(parts), buffer)
        except BaseException:
            self._buffers.append(buffer)
            raise
        with self._condition:
            self._waiting, self.has_saved = save, True
            self._wake()

    def note_fault(self, step: int, error: Exception) -> None:
        """Note that the state of a step could not be copied."""
        fault = f"its state could not be copied: {type(error).__name__}: {error}"
        log.error("the checkpoint of step %d is not written: %s", step, fault)
        self.reader.submit(SavedCheckpoint(str(self.folder.path), step, created=time.time(), fault=fault))

    def remove(self, checkpoints: Sequence[Path]) -> None:
        """Have checkpoints removed; at once after the end."""
        with self._condition:
            self._removals += checkpoints
            self._condition.notify_all()
            if not self._is_closing:
                return
            removals, self._removals = self._removals, []
        for path in removals:
            self._remove(path)

    def take_results(self) -> list[SavedCheckpoint]:
        """Return the results of saves since the last call."""
        return self.reader.take_results() + ([] if self.copies is None else self.copies.take_results())

    def wait(self, timeout: float = CLOSE_TIMEOUT) -> bool:
        """Wait until everything is written, read back and copied, or could not be. Return False if time ran out."""
        return super().wait(timeout) and self.reader.wait(timeout) and (self.copies is None or self.copies.wait(timeout))

    def close(self, timeout: float = CLOSE_TIMEOUT) -> None:
        """Write what waits, without pauses between attempts, have it read back, and end the threads; all within one time."""
        end = time.monotonic() + timeout
        if not self._end(timeout):
            log.error("checkpoints could not be written to %s within %g s", self.folder.path, timeout)
        self.reader.close(max(0.0, end - time.monotonic()))
        if self.copies is not None:
            self.copies.close(max(0.0, end - time.monotonic()))

    @property
    def _has_work(self) -> bool:
        return self._waiting is not None or bool(self._removals)

    def _take(self) -> tuple[_Save | None, list[Path]]:
        (save, self._waiting), (removals, self._removals) = (self._waiting, None), (self._removals, [])
        return save, removals

    def _handle(self, piece: tuple[_Save | None, list[Path]]) -> None:
        save, removals = piece
        if not self._has_cleaned:
            self._has_cleaned = True
            self._try_to(self.folder.clean)
        if save is not None:
            self.reader.submit(self._write(save))
            with self._condition:
                self._buffers.append(save.buffer)
        for path in removals:
            self._remove(path)

    def _on_verified(self, checkpoint: Path) -> None:
        self.folder.mark_latest(checkpoint)
        if self.copies is not None:
            self.copies.submit(checkpoint)

    def _remove(self, checkpoint: Path) -> None:
        self._try_to(partial(self.folder.remove, checkpoint))
        if self.copies is not None:
            self.copies.remove(checkpoint)

    def _write(self, save: _Save) -> SavedCheckpoint:
        """Write a checkpoint and compare what is on the disk with what was meant. Return it, not read back yet, or with its fault."""
        step, fault, started = save.manifest.step, "", time.time()
        for _ in self._attempts(self.pauses):
            try:
                path = self.folder.write(save.states, save.manifest)
            except (OSError, CheckpointError) as error:
                fault = str(error)
                log.warning("the checkpoint of step %d could not be written, and is tried again: %s", step, fault)
            except Exception as error:  # noqa: BLE001  # the thread goes on with the next one
                fault = f"{type(error).__name__}: {error}"
                break
            else:
                return SavedCheckpoint(str(path.absolute()), step, created=save.manifest.created)
        log.error("the checkpoint of step %d could not be written to %s: %s", step, self.folder.path, fault)
        return SavedCheckpoint(str(self.folder.path), step, created=started, fault=fault or "not written")

    def _try_to(self, act: Callable[[], object]) -> None:
        try:
            act()
        except Exception as error:  # noqa: BLE001  # the thread goes on
            log.warning("%s could not be tidied up: %s", self.folder.path, error)
