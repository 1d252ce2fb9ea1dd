"""Files of unknown origin: only regular ones are opened, bounded in bytes, and folders are walked once each whatever links say."""

from __future__ import annotations

import os
import re
import stat
import tomllib
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

from ganwatch.core.errors import UserError, show_value

MAX_FILES = 2_000_000
"""Most files and folders below a folder."""
MAX_TEXT_BYTES = 2**20
"""Largest text file with settings, such as a preset, in bytes."""
MAX_DOTS = 50
"""Most dots of a key, or of another part of a line, of a TOML file."""
_KINDS = {
    stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device", stat.S_IFDIR: "a folder"
}  # fmt: skip


def open_regular(path: str | Path, argument: str, *, limit: int | None = None) -> BinaryIO:
    """Open a regular file for reading; nothing else is opened, because a pipe may block and a device may never end.

    Parameters
    ----------
    path : str or Path
        May be a link.
    argument : str
        Name of the file in errors.
    limit : int or None, bytes
        Size up to which a file is opened.

    Raises
    ------
    OSError
        The file does not exist or may not be read.
    UserError
        It is no regular file, or larger than ``limit``.

    Examples
    --------
    >>> open_regular("/dev/zero", "preset")
    Traceback (most recent call last):
    ganwatch.core.errors.UserError: preset must be a regular file, got a device: '/dev/zero'
    """
    _check_kind(Path(path).stat(), path, argument, limit)
    file = os.fdopen(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK), "rb")
    try:
        _check_kind(os.fstat(file.fileno()), path, argument, limit)  # it may have been replaced
    except UserError:
        file.close()
        raise
    return file


def check_regular(path: str | Path, argument: str) -> None:
    """Refuse a path that leads to anything but a regular file.

    Raises
    ------
    OSError
        The file does not exist or may not be read.
    UserError
        It is no regular file.
    """
    _check_kind(Path(path).stat(), path, argument, None)


def _check_kind(status: os.stat_result, path: str | Path, argument: str, limit: int | None) -> None:
    if not stat.S_ISREG(status.st_mode):
        kind = _KINDS.get(stat.S_IFMT(status.st_mode), "something else")
        raise UserError(f"{argument} must be a regular file, got {kind}: {show_value(str(path))}")
    if limit is not None and status.st_size > limit:
        raise UserError(f"{argument} must be a file of at most {limit:,} bytes, got {status.st_size:,}: {show_value(str(path))}")


def read_toml(path: str | Path, argument: str, rule: str) -> dict[str, Any]:
    """Read a TOML file of at most ``MAX_TEXT_BYTES``.

    Raises
    ------
    UserError
        The file cannot be read or is no TOML file; the message says that ``argument`` must be ``rule``.
    """
    try:
        with open_regular(path, argument, limit=MAX_TEXT_BYTES) as file:
            text = file.read(MAX_TEXT_BYTES).decode()
        has_long_key = max(part.count(".") for part in re.split(r"[\n,{\[]", text)) > MAX_DOTS  # each part is a table within the last
        content = {} if has_long_key else tomllib.loads(text)
    except UserError:
        raise
    except RecursionError:
        raise UserError(f"{argument} must be {rule}, got {show_value(str(path))}: its values are nested too deeply") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{argument} must be {rule}, got {show_value(str(path))}: {getattr(error, 'strerror', None) or error}") from error
    if has_long_key:
        raise UserError(f"{argument} must be {rule}, got {show_value(str(path))}: a key has more than {MAX_DOTS} parts")
    return content


def is_folder(path: str | Path) -> bool:
    r"""Return True if a path leads to a folder; False too where no path can be, as one that is too long.

    >>> is_folder("/"), is_folder("x" * 5000), is_folder("a\0b")
    (True, False, False)
    """
    try:
        return stat.S_ISDIR(Path(path).stat().st_mode)
    except (OSError, ValueError):
        return False


def exists(path: str | Path) -> bool:
    """Return True if a path leads somewhere; False too where no path can be."""
    try:
        Path(path).stat()
    except (OSError, ValueError):
        return False
    return True


def walk_files(folder: Path, argument: str) -> Iterator[Path]:
    """Yield everything below a folder that is no folder, in the order of the paths. A folder that several links lead to is entered once.

    Raises
    ------
    UserError
        A folder cannot be read, or more than ``MAX_FILES`` are below it.
    """
    entered: set[tuple[int, int]] = set()
    waiting = [folder]
    for _ in range(MAX_FILES):
        if not waiting:
            return
        path = waiting.pop()
        try:
            status = path.stat()
            if path != folder and not stat.S_ISDIR(status.st_mode):
                yield path
                continue
            place = status.st_dev, status.st_ino
            if place not in entered:
                entered.add(place)
                waiting += sorted(islice(path.iterdir(), MAX_FILES), reverse=True)
        except OSError as error:
            if path.is_symlink():
                yield path  # leads nowhere
                continue
            raise UserError(f"{argument} must be a folder that can be read, got {show_value(str(path))}: {error.strerror}") from error
    raise UserError(f"{argument} must be a folder of at most {MAX_FILES:,} files, got more in {show_value(str(folder))}")
