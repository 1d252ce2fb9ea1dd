"""Scalars of one of TensorBoard's event files, and the places at which it is damaged.

A file is a sequence of records: length (uint64, little-endian), its checksum, content and its checksum. The content is an ``Event``. A
record whose content is damaged is skipped; where a length is damaged, the rest of the file cannot be found.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from ganwatch.core.errors import UserError, show_value
from ganwatch.core.files import open_regular
from ganwatch.core.readings import MAX_STEP

MAX_AXES = 32
"""Most axes of a tensor."""
MAX_RECORD_BYTES = 2**18
"""Largest record that is read. Larger ones hold images or graphs, and are passed over."""
_LENGTH, _CHECKSUM = struct.Struct("<Q"), struct.Struct("<I")
_FIELDS = {
    "DT_FLOAT": ("float_val", "<f4"),
    "DT_DOUBLE": ("double_val", "<f8"),
    "DT_INT32": ("int_val", "<i4"),
    "DT_INT64": ("int64_val", "<i8"),
}
"""Field and packed type of a number, by the name of its type."""


class EventFile:
    """Scalars of an event file.

    Parameters
    ----------
    path : Path

    Attributes
    ----------
    damage : list of str
        Damage found so far, without the name of the file.
    """

    def __init__(self, path: Path) -> None:
        try:
            from tensorboard.compat.proto.event_pb2 import Event
            from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import masked_crc32c
        except ModuleNotFoundError as error:
            raise UserError('event files need tensorboard, which is not installed: pip install "ganwatch[tensorboard]"') from error
        self.path, self.damage = path, list[str]()
        self._parse, self._checksum = Event.FromString, masked_crc32c

    def scalars(self) -> Iterator[tuple[str, int, float]]:
        """Yield tag, step and value, in the order of the file.

        Raises
        ------
        UserError
            The file cannot be opened.
        """
        names: set[str] = set()  # tags of scalars; only the first value of a tag says what it is
        try:
            with open_regular(self.path, "SOURCE") as file:
                for place, content in self._records(file):
                    yield from self._scalars_of(place, content, names)
        except OSError as error:
            raise UserError(f"SOURCE must be an event file that can be read, got {str(self.path)!r}: {error.strerror}") from error

    def _records(self, file: BinaryIO) -> Iterator[tuple[int, bytes]]:
        """Yield the position and content of each undamaged record."""
        size = file.seek(0, 2)
        place = file.seek(0)
        while place < size:
            head = file.read(_LENGTH.size + _CHECKSUM.size)
            if len(head) < _LENGTH.size + _CHECKSUM.size:
                self.damage.append(f"ends within a record at byte {place:,}")
                return
            (length,), (checksum,) = _LENGTH.unpack_from(head), _CHECKSUM.unpack_from(head, _LENGTH.size)
            if self._checksum(head[: _LENGTH.size]) != checksum:
                self.damage.append(f"is damaged at byte {place:,}, and {size - place:,} bytes from there on cannot be read")
                return
            end = place + len(head) + length + _CHECKSUM.size
            if end > size:
                self.damage.append(f"ends within a record at byte {place:,}")
                return
            if length <= MAX_RECORD_BYTES:
                content = file.read(length)
                if self._checksum(content) == _CHECKSUM.unpack(file.read(_CHECKSUM.size))[0]:
                    yield place, content
                else:
                    self.damage.append(f"has a damaged record of {length:,} bytes at byte {place:,}")
            place = file.seek(end)

    def _scalars_of(self, place: int, content: bytes, names: set[str]) -> Iterator[tuple[str, int, float]]:
        from google.protobuf.message import DecodeError

        try:
            event = self._parse(content)
        except DecodeError:
            self.damage.append(f"has a record that is no event at byte {place:,}")
            return
        for value in event.summary.value:
            if value.HasField("simple_value"):
                number: float | None = float(value.simple_value)
            else:
                if value.metadata.plugin_data.plugin_name == "scalars":
                    names.add(value.tag)
                if value.tag not in names or not value.HasField("tensor"):
                    continue
                number = _to_number(value.tensor)
            if number is None:
                self.damage.append(f"has no number for {show_value(value.tag)} in the record at byte {place:,}")
            elif not 0 <= event.step <= MAX_STEP:
                self.damage.append(f"has step {event.step} in the record at byte {place:,}, which is not in 0…{MAX_STEP:,}")
            else:
                yield value.tag, event.step, number


def _to_number(tensor: Any) -> float | None:
    """Return the one number of a tensor, or None if it holds anything else."""
    from tensorboard.compat.proto.types_pb2 import DataType

    field, packed = _FIELDS.get(DataType.Name(tensor.dtype) if tensor.dtype in DataType.values() else "", ("", ""))
    if not field or len(tensor.tensor_shape.dim) > MAX_AXES or math.prod(axis.size for axis in tensor.tensor_shape.dim) != 1:
        return None
    numbers = list(getattr(tensor, field)) or np.frombuffer(tensor.tensor_content[:8], packed).tolist()
    return float(numbers[0]) if len(numbers) == 1 else None
