"""NumPy files: ``.npy`` and ``.npz``, written by hand."""

from __future__ import annotations

import io
import math
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from cases import MUTATED, ODD, VALID, Case, Cases, Target, built
from hypothesis import strategies as st
from mutations import PLANS, damage

from ganwatch.data.batches import SampleBatches
from ganwatch.data.opening import open_source

TYPES = ("|u1", "<i4", "<f4", "<f8", "|b1", ">i2", "<f2", ">f8", "<u8")
ODD_TYPES = ("|O", "|V0", "<U0", "<U5", "|S3", "<M8[ns]", "<c16", "V" + "9" * 12, "[('a','<f4')]", "<f4" * 500, "", "(3,)<f4")
ODD_SHAPES = (
    "()", "(0,)", "(0, 10000000000)", "(10000000000, 0)", "(9223372036854775807, 0)", "(-1,)", "(1" + "0" * 400 + ",)", "(2, 3",
    "(1,)" * 300,
    "(4294967296, 4294967296)", f"({'1, ' * 33})", "(3.5,)", "(True,)", "None", "(1,),) " + "(" * 3000, "(100000000, 0, 3)", "(2, 0)",
    "(0, 0)", "(50000000, 1)",
)  # fmt: skip


def header(descr: str, shape: str, *, order: str = "False", version: tuple[int, int] = (1, 0)) -> bytes:
    """Return the beginning of an ``.npy`` file."""
    text = f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}".encode("latin-1", "replace")
    size = struct.Struct("<H" if version == (1, 0) else "<I")
    text += b" " * (-(10 + len(text) + 1) % 64) + b"\n"
    return b"\x93NUMPY" + bytes(version) + (size.pack(len(text)) if len(text) < 2**16 or size.size > 2 else b"\xff\xff") + text


def valid_array(number: int, least: int = 1) -> tuple[bytes, dict[str, Any]]:
    """Return a file of random values, and type, shape and bytes of each item."""
    rng = np.random.default_rng(number)
    kind = np.dtype(TYPES[number % len(TYPES)])
    shape = tuple(int(one) for one in rng.integers(1, 6, rng.integers(least, 5)))
    values = rng.integers(0, 2 if kind.kind == "b" else 100, shape).astype(kind)
    is_fortran = bool(rng.integers(2))
    version = (1, 0) if rng.integers(2) else (2, 0)
    head = header(repr(kind.str), repr(shape), order=str(is_fortran), version=version)
    items = [(kind.newbyteorder("<").str, list(shape[1:]) or [1], one.reshape(-1).tolist()) for one in values]
    return head + values.tobytes("F" if is_fortran else "C"), {"items": items}


def read_items(path: Path) -> dict[str, Any]:
    """Read the items one by one, and in batches."""
    source = open_source(path)
    items = [source.read(index) for index in range(min(source.size, 8))]
    list(SampleBatches(source))
    found = {"items": [(one.array.dtype.newbyteorder("<").str, list(one.array.shape), one.array.reshape(-1).tolist()) for one in items]}
    return found | ({"labels": [one.label for one in items]} if source.labels is not None else {})


class Npy(Target):
    """An ``.npy`` file."""

    name = "npy"

    def cases(self) -> Cases:
        mutated = st.builds(
            lambda number, plan: Case(MUTATED, damage(valid_array(number)[0], plan)), st.integers(0, 2**32 - 1), PLANS
        )
        shapes = st.sampled_from(ODD_SHAPES) | st.lists(st.sampled_from((0, 1, 2, 3, 2**31, 2**40, 2**62, 10**7)),
            max_size=4).map(lambda one: repr(tuple(one)))
        odd = st.builds(
            lambda descr, shape, order, version, rest: Case(ODD, header(descr, shape, order=order, version=version) + rest),
            st.sampled_from([*map(repr, TYPES), *map(repr, ODD_TYPES), "[('a','<f4')]", "b'x'", "10**9"]),
            shapes,
            st.sampled_from(("False", "True", "3")),
            st.sampled_from(((1, 0), (2, 0), (3, 0), (9, 9))),
            st.binary(max_size=64),
        )
        return Cases(built(VALID, valid_array), mutated | odd)

    def read(self, case: Case, folder: Path) -> Any:
        path = folder / "data.npy"
        path.write_bytes(case.value)
        return read_items(path)


def valid_archive(number: int) -> tuple[bytes, dict[str, Any]]:
    """Return an archive of an array, and labels in two of three."""
    rng = np.random.default_rng(number)
    content, expected = valid_array(number, 2)
    members = {("x", "data", "arr_0", "images")[number % 4] + ".npy": content}
    if number % 3:
        labels = rng.integers(0, 9, len(expected["items"]))
        members[("y", "label")[number % 2] + ".npy"] = header("'<i8'", repr(labels.shape)) + labels.astype("<i8").tobytes()
        expected = expected | {"labels": labels.tolist()}
    return pack(members, zipfile.ZIP_DEFLATED if number % 2 else zipfile.ZIP_STORED), expected


def pack(members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """Return a ZIP archive."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


def odd_archive(number: int) -> bytes:  # noqa: PLR0911  # one for each kind
    """Return an archive with strange members, or a bomb."""
    rng = np.random.default_rng(number)
    body = lambda shape, values: header("'<f4'", repr(shape)) + values
    match number % 12:
        case 0:
            return pack({"x.npy": body((300_000_000,), b"") + bytes(2**20)})
        case 1:
            return pack({"x.npy": body((2**21, 64), bytes(2**29))})
        case 2:
            return pack({f"{index}.npy": b"" for index in range(int(rng.integers(1, 20_000)))})
        case 3:
            return pack({"x.npy": body((3, 2), bytes(24)),
                "y.npy": header("'<f8'", "(3,)") + struct.pack("<3d", math.nan, math.inf, 1e300)})
        case 4:
            return pack({"x.npy": body((3, 2), bytes(24)), "y.npy": header("'<U3'", "(3,)") + b"\xff" * 36})
        case 5:
            return pack({"x.npy": body((3, 2), bytes(24)), "y.npy": header("'<c16'", "(3,)") + bytes(48)})
        case 6:
            return pack({"x.npy": body((0, 10**12), b""), "y.npy": body((0,), b"")})
        case 7:
            return pack({"x.npy": body((10**12, 0), b"")})
        case 8:
            return pack({"x.npy": body((3, 2), bytes(24)), "y.npy": header("'<i8'", "(3, 0)")})
        case 9:
            return pack({"x.npy": body((3, 2), bytes(24)), "y.npy": header("'<M8[s]'", "(3,)") + b"\x7f" * 24})
        case 10:
            return pack({"../x.npy": b"", "x": body((1,), bytes(4)), "x/": b"", "\u202ex.npy": b"", "a" * 60_000: b""})
        case _:
            return pack({"x.npy": pack({"x.npy": body((1,), bytes(4))}), "y.npy": body((), bytes(4))})


class Npz(Target):
    """An ``.npz`` file."""

    name = "npz"

    def cases(self) -> Cases:
        seeds = st.integers(0, 2**32 - 1)
        mutated = st.builds(lambda number, plan, other: Case(MUTATED, damage(valid_archive(number)[0], plan, valid_archive(other)[0])),
            seeds, PLANS, seeds)
        return Cases(built(VALID, valid_archive), mutated | built(ODD, odd_archive))

    def read(self, case: Case, folder: Path) -> Any:
        path = folder / "data.npz"
        path.write_bytes(case.value)
        return read_items(path)


TARGETS = [Npy(), Npz()]
