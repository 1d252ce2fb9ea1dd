"""Recordings as Parquet: one row per reading, one row group per run.

A file is a table that any Parquet reader can open: ``run``, ``series``, ``step`` (int32), ``value`` (float64) and ``facts`` (JSON, on the
first row of each run, which has no reading). Values are split by byte before they are compressed, so that a value measured in float32
takes the space of a float32.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganwatch.core.errors import UserError, show_value
from ganwatch.core.files import open_regular
from ganwatch.recordings.recording import MAX_READINGS, DamagedSourceError, Recording, Rows

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

MAX_RUN_BYTES = 2**28
"""Largest run, uncompressed, in bytes."""
MAX_FACTS = 2**20
"""Longest facts of a run, in characters."""
COLUMNS = ("run", "facts", "series", "step", "value")


def write_recordings(path: str | Path, recordings: Iterable[Recording]) -> None:
    """Write runs into one file, one in memory at a time. The file appears when all are written.

    Parameters
    ----------
    path : str or Path
        Its folder must exist. An existing file is replaced.
    recordings : iterable of Recording
        Their names must differ.

    Raises
    ------
    UserError
        pyarrow is not installed.
    ValueError
        Two runs have the same name, or facts are not JSON types (NaN and infinity are not).
    """
    path, parquet = Path(path), _import_parquet()
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with parquet.ParquetWriter(
            partial,
            _schema(),
            compression="zstd",
            compression_level=15,
            use_dictionary=["run", "series"],
            column_encoding={"step": "DELTA_BINARY_PACKED", "value": "BYTE_STREAM_SPLIT"},
            write_statistics=["run"],
            write_page_checksum=True,
        ) as writer:
            names: set[str] = set()
            for recording in recordings:
                if recording.name in names:
                    raise ValueError(f"recordings must have different names within a file, got {recording.name!r} twice")
                names.add(recording.name)
                table = _table(recording)
                writer.write_table(table, row_group_size=table.num_rows)
        partial.replace(path)
    finally:
        with suppress(FileNotFoundError):
            partial.unlink()


def read_recordings(path: str | Path, runs: range | None = None) -> Iterator[Recording]:
    """Read the runs of a file in their order, one in memory at a time.

    Parameters
    ----------
    path : str or Path
        A file of ``write_recordings``.
    runs : range or None
        Positions of the runs to read. None reads all.

    Raises
    ------
    UserError
        The file does not exist or is not one of recordings, or pyarrow is not installed.
    DamagedSourceError
        After the last run, if some could not be read.
    """
    damage: list[str] = []
    with _open(path) as file:
        for position in range(file.num_row_groups) if runs is None else runs:
            try:
                recording = _read_run(file, position)
            except _errors() as error:
                reason = str(error).partition("\n")[0]
                damage.append(f"run {position + 1:,} of {file.num_row_groups:,} in {path} cannot be read: {reason}")
            else:
                yield recording
    if damage:
        raise DamagedSourceError(damage)


def count_recordings(path: str | Path) -> int:
    """Count the runs of a file without reading them."""
    with _open(path) as file:
        return int(file.num_row_groups)


@contextmanager
def _open(path: str | Path) -> Iterator[pq.ParquetFile]:
    parquet = _import_parquet()
    try:
        content = open_regular(path, "path")
    except OSError as error:
        raise UserError(f"path must be a Parquet file of recordings, got {str(path)!r}: {error.strerror}") from error
    with content:
        try:
            _check_columns(parquet.read_schema(content), path)
            file = parquet.ParquetFile(content, read_dictionary=["run", "series"], page_checksum_verification=True)
        except UserError:
            raise
        except _errors() as error:
            raise UserError(f"path must be a Parquet file of recordings, got {str(path)!r}: {error}") from error
        yield file


def _check_columns(schema: pa.Schema, path: str | Path) -> None:
    if [(field.name, field.type) for field in schema] != [(field.name, field.type) for field in _schema()]:
        wanted = ", ".join(f"{field.name} ({field.type})" for field in _schema())
        got = ", ".join(f"{field.name} ({field.type})" for field in list(schema)[: len(COLUMNS)])
        raise UserError(f"a Parquet file of recordings has the columns {wanted}, got {got} in {path}")


def _errors() -> tuple[type[Exception], ...]:
    """Return the errors that a damaged file raises in pyarrow and in what reads its cells."""
    import pyarrow as pa

    return OSError, ValueError, LookupError, RecursionError, pa.ArrowException


def _schema() -> pa.Schema:
    import pyarrow as pa

    types = (pa.string(), pa.string(), pa.string(), pa.int32(), pa.float64())
    return pa.schema(list(zip(COLUMNS, types, strict=True)))


def _table(recording: Recording) -> pa.Table:
    import pyarrow as pa

    try:
        facts = json.dumps(recording.facts, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ValueError(f"facts of {recording.name!r} must be JSON types without NaN or infinity: {error}") from error
    columns: dict[str, tuple[list[int], list[float]]] = {}
    for one in recording.readings:
        for name, value in one.values.items():
            steps, values = columns.setdefault(name, ([], []))
            steps.append(one.step)
            values.append(value)
    series: list[str | None] = [None]
    all_steps: list[int | None] = [None]
    all_values: list[float | None] = [None]
    for name, (steps, values) in sorted(columns.items()):
        series += [name] * len(steps)
        all_steps += steps
        all_values += values
    rows = len(series)
    cells: Sequence[Sequence[Any]] = ([recording.name] * rows, [facts, *[None] * (rows - 1)], series, all_steps, all_values)
    return pa.table([pa.array(column, type_) for column, type_ in zip(cells, _schema().types, strict=True)], schema=_schema())


def _read_run(file: pq.ParquetFile, position: int) -> Recording:
    group = file.metadata.row_group(position)
    if not 0 < group.num_rows <= MAX_READINGS + 1 or group.total_byte_size > MAX_RUN_BYTES:
        size = f"{group.num_rows:,} of {group.total_byte_size:,} bytes"
        raise ValueError(f"it must have 1 to {MAX_READINGS:,} readings of at most {MAX_RUN_BYTES:,} bytes, got {size}")
    table = file.read_row_group(position, use_threads=False)
    name, text = table["run"][0].as_py(), table["facts"][0].as_py()
    if len(text or "") > MAX_FACTS:
        raise ValueError(f"its facts must have at most {MAX_FACTS:,} characters, got {len(text):,}")
    facts = json.loads(text) if text is not None else None
    if name is None or not isinstance(facts, dict):
        raise ValueError(f"its first row must have a name and facts as a JSON object, got {show_value(name)} and {show_value(text)}")
    table = table.slice(1)
    for column in ("series", "step", "value"):
        if nulls := table[column].null_count:
            raise ValueError(f"its readings must have a {column} each, got {nulls:,} without")
    series = table["series"].combine_chunks()
    names = series.dictionary.to_pylist()
    rows = Rows()
    for step, index, value in zip(
        table["step"].to_numpy().tolist(), series.indices.to_numpy().tolist(), table["value"].to_numpy().tolist(), strict=True
    ):
        rows.add(step, names[index], value)
    return rows.to_recording(name, facts)


def _import_parquet() -> Any:
    try:
        import pyarrow.parquet
    except ModuleNotFoundError as error:
        raise UserError('recordings need pyarrow, which is not installed: pip install "ganwatch[replay]"') from error
    return pyarrow.parquet
