"""ZIP archives of unknown origin: bounded in members and in bytes, before anything is decompressed."""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

from ganwatch.core.errors import UserError

MAX_MEMBERS = 10_000
"""Most members of an archive."""
MAX_DIRECTORY_BYTES = 2**22
"""Largest directory of an archive, in bytes."""
FREE_BYTES = 2**28
"""Size of a member, in bytes, up to which it may be compressed as far as it goes."""
MAX_RATIO = 100
"""Largest ratio of the size of a larger member to its compressed size. Images and labels reach 50; a bomb has 1,000."""
_END = struct.Struct("<4s4H2LH")
_END64 = struct.Struct("<4sQ2H2L4Q")
_LOCATOR_BYTES = 20
_END_SIGNATURE, _END64_SIGNATURE = b"PK\x05\x06", b"PK\x06\x06"
_TAIL_BYTES = _END.size + _END64.size + _LOCATOR_BYTES + 65_535
"""Bytes from the end of a file in which the records at an archive's end lie, with the longest comment."""
_METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}
_DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, struct.error, ValueError, OSError, OverflowError)


@contextmanager
def open_archive(file: BinaryIO, argument: str, name: str) -> Iterator[zipfile.ZipFile]:
    """Open an archive, and turn errors that reading it raises within the block into a ``UserError``.

    Parameters
    ----------
    file : binary file
        Can be positioned.
    argument, name : str
        Name of the argument and of the file in errors.

    Raises
    ------
    UserError
        The archive is damaged, or has more members than ``MAX_MEMBERS``.
    """
    try:
        _check_directory(file, argument, name)
        with zipfile.ZipFile(file) as archive:
            yield archive
    except UserError:
        raise
    except _DAMAGE as error:
        raise UserError(f"{argument} must be an undamaged archive, got {name!r}: {type(error).__name__}: {error}") from error


def check_member(member: zipfile.ZipInfo, argument: str, name: str) -> None:
    """Refuse a member that is encrypted, compressed in an unusual way, or a bomb.

    Raises
    ------
    UserError
        Names the member.
    """
    place = f"member {member.filename!r} of {name!r}"
    if member.flag_bits & 1:
        raise UserError(f"{argument} must not be encrypted, got an encrypted {place}")
    if member.compress_type not in _METHODS:
        raise UserError(f"{argument} must be stored or deflated, got compression method {member.compress_type} in {place}")
    if member.file_size > max(FREE_BYTES, MAX_RATIO * member.compress_size):
        sizes = f"{member.compress_size:,} bytes that become {member.file_size:,}"
        raise UserError(f"{argument} must be compressed at most {MAX_RATIO} times beyond {FREE_BYTES:,} bytes, got {sizes} in {place}")


def _check_directory(file: BinaryIO, argument: str, name: str) -> None:
    """Bound what ``zipfile`` reads when it opens an archive, by the records at the archive's end."""
    file.seek(max(0, file.seek(0, 2) - _TAIL_BYTES))
    tail = file.read(_TAIL_BYTES)
    position = tail.rfind(_END_SIGNATURE)
    if position < 0 or len(tail) - position < _END.size:
        raise UserError(f"{argument} must be an undamaged archive, got {name!r}, whose end is missing")
    members, directory_bytes = _END.unpack_from(tail, position)[4:6]
    position64 = position - _LOCATOR_BYTES - _END64.size
    if position64 >= 0 and tail[position64:].startswith(_END64_SIGNATURE):
        members, directory_bytes = _END64.unpack_from(tail, position64)[7:9]
    if members > MAX_MEMBERS or directory_bytes > MAX_DIRECTORY_BYTES:
        raise UserError(f"{argument} must be an archive of at most {MAX_MEMBERS:,} members, got {members:,} in {name!r}")
    file.seek(0)
