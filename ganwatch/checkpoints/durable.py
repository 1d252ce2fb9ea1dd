"""Files and folders that are whole or not there after a crash: written beside, flushed, renamed, and the folder above flushed."""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import psutil

from ganwatch.core.files import open_regular

TEMPORARY = ".writing-"
"""Beginning of the names of files and folders that are not complete; the process that writes follows."""
CHUNK = 2**20
"""Bytes that are hashed at once."""
MAX_DIGITS = 9
"""Longest number of a process."""


def name_beside(name: str) -> str:
    """Return the name under which this process writes what gets a name later."""
    return f"{TEMPORARY}{socket.gethostname()}~{os.getpid()}~{name}"


def is_abandoned(name: str) -> bool:
    """Return True if a name beside is that of a process of this machine that has ended."""
    host, _, rest = name.removeprefix(TEMPORARY).partition("~")
    pid = rest.partition("~")[0]
    is_own = name.startswith(TEMPORARY) and host == socket.gethostname() and pid.isdecimal() and len(pid) <= MAX_DIGITS
    return is_own and not psutil.pid_exists(int(pid))


class HashingFile:
    """Binary file for ``torch.save`` and the like that hashes what is written, in memory, before it reaches the disk.

    Attributes
    ----------
    size : int, bytes
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._hash, self.size = file, hashlib.sha256(), 0

    def write(self, data: bytes) -> int:
        """Write and hash."""
        self._hash.update(data)
        self.size += len(data)
        return self._file.write(data)

    def flush(self) -> None:
        """Flush."""
        self._file.flush()

    @property
    def sha256(self) -> str:
        """Hash of what was written so far."""
        return self._hash.hexdigest()


def write_file(path: Path, write: Callable[[HashingFile], object]) -> HashingFile:
    """Write a new file and flush it to the disk. Return its size and hash."""
    with path.open("xb") as file:
        hashing = HashingFile(file)
        write(hashing)
        file.flush()
        os.fsync(file.fileno())
    return hashing


def replace_file(path: Path, content: bytes) -> None:
    """Replace a small file, so that a crash leaves the former one or the new one."""
    beside = path.with_name(name_beside(path.name))
    beside.unlink(missing_ok=True)
    write_file(beside, lambda file: file.write(content))
    beside.replace(path)
    flush_folder(path.parent)


def publish_folder(beside: Path, target: Path) -> None:
    """Give a folder whose files are flushed its name, for good."""
    flush_folder(beside)
    beside.rename(target)
    flush_folder(target.parent)


def flush_folder(folder: Path) -> None:
    """Flush the names in a folder to the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_folder(folder: Path) -> None:
    """Remove a folder; it loses its name first, so that nobody finds a part of it."""
    gone = folder.with_name(name_beside(f"removed-{folder.name}"))
    folder.rename(gone)
    shutil.rmtree(gone)


def hash_file(path: Path) -> tuple[int, str]:
    """Return the size of a regular file in bytes, and its SHA-256."""
    digest, size = hashlib.sha256(), 0
    with open_regular(path, path.name) as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
            size += len(chunk)
    return size, digest.hexdigest()
