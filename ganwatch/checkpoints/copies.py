"""Copies of verified checkpoints in durable storage: a folder elsewhere, or an object store through fsspec, whose manifest comes last."""

from __future__ import annotations

import logging
import tempfile
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fsspec
from fsspec.implementations.local import LocalFileSystem

from ganwatch.checkpoints.folder import LATEST, MAX_NAME_BYTES, is_checkpoint_name, read_checkpoint
from ganwatch.checkpoints.manifest import MAX_MANIFEST_BYTES, NAME, STATE, CheckpointError, read_manifest
from ganwatch.checkpoints.worker import Worker
from ganwatch.core.checkpoints import SavedCheckpoint
from ganwatch.core.errors import UserError, show_error
from ganwatch.core.provenance import URL_PASSWORD

log = logging.getLogger("ganwatch")

MAX_REASON = 200
"""Characters of an error of a storage that are shown."""


@dataclass(frozen=True, slots=True)
class _Task:
    path: Path
    is_removal: bool = False


class CheckpointStorage:
    """A place that fsspec can open, with one prefix for each checkpoint.

    Parameters
    ----------
    url : str
        ``s3://bucket/prefix``, ``gs://…``, ``memory://…``, or the path of a folder.

    Raises
    ------
    UserError
        fsspec does not know the protocol, or the package for it is not installed. The storage itself is not asked.
    """

    def __init__(self, url: str) -> None:
        self.url = URL_PASSWORD.sub(r"\1:***@", url).rstrip("/")
        try:
            self._files, root = fsspec.core.url_to_fs(url)
        except Exception as error:  # noqa: BLE001  # fsspec and the packages of its protocols document no errors
            raise UserError(f"copy_to must be a folder or a URL that fsspec can open, got {self.url!r}: {show_error(error)}") from None
        self._root = root.rstrip("/")

    def write(self, checkpoint: Path) -> None:
        """Copy a checkpoint: its states, then its manifest, without which it counts as incomplete, then ``latest``.

        Raises
        ------
        CheckpointError
            Another number of bytes arrived.
        """
        manifest, place = read_manifest(checkpoint), f"{self._root}/{checkpoint.name}"
        if isinstance(self._files, LocalFileSystem):  # an object store has no folders, and would create a bucket
            self._files.makedirs(place, exist_ok=True)
        for name, entry in manifest.files.items():
            self._files.put_file(str(checkpoint / name), f"{place}/{name}")
            self._files.invalidate_cache()
            size = self._files.info(f"{place}/{name}")["size"]
            if size != entry.size:
                raise CheckpointError(f"{name} must have {entry.size:,} bytes in {self.url}, got {size:,}")
        self._files.pipe_file(f"{place}/{NAME}", (checkpoint / NAME).read_bytes())
        self._files.pipe_file(f"{self._root}/{LATEST}", checkpoint.name.encode() + b"\n")

    def remove(self, name: str) -> None:
        """Remove a checkpoint, its manifest first."""
        place = f"{self._root}/{name}"
        for one in (NAME, STATE):
            with suppress(FileNotFoundError):
                self._files.rm_file(f"{place}/{one}")
        with suppress(Exception):  # of a folder; an object store has none
            self._files.rmdir(place)

    def names(self) -> list[str]:
        """Return the names of all checkpoints, complete or not, the one that ``latest`` names first, then the newest."""
        self._files.invalidate_cache()
        found = [path.rstrip("/").rpartition("/")[2] for path in self._files.ls(self._root, detail=False)]
        ordered = sorted(filter(is_checkpoint_name, found), key=lambda name: [int(part) for part in name.split("-")[1:]], reverse=True)
        try:
            latest = self._files.cat_file(f"{self._root}/{LATEST}", start=0, end=MAX_NAME_BYTES).decode(errors="replace").strip()
        except FileNotFoundError:
            return ordered
        return sorted(ordered, key=lambda name: name != latest)

    def load(self, name: str) -> dict[str, Any]:
        """Download a checkpoint and load its states.

        Raises
        ------
        CheckpointError
            It is incomplete or damaged.
        """
        place = f"{self._root}/{name}"
        with tempfile.TemporaryDirectory(prefix="ganwatch-") as folder:
            local = Path(folder)
            try:
                (local / NAME).write_bytes(self._files.cat_file(f"{place}/{NAME}", start=0, end=MAX_MANIFEST_BYTES))
            except FileNotFoundError:
                raise CheckpointError(f"checkpoint must have a {NAME}, got none in {self.url}/{name}: it was not completed") from None
            for file, entry in read_manifest(local).files.items():
                try:
                    size = self._files.info(f"{place}/{file}")["size"]
                except FileNotFoundError:
                    raise CheckpointError(f"checkpoint must have the file {file!r}, got none in {self.url}/{name}") from None
                if size != entry.size:
                    raise CheckpointError(f"{file!r} must have {entry.size:,} bytes, got {size:,}: it was cut off or changed")
                self._files.get_file(f"{place}/{file}", str(local / file))
            return read_checkpoint(local)[1]


def load_remote_checkpoint(url: str) -> dict[str, Any]:
    """Load the latest checkpoint of a storage that can be read.

    Raises
    ------
    CheckpointError
        It has none, or cannot be reached.
    """
    storage, faults = CheckpointStorage(url), []
    try:
        for name in storage.names():
            try:
                return storage.load(name)
            except CheckpointError as error:
                faults.append(f"{name}: {error}")
                log.warning("checkpoint %s of %s is passed over: %s", name, storage.url, error)
    except Exception as error:  # packages of protocols document no errors
        raise CheckpointError(f"path must be a storage that can be read, got {storage.url}: {show_error(error):.{MAX_REASON}}") from error
    raise CheckpointError(f"path must have a checkpoint that can be read, got {storage.url}: {'; '.join(faults) or 'none'}")


class CheckpointCopies(Worker):
    """Copies verified checkpoints in a thread, with further attempts after a failure. If copying is slower than saving, the newest counts.

    Parameters
    ----------
    storage : CheckpointStorage
    pauses : sequence of float, seconds
        Before each further attempt.
    """

    def __init__(self, storage: CheckpointStorage, pauses: Sequence[float]) -> None:
        super().__init__("ganwatch-checkpoints-copies")
        self.storage, self._pauses = storage, pauses
        self._waiting: deque[_Task] = deque()

    def submit(self, checkpoint: Path) -> None:
        """Have a checkpoint copied; it takes the place of one that waits."""
        with self._condition:
            self._waiting = deque([*(one for one in self._waiting if one.is_removal), _Task(checkpoint)])
            self._wake()

    def remove(self, checkpoint: Path) -> None:
        """Have the copy of a checkpoint removed."""
        with self._condition:
            if not self._is_closing:
                self._waiting.append(_Task(checkpoint, is_removal=True))
                self._wake()

    def close(self, timeout: float) -> None:
        """Copy what waits, without pauses between attempts, and end the thread."""
        if not self._end(timeout):
            log.error("checkpoints could not be copied to %s within %g s", self.storage.url, timeout)

    @property
    def _has_work(self) -> bool:
        return bool(self._waiting)

    def _take(self) -> _Task:
        return self._waiting.popleft()

    def _handle(self, piece: _Task) -> None:
        fault = ""
        for _ in self._attempts(self._pauses):
            try:
                if piece.is_removal:
                    self.storage.remove(piece.path.name)
                elif piece.path.exists():  # else it made room meanwhile
                    self.storage.write(piece.path)
            except Exception as error:  # noqa: BLE001  # packages of protocols document no errors
                fault = f"{show_error(error):.{MAX_REASON}}"
                log.warning("%s could not be %s %s: %s", piece.path.name, _describe(piece), self.storage.url, fault)
            else:
                return
        if not piece.is_removal:
            log.error("the checkpoint %s could not be copied to %s: %s", piece.path.name, self.storage.url, fault)
            step = int(piece.path.name.split("-")[1])
            failed = SavedCheckpoint(f"{self.storage.url}/{piece.path.name}", step, created=time.time(), fault=f"not copied: {fault}")
            with self._condition:
                self._results.append(failed)


def _describe(task: _Task) -> str:
    return "removed from" if task.is_removal else "copied to"
