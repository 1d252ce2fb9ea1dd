"""Arrays and tensors, in memory or in NumPy files without pickled objects."""

from __future__ import annotations

import math
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import IO, Any, BinaryIO
from zipfile import ZipFile, ZipInfo

import numpy as np
from numpy.typing import NDArray

from ganwatch.core.errors import UserError, show_names, show_value
from ganwatch.core.files import open_regular
from ganwatch.core.zip_archives import check_member, open_archive
from ganwatch.data.source import ITEM_KEYS, LABEL_KEYS, Item, Source, to_array, to_label

SUFFIXES = (".npy", ".npz")
MAX_LABELS = 2**21
"""Most labels of an ``.npz`` file."""
MAX_VALUES = 2**25
"""Most values of an item."""
MAX_LABEL_BYTES = 2**27
"""Largest array of labels of an ``.npz`` file, in bytes."""
MAX_AXES = 32
"""Most axes of an array."""
_ARCHIVE = b"PK"
_CHUNK = 2**24
_HEADER_READERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


def open_arrays(items: Any, labels: Any, name: str, argument: str, *, value_range: tuple[float, float] | None = None) -> Source:
    """Open the rows of an array or a tensor as items, with one label each where there are labels."""
    if items.ndim == 0:
        raise UserError(f"{argument} must have a first axis that counts items, got a single number")
    if isinstance(items, np.ndarray) and items.dtype.kind not in "biuf":
        raise UserError(f"{argument} must hold real numbers, got dtype {items.dtype}")
    if len(items) and math.prod(items.shape) == 0:
        raise UserError(f"{argument} must hold items with values, got an array of shape {tuple(items.shape)}")
    classes: list[int | str] | None = None
    if labels is not None:
        if len(labels) != len(items):
            raise UserError(f"{argument} must have one label an item, got {len(items)} items and {len(labels)} labels")
        plain = [to_label(label) for label in labels]
        classes = None if any(label is None for label in plain) else [label for label in plain if label is not None]

    def read(index: int) -> Item:
        return Item(to_array(items[index]), classes[index] if classes else None)

    return Source(name, len(items), read, labels=classes, value_range=value_range)


def open_file(file: Path | BinaryIO, name: str, argument: str) -> Source:
    """Open the array of an ``.npy`` file, or the array and labels of an ``.npz`` file.

    An ``.npy`` file is mapped into memory, so its values stay on disk. Of an ``.npz`` file only the array and the labels are decompressed.

    Raises
    ------
    UserError
        The file is damaged, no NumPy file, too large, holds pickled objects, or has no array under a name of ``ITEM_KEYS``.
    """
    try:
        with open_regular(file, argument) if isinstance(file, Path) else nullcontext(file) as opened:
            is_archive = opened.read(len(_ARCHIVE)) == _ARCHIVE
            opened.seek(0)
            if is_archive:
                return _open_archive(opened, name, argument)
            return open_arrays(_map(opened, name, argument), None, name, argument)
    except OSError as error:
        raise UserError(f"{argument} must be a readable NumPy file, got {name!r}: {error.strerror or error}") from error


def read_features(file: BinaryIO, name: str, argument: str) -> NDArray[np.float32]:
    """Return the rows of an ``.npy`` file of float32 ``(N, D)``.

    Raises
    ------
    UserError
        The file is damaged, or holds anything else.
    """
    try:
        shape, is_fortran, dtype = _read_header(file, repr(name), argument)
        if len(shape) != 2 or dtype != np.float32:
            raise UserError(f"{argument} must hold float32 features of shape (N, D), got {dtype} of shape {shape} in {name!r}")
        content = _check_size(file, shape, dtype, name, argument)
        array = np.frombuffer(file.read(content), dtype)
    except OSError as error:
        raise UserError(f"{argument} must be a readable NumPy file, got {name!r}: {error.strerror or error}") from error
    return array.reshape(shape, order="F" if is_fortran else "C").astype(np.float32)


def _open_archive(file: BinaryIO, name: str, argument: str) -> Source:
    with open_archive(file, argument, name) as archive:
        members = {member.filename.removesuffix(".npy"): member for member in archive.infolist()}
        key = next((key for key in ITEM_KEYS if key in members), None)
        if key is None:
            got = show_names(sorted(members))
            raise UserError(f"{argument} must hold an array named one of {', '.join(ITEM_KEYS)}, got {got} in {name!r}")
        label_key = next((key for key in LABEL_KEYS if key in members), None)
        items = _read_member(archive, members[key], name, argument)
        if label_key is not None and members[label_key].file_size > MAX_LABEL_BYTES:
            size = members[label_key].file_size
            raise UserError(f"{argument} must have labels of at most {MAX_LABEL_BYTES:,} bytes, got {size:,} in {label_key!r} of {name!r}")
        labels = None if label_key is None else _read_member(archive, members[label_key], name, argument)
    if labels is not None and (labels.ndim == 0 or len(labels) > MAX_LABELS):
        got = "a single value" if labels.ndim == 0 else f"{len(labels):,}"
        raise UserError(f"{argument} must hold a list of at most {MAX_LABELS:,} labels, got {got} in {label_key!r} of {name!r}")
    return open_arrays(items, labels, name, argument)


def _read_member(archive: ZipFile, member: ZipInfo, name: str, argument: str) -> NDArray[Any]:
    """Read an array that has exactly as many bytes as its header says."""
    check_member(member, argument, name)
    place = f"{member.filename!r} of {name!r}"
    with archive.open(member) as file:
        shape, is_fortran, dtype = _read_header(file, place, argument)
        size = math.prod(shape) * dtype.itemsize
        if size != member.file_size - file.tell():
            raise UserError(f"{argument} must hold the {size:,} bytes of its header, got {member.file_size - file.tell():,} in {place}")
        array = np.empty(math.prod(shape), dtype)
        buffer, filled = array.view(np.uint8), 0
        while filled < size and (chunk := file.read(min(_CHUNK, size - filled))):
            buffer[filled : filled + len(chunk)] = np.frombuffer(chunk, np.uint8)
            filled += len(chunk)
        if filled < size or file.read(1):
            raise UserError(f"{argument} must hold the {size:,} bytes of its header, got {filled:,} in {place}")
    return array.reshape(shape, order="F" if is_fortran else "C")


def _map(file: BinaryIO, name: str, argument: str) -> NDArray[Any]:
    shape, is_fortran, dtype = _read_header(file, repr(name), argument)
    if _check_size(file, shape, dtype, name, argument) == 0:
        return np.empty(shape, dtype)
    return np.memmap(file, dtype, "r", file.tell(), shape, "F" if is_fortran else "C")


def _check_size(file: BinaryIO, shape: tuple[int, ...], dtype: np.dtype[Any], name: str, argument: str) -> int:
    """Return the bytes of the values, which begin at the position of the file; refuse a file that has fewer."""
    size, start = math.prod(shape) * dtype.itemsize, file.tell()
    available = file.seek(0, 2) - start
    file.seek(start)
    if size > available:
        raise UserError(f"{argument} must hold the {size:,} bytes of its header, got {available:,} in {name!r}")
    return size


def _read_header(file: IO[bytes], place: str, argument: str) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Read shape, order and type; the position is then that of the values."""
    try:
        version = np.lib.format.read_magic(file)
        shape, is_fortran, dtype = _HEADER_READERS[version](file)
    except KeyError:
        raise UserError(f"{argument} must be a NumPy file of version 1.0 or 2.0, got another version in {place}") from None
    except Exception as error:
        reason = str(error).strip().partition("\n")[0]
        raise UserError(f"{argument} must be a readable NumPy file, got {place}: {type(error).__name__}: {reason}") from error
    if dtype.hasobject or dtype.itemsize == 0:
        raise UserError(f"{argument} must be a readable NumPy file without pickled objects, got dtype {dtype} in {place}")
    size = math.prod(filter(None, shape)) * dtype.itemsize  # of an empty array too, as numpy counts it
    if any(not 0 <= length <= sys.maxsize for length in shape) or len(shape) > MAX_AXES or size > sys.maxsize:
        raise UserError(f"{argument} must have a shape of at most {MAX_AXES} axes, got {str(shape)[:100]} in {place}")
    if math.prod(shape[1:]) > MAX_VALUES:
        raise UserError(f"{argument} must hold items of at most {MAX_VALUES:,} values, got shape {show_value(shape)} in {place}")
    return shape, is_fortran, dtype
