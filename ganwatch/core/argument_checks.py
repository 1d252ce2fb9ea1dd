"""Checks of arguments that need nothing but the argument: numbers, texts, ports, and places to write to."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from tempfile import TemporaryFile

from ganwatch.core.errors import UserError

MAX_PORT = 65_535
"""Largest port: 16 bits."""
MAX_SEED = 2**32 - 1
"""Largest seed: 32 bits, as NumPy has it."""
MAX_COUNT = 2**31 - 1
"""Largest number of steps or samples: 32 bits with a sign, as the store has steps."""
TRIAL_BYTES = 65_536
"""Bytes that are written for a moment to see if a folder takes them."""
MAX_SHOWN = 60
"""Characters of a wrong value that are shown."""


def shorten(value: object) -> str:
    """Return a value as text, its end left out where it is long.

    >>> shorten(10**4000)[-8:], shorten(0.5)
    ('0000000…', '0.5')
    """
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}…"


def check_integer(argument: str, value: int, low: int, high: int | None = None, unit: str = "") -> None:
    """Refuse a whole number outside of a range, both ends included.

    >>> check_integer("--limit", 0, 1, unit="samples")
    Traceback (most recent call last):
    ganwatch.core.errors.UserError: --limit must be >= 1 (samples), got 0
    """
    if value < low or (high is not None and value > high):
        bounds = f">= {low}" if value < low else f"in {low}…{high}"
        raise UserError(f"{argument} must be {bounds}{f' ({unit})' if unit else ''}, got {shorten(value)}")


def check_text(argument: str, text: str) -> None:
    r"""Refuse a text with a NUL character, or with bytes that were no UTF-8.

    >>> check_text("--store", "a\0b")
    Traceback (most recent call last):
    ganwatch.core.errors.UserError: --store must be UTF-8 text without a NUL character, got 'a\x00b'
    """
    if "\0" in text or any("\ud800" <= one <= "\udfff" for one in text):
        raise UserError(f"{argument} must be UTF-8 text without a NUL character, got {shorten(repr(text))}")


def check_free_port(argument: str, port: int | None, address: str = "127.0.0.1") -> None:
    """Refuse a port that another program uses or this user may not open. None and 0, any free one, pass."""
    if port is None:
        return
    check_integer(argument, port, 0, MAX_PORT)
    try:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((address, port))
            probe.listen()
    except OSError as error:
        raise UserError(f"{argument} must be a port that is free on {address} (0 takes one), got {port}: {error.strerror}") from error


def check_output_file(argument: str, path: str | Path, *, makes_folder: bool = False) -> None:
    """Refuse a file that cannot be written: it is a folder, its folder does not exist, or the rights are missing.

    ``makes_folder`` says that a folder that does not exist is made.
    """
    path = Path(path)
    rule = f"{argument} must be a file in a folder that exists{' or can be made' * makes_folder}, got {str(path)!r}"
    try:
        if path.is_dir() or (path.exists() and not path.is_file()):
            raise UserError(f"{rule}, which is {'a folder' if path.is_dir() else 'no file'}")
        if path.is_file() and not os.access(path, os.W_OK):
            raise UserError(f"{rule}, which cannot be written to")
    except OSError as error:
        raise UserError(f"{rule}: {error.strerror}") from error
    _check_folder(rule, path.parent, makes_folder=makes_folder)


def check_output_folder(argument: str, path: str | Path) -> None:
    """Refuse a folder that cannot be made or written to."""
    rule = f"{argument} must be a folder that exists or can be made, got {str(path)!r}"
    if not str(path):
        raise UserError(rule)
    _check_folder(rule, Path(path), makes_folder=True)


def check_output_store(argument: str, store: str) -> None:
    """Refuse a store that is a folder or a file and cannot be written. A URL is checked when it is opened."""
    if not store:
        raise UserError(f"{argument} must be a folder, an SQLite file or a SQLAlchemy URL, got an empty text")
    check_text(argument, store)
    if "://" not in store:
        path = Path(store).expanduser()
        rule = f"{argument} must be a folder or file that exists or can be made, got {shorten(repr(store))}"
        _check_folder(rule, path.parent if os.path.isfile(path) else path, makes_folder=True)  # noqa: PTH113  # raises no error


def _check_folder(rule: str, folder: Path, *, makes_folder: bool) -> None:
    """Raise the rule with what is wrong about a folder, or about the nearest one above it that exists."""
    folder = folder.expanduser().absolute()
    try:
        existing = next(one for one in (folder, *folder.parents) if one.exists())
        if existing != folder and not makes_folder:
            raise UserError(f"{rule}: there is no folder {str(folder)!r}")
        if not existing.is_dir():
            raise UserError(f"{rule}: {str(existing)!r} is no folder")
        with TemporaryFile(dir=existing) as file:  # rights alone do not tell a full or a special file system
            file.write(bytes(TRIAL_BYTES))
    except OSError as error:  # also a name that is too long, a loop of links, a working folder that is gone
        raise UserError(f"{rule}: {error.strerror}") from error
