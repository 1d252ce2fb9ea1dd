"""Recorded runs: Parquet, TensorBoard's event files and CSV, written without ganwatch."""

from __future__ import annotations

import io
import json
import math
import struct
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from cases import MUTATED, ODD, VALID, Case, Cases, Target, built
from hypothesis import strategies as st
from mutations import JSON, PLANS, damage

from ganwatch.calibration.replayed_runs import replay_runs
from ganwatch.core.detector_settings import create_detectors, discover_detectors
from ganwatch.core.signals import find_signal
from ganwatch.recordings.sources import open_sources

SERIES = ("loss/g", "loss/d", "d_auc", "grad_norm/g", "data_min/real")
SEEDS = st.integers(0, 2**32 - 1)


def readings(number: int) -> dict[int, dict[str, float]]:
    """Return readings by step and series."""
    rng = np.random.default_rng(number)
    steps = np.unique(rng.integers(0, 2**31 if number % 3 == 0 else 500, rng.integers(1, 12))).tolist()
    odd = (math.nan, math.inf, -math.inf, 0.0, -0.0, 1e308, 5e-324)
    value = lambda: odd[int(rng.integers(len(odd)))] if rng.integers(5) == 0 else float(np.float32(rng.normal()))
    steps_ = {step: {name: value() for name in SERIES if rng.integers(3)} or {"loss/g": 0.5} for step in steps}
    return {step: {name: _to_possible(name, x) for name, x in values.items()} for step, values in steps_.items()}


def _to_possible(name: str, value: float) -> float:
    """Return a value that the signal can have; one that is not finite stays."""
    signal = find_signal(name)
    return value if not math.isfinite(value) else min(max(value, signal.low), signal.high)


def read_all(path: Path, *, replay: bool) -> list[Any]:
    """Read all recordings of a path, and replay them."""
    sources = open_sources([str(path)])
    recordings = [recording for source in sources for recording in source()]
    if replay:
        list(replay_runs(sources, [lambda: create_detectors(discover_detectors())], on_damage=lambda _line: None))
    return [[one.name, {each.step: dict(each.values) for each in one.readings}] for one in recordings]


def schema() -> Any:
    import pyarrow as pa

    return pa.schema([("run", pa.string()), ("facts", pa.string()), ("series", pa.string()), ("step", pa.int32()), ("value", pa.float64())])


def parquet(runs: list[list[tuple[Any, ...]]], *, options: dict[str, Any] | None = None, of: Any = None) -> bytes:
    """Return a Parquet file with a row group a run."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    file = io.BytesIO()
    with pq.ParquetWriter(file, of or schema(), **(options or {})) as writer:
        for rows in runs:
            columns = list(zip(*rows, strict=True)) if rows else [()] * 5
            table = pa.table([pa.array(column, kind) for column, kind in zip(columns, (of or schema()).types, strict=True)],
                schema=of or schema())
            writer.write_table(table, row_group_size=max(len(rows), 1))
    return file.getvalue()


def valid_parquet(number: int) -> tuple[bytes, Any]:
    expected = [[f"run {index}", readings(number + index)] for index in range(number % 3 + 1)]
    runs = []
    for name, steps in expected:
        rows = [(name, json.dumps({"label": "healthy"}), None, None, None)]
        rows += [(name, None, series, step, value) for step, values in steps.items() for series, value in values.items()]
        runs.append(rows)
    options = ({}, {"compression": "zstd"}, {"use_dictionary": False, "compression": "none"}, {"write_page_checksum": True})[number % 4]
    return parquet(runs, options=options), expected


def odd_parquet(number: int, facts: Any) -> bytes:
    """Return a file with strange cells."""
    import pyarrow as pa

    rng = np.random.default_rng(number)
    text = ("{}", "", "[]", "nul", "[" * 100_000, '{"a": ' * 50_000, '{"onset": ' + "9" * 5000 + "}", '{"onset": 1e999}')
    cells = json.dumps(facts) if number % 2 else text[number // 2 % len(text)]
    head = (None if number % 7 == 0 else "run\n1", cells, None, None, None)
    rows = [head] + [("x", None, None if rng.integers(9) == 0 else "s" * int(rng.integers(1, 9)), int(rng.integers(-5, 9)),
        None if rng.integers(9) == 0 else 1.0) for _ in range(4)]
    if number % 11 == 0:
        return parquet([[("x", cells, None, None)]], of=pa.schema(list(schema())[:4]))
    if number % 11 == 1:
        rows += [("x", None, "loss/g", 1, 0.5)] * 2_000_000
    return parquet([rows, []] if number % 5 == 0 else [rows])


class Parquet(Target):
    """A Parquet file."""

    name = "parquet"
    allows_lines = True

    def prepare(self) -> None:
        import pyarrow.parquet  # noqa: F401

        discover_detectors()

    def cases(self) -> Cases:
        mutate = lambda number, plan, other: Case(MUTATED, damage(valid_parquet(number)[0], plan, valid_parquet(other)[0]))
        known = st.fixed_dictionaries({}, optional=dict.fromkeys(("label", "onset", "onset_low", "codes", "unused"), JSON))
        odd = st.builds(lambda number, facts: Case(ODD, odd_parquet(number, facts)), SEEDS, known | JSON)
        return Cases(built(VALID, valid_parquet), st.builds(mutate, SEEDS, PLANS, SEEDS) | odd)

    def read(self, case: Case, folder: Path) -> Any:
        path = folder / "runs.parquet"
        path.write_bytes(case.value)
        return read_all(path, replay=case.kind != VALID)


@cache
def _table() -> tuple[int, ...]:
    table = []
    for one in range(256):
        value = one
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
        table.append(value)
    return tuple(table)


def checksum(content: bytes) -> int:
    """Return the masked CRC-32C of TensorBoard's records."""
    value = 0xFFFFFFFF
    for byte in content:
        value = value >> 8 ^ _table()[(value ^ byte) & 0xFF]
    value ^= 0xFFFFFFFF
    return ((value >> 15 | value << 17) + 0xA282EAD8) & 0xFFFFFFFF


def record(content: bytes) -> bytes:
    """Return a record of an event file."""
    length = struct.pack("<Q", len(content))
    return length + struct.pack("<I", checksum(length)) + content + struct.pack("<I", checksum(content))


def varint(value: int) -> bytes:
    value %= 2**64
    parts = []
    while value > 127:
        parts.append(value & 127 | 128)
        value >>= 7
    return bytes([*parts, value])


def field(number: int, content: bytes) -> bytes:
    """Return a field with a length, as Protocol Buffers encode it."""
    return varint(number << 3 | 2) + varint(len(content)) + content


def event(step: int, tag: str, value: float, *, tensor: bool = False) -> bytes:
    """Return an event with one scalar."""
    if tensor:
        metadata = field(9, field(1, field(1, b"scalars")))
        number = field(8, varint(1 << 3) + varint(2) + field(2, b"") + field(6, struct.pack("<d", value)))
        scalar = metadata + number
    else:
        scalar = varint(2 << 3 | 5) + struct.pack("<f", value)
    return varint(2 << 3) + varint(step) + field(5, field(1, field(1, tag.encode()) + scalar))


def valid_events(number: int) -> tuple[bytes, Any]:
    with np.errstate(over="ignore"):
        steps = {step: {name: float(np.float32(value)) for name, value in values.items()} for step, values in readings(number).items()}
    records = [record(varint(1 << 3 | 1) + struct.pack("<d", 1.0) + field(3, b"brain.Event:2"))]
    if number % 4 == 0:  # values of float32 become a tensor as float64
        return b"".join(records), None
    for step, values in steps.items():
        records += [record(event(step, name, value)) for name, value in values.items()]
    return b"".join(records), steps


def odd_events(number: int) -> bytes:
    """Return records whose checksums are right and whose contents are strange."""
    rng = np.random.default_rng(number)
    step = int(rng.choice([-1, 0, 2**31 - 1, 2**31, 2**63 - 1, 5]))
    content = event(step, ("loss/g", "a" * 100_000, "\0", "\x1b[31m", "loss/g\n")[number % 5], float(rng.choice([0.5, math.nan, 1e38])))
    match number // 5 % 8:
        case 0:
            content = damage(content, [("flip", rng.random(), rng.random(), int(rng.integers(999)))])
        case 1:
            content = field(5, field(1, field(1, b"loss/g") + field(8, varint(1 << 3) + varint(int(rng.integers(0, 30))) + field(2, field(2,
                varint(8) + varint(2**62)) * 3))))
        case 2:
            content = field(5, field(1, field(1, b"\xff\xfe") + varint(2 << 3 | 5) + bytes(4)))
        case 3:
            content = bytes([3 << 3 | 3]) * 5000
        case 4:
            return struct.pack("<Q", 2**63) + struct.pack("<I", checksum(struct.pack("<Q", 2**63))) + content
        case 5:
            content = b"".join(event(step, f"tag {index}", 1.0) for index in range(2000))
        case 6:
            content = event(1, "loss/g", 1.0, tensor=True)
    return record(content) * 2


class Events(Target):
    """An event file."""

    name = "events"
    allows_lines = True

    def prepare(self) -> None:
        from tensorboard.compat.proto import event_pb2  # noqa: F401

        discover_detectors()

    def cases(self) -> Cases:
        valid = SEEDS.map(lambda number: number - number % 4 + 1 if number % 4 == 0 else number)
        mutate = lambda number, plan, other: Case(MUTATED, damage(valid_events(number)[0], plan, valid_events(other)[0]))
        return Cases(valid.map(lambda number: Case(VALID, *valid_events(number))),
            st.builds(mutate, SEEDS, PLANS, SEEDS) | built(ODD, odd_events))

    def read(self, case: Case, folder: Path) -> Any:
        path = folder / "events.out.tfevents.1.host"
        path.write_bytes(case.value)
        found = read_all(path, replay=case.kind != VALID)
        return found[0][1] if found else None


def valid_csv(number: int) -> tuple[bytes, Any]:
    steps = readings(number)
    newline = ("\n", "\r\n")[number % 2]
    if number // 2 % 2:
        lines = ["series,step,value", *(f"{name},{step},{value!r}" for step, values in steps.items() for name, value in values.items())]
    else:
        head = [*SERIES, "note"]
        lines = ["step," + ",".join(head), *(f"{step}," + ",".join(repr(values[name]) if name in values else "" for name in head) for step,
            values in steps.items())]
    return (b"\xef\xbb\xbf" if number % 3 == 0 else b"") + newline.join([*lines, ""]).encode(), steps


def odd_csv(number: int) -> bytes:
    """Return a table with strange heads and cells."""
    rng = np.random.default_rng(number)
    heads = ("step,loss/g", "step,step", "loss/g", "step,series,value", "step,loss/g,loss/g", '"step","loss/g"', "step,\0", "STEP,loss/g",
        "step," + "x," * 200_000, "step,loss/g" + "\ud800")
    cells = ("1,0.5", "1e300,1", "-1,1", "1.5,1", "١,1", "1_0,1", "nan,1", "inf,1", "1," + "9" * 10_000, '1,"a\nb"', '"' + "x" * 200_000,
        "1,0x10", "9" * 5000 + ",1", "1,\x1b[31m", "\xa01,1", "1", "1,1,1", "2147483648,1", "1e5,1", "1,1e-400")
    rows = [heads[int(rng.integers(len(heads)))], *(cells[int(rng.integers(len(cells)))] for _ in range(int(rng.integers(0, 5))))]
    return "\n".join(rows).encode("utf-8", "surrogatepass")


class Csv(Target):
    """A CSV, wide or long."""

    name = "csv"

    def cases(self) -> Cases:
        mutate = lambda number, plan, other: Case(MUTATED, damage(valid_csv(number)[0], plan, valid_csv(other)[0]))
        return Cases(built(VALID, valid_csv), st.builds(mutate, SEEDS, PLANS, SEEDS) | built(ODD, odd_csv))

    def read(self, case: Case, folder: Path) -> Any:
        path = folder / "run.csv"
        path.write_bytes(case.value)
        return read_all(path, replay=case.kind != VALID)[0][1]


TARGETS = [Parquet(), Events(), Csv()]
