"""System calls of a save, counted in this process, before or after one of which it may kill itself or fail."""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ganwatch.checkpoints import durable

CALLS = ("mkdir", "open", "fsync", "rename", "replace", "unlink", "rmdir", "write")
"""Names of calls that change a folder or a file."""


class FaultPoints:
    """Counts the calls on files below a folder, and acts at one of them.

    Parameters
    ----------
    folder : Path
    act : callable
        Called with the number of each call, from 1, before it.
    """

    def __init__(self, folder: Path, act: Callable[[int], None]) -> None:
        self.folder, self.act = folder, act
        self.calls: list[str] = []
        self._descriptors: dict[int, str] = {}

    def note(self, call: str, path: Any) -> None:
        """Note a call on a path."""
        path = self._descriptors.get(path, "") if isinstance(path, int) else os.fspath(path)
        if not str(path).startswith(str(self.folder)):
            return
        name = str(Path(path).relative_to(self.folder)).replace(durable.name_beside(""), "beside:")
        self.calls.append(f"{call} {name}")
        self.act(len(self.calls))

    def full_path(self, path: Any, folder: int | None) -> Any:
        """Return a path with that of the open folder which it is relative to."""
        return path if folder is None else Path(self._descriptors.get(folder, ""), path)

    def opened(self, descriptor: int, path: Any) -> None:
        """Remember the path of a descriptor."""
        self._descriptors[descriptor] = os.fspath(path)


@contextmanager
def watched(folder: Path, act: Callable[[int], None], patch: Callable[[Any, str, Any], None]) -> Iterator[FaultPoints]:
    """Watch the calls below a folder within the block; ``patch`` sets an attribute until the end of the test."""
    points = FaultPoints(folder, act)
    for name in ("mkdir", "rename", "replace", "unlink", "rmdir"):
        original = getattr(os, name)

        def wrapped(path: Any, *args: Any, call: str = name, original: Any = original, **options: Any) -> Any:
            points.note(call, points.full_path(path, options.get("dir_fd")))
            return original(path, *args, **options)

        patch(os, name, wrapped)
    original_fsync, original_open, original_write = os.fsync, os.open, durable.HashingFile.write
    original_path_open = Path.open

    def fsync(descriptor: int) -> None:
        points.note("fsync", descriptor)
        original_fsync(descriptor)

    def opened(path: Any, *args: Any, **options: Any) -> int:
        descriptor = original_open(path, *args, **options)
        points.opened(descriptor, points.full_path(path, options.get("dir_fd")))
        return descriptor

    def path_open(path: Path, mode: str = "r", *args: Any, **options: Any) -> Any:
        if "x" in mode or "w" in mode:
            points.note("create", path)
        file = original_path_open(path, mode, *args, **options)
        points.opened(file.fileno(), path)
        return file

    def write(hashing: durable.HashingFile, data: bytes) -> int:
        points.note("write", hashing._file.fileno())
        return original_write(hashing, data)

    patch(os, "fsync", fsync)
    patch(os, "open", opened)
    patch(Path, "open", path_open)
    patch(durable.HashingFile, "write", write)
    yield points


def kill_at(number: int) -> Callable[[int], None]:
    """Return an act that kills this process at a call."""

    def act(count: int) -> None:
        if count == number:
            os.kill(os.getpid(), signal.SIGKILL)

    return act


def fail_at(numbers: range, error: int = errno.EIO) -> Callable[[int], None]:
    """Return an act that raises an error at some calls."""

    def act(count: int) -> None:
        if count in numbers:
            raise OSError(error, os.strerror(error))

    return act
