"""Recordings as Parquet: one row per reading, one row group per run.

A file is a table that any Parquet reader can open: ``run``, ``series``, ``step`` (int32), ``value`` (float64) and ``facts`` (JSON, on the
first row of each run, which has no reading). Values are split by byte before they are compressed, so that a value measured in float32
takes the space of a float32.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganwatch.core.errors import UserError
from ganwatch.recordings.recording import Recording, recording_from_rows

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

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
    """
    with _open(path) as file:
        for position in range(file.num_row_groups) if runs is None else runs:
            yield _recording(file.read_row_group(position, use_threads=False))


def count_recordings(path: str | Path) -> int:
    """Count the runs of a file without reading them."""
    with _open(path) as file:
        return int(file.num_row_groups)


def _open(path: str | Path) -> pq.ParquetFile:
    parquet = _import_parquet()
    try:
        columns = parquet.read_schema(path).names
    except (OSError, ValueError) as error:
        raise UserError(f"path must be a Parquet file of recordings, got {str(path)!r}: {error}") from error
    if tuple(columns) != COLUMNS:
        raise UserError(f"a Parquet file of recordings has the columns {', '.join(COLUMNS)}, got {', '.join(columns)} in {path}")
    return parquet.ParquetFile(path, read_dictionary=["run", "series"])


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


def _recording(table: pa.Table) -> Recording:
    name, facts = table["run"][0].as_py(), json.loads(table["facts"][0].as_py())
    table = table.slice(1)
    series = table["series"].combine_chunks()
    names = series.dictionary.to_pylist()
    rows: dict[int, dict[str, float]] = {}
    for step, index, value in zip(
        table["step"].to_numpy().tolist(), series.indices.to_numpy().tolist(), table["value"].to_numpy().tolist(), strict=True
    ):
        rows.setdefault(step, {})[names[index]] = value
    return recording_from_rows(name, rows, facts)


def _import_parquet() -> Any:
    try:
        import pyarrow.parquet
    except ModuleNotFoundError as error:
        raise UserError('recordings need pyarrow, which is not installed: pip install "ganwatch[replay]"') from error
    return pyarrow.parquet
