"""Reads series: merges the attempts at a run and downsamples long series."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

import numpy as np
from sqlalchemy import Connection, RowMapping, func, select

from ganwatch.core.errors import UserError
from ganwatch.core.plain_records import read_record
from ganwatch.core.readings import MAX_STEP
from ganwatch.store import tables
from ganwatch.store.blocks import STEPS_PER_BLOCK, WALL_TIME, Steps, Values, downsample, unpack
from ganwatch.store.database import Store
from ganwatch.store.rows import read_row, row_of

_ATTEMPT, _BLOCK, _ROLLUP = (tables.table(row) for row in (tables.AttemptRow, tables.ReadingBlockRow, tables.RollupRow))


def series_names(store: Store, run: str) -> list[str]:
    """Return the names of the series of a run, sorted."""
    query = select(_BLOCK.c.series).where(_BLOCK.c.run_id == run, _BLOCK.c.series != WALL_TIME).distinct()
    with store.read() as connection:
        return sorted(read_row(_Series, "reading_block", row).series for row in connection.execute(query).mappings())


def series(
    store: Store, run: str, name: str, *, start: int | None = None, end: int | None = None, max_points: int | None = None
) -> tuple[Steps, Values]:
    """Return a series. From the first step of an attempt on, its readings replace those of earlier attempts.

    Parameters
    ----------
    store : Store
    run : str
        The run's id.
    name : str
        Name of the series. ``"wall_time"`` gives the Unix time of each step.
    start, end : int or None, steps
        First and last step, both included.
    max_points : int or None
        Number of points to downsample to, about. Each section of the series keeps its smallest and largest value. For a long series
        they come from the rollups, at the first and last step of 256 each. None gives every reading.

    Returns
    -------
    steps : int64 array of shape (N,)
    values : float64 array of shape (N,)
        NaN and infinite values as they were recorded. A downsampled section with a finite value keeps finite ones only.
    """
    if max_points is not None and max_points < 2:  # a smallest and a largest
        raise ValueError(f"max_points must be >= 2 (points), got {max_points}")
    whole = _Window(run, 0, 0 if start is None else start, MAX_STEP if end is None else end)
    parts: list[tuple[Steps, Values]] = []
    with store.read() as connection:
        windows = list(_windows(connection, whole))
        blocks = sum(_count_blocks(connection, window, name) for window in windows)
        read = _rollups if max_points is not None and blocks > max_points else _readings
        for window in windows:
            parts += read(connection, window, name)
    steps, values = _join(parts)
    return (steps, values) if max_points is None else downsample(steps, values, max_points)


def last_values(store: Store, run: str) -> dict[str, tuple[int, float]]:
    """Return the last step and value of each series of a run."""
    last: dict[str, tuple[int, float]] = {}
    with store.read() as connection:
        for window in _windows(connection, _Window(run, 0, 0, MAX_STEP)):
            owned = (_BLOCK.c.run_id == run, _BLOCK.c.attempt == window.attempt, _BLOCK.c.block <= window.high // STEPS_PER_BLOCK)
            newest: dict[int, list[str]] = {}
            latest = select(_BLOCK.c.series, func.max(_BLOCK.c.block)).where(*owned).group_by(_BLOCK.c.series)
            for name, number in connection.execute(latest):
                newest.setdefault(number, []).append(name)
            for number, names in newest.items():
                query = select(_BLOCK).where(*owned, _BLOCK.c.block == number, _BLOCK.c.series.in_(names))
                for row in connection.execute(query).mappings().all():
                    name = read_row(_Series, "reading_block", {"series": row["series"]}).series
                    steps, values = _clip(*_unpack(row), window)
                    if not len(steps):  # the whole block belongs to a later attempt
                        steps, values = _join(list(_readings(connection, window, name)))
                    if len(steps):
                        last[name] = int(steps[-1]), float(values[-1])
    last.pop(WALL_TIME, None)
    return dict(sorted(last.items()))


@dataclass(frozen=True, slots=True)
class _Series:
    series: str


@dataclass(frozen=True, slots=True)
class _Start:
    attempt: int
    first_step: int


@dataclass(frozen=True, slots=True)
class _Packed:
    block: int
    offsets: bytes
    readings: bytes


@dataclass(frozen=True, slots=True)
class _Rollup:
    bucket: int
    first_step: int
    last_step: int
    low: float | None
    high: float | None


class _Window(NamedTuple):
    """The steps, both ends included, at which an attempt at a run has not been replaced by a later one."""

    run: str
    attempt: int
    low: int
    high: int


def _windows(connection: Connection, whole: _Window) -> Iterator[_Window]:
    """Yield the part of a window that each attempt has, in order."""
    query = select(_ATTEMPT.c.attempt, _ATTEMPT.c.first_step).where(_ATTEMPT.c.run_id == whole.run, _ATTEMPT.c.first_step.is_not(None))
    attempts = [read_row(_Start, "attempt", row) for row in connection.execute(query.order_by(_ATTEMPT.c.attempt)).mappings()]
    for position, one in enumerate(attempts):
        replaced_from = min((later.first_step for later in attempts[position + 1 :]), default=MAX_STEP)
        if whole.low < replaced_from:
            yield whole._replace(attempt=one.attempt, high=min(whole.high, replaced_from - 1))


def _owned(table: Any, place: Any, window: _Window, name: str) -> tuple[Any, ...]:
    owner = table.c.run_id == window.run, table.c.attempt == window.attempt, table.c.series == name
    return *owner, place >= window.low // STEPS_PER_BLOCK, place <= window.high // STEPS_PER_BLOCK


def _count_blocks(connection: Connection, window: _Window, name: str) -> int:
    owned = _owned(_BLOCK, _BLOCK.c.block, window, name)
    return int(connection.execute(select(func.count()).select_from(_BLOCK).where(*owned)).scalar_one())


def _readings(connection: Connection, window: _Window, name: str) -> Iterator[tuple[Steps, Values]]:
    owned = _owned(_BLOCK, _BLOCK.c.block, window, name)
    for row in connection.execute(select(_BLOCK).where(*owned).order_by(_BLOCK.c.block)).mappings():
        yield _clip(*_unpack(row), window)


def _rollups(connection: Connection, window: _Window, name: str) -> Iterator[tuple[Steps, Values]]:
    """Yield two points per block, its lowest and highest. A block without a rollup or partly outside the window is read in full."""
    blocks, owned = _owned(_BLOCK, _BLOCK.c.block, window, name), _owned(_ROLLUP, _ROLLUP.c.bucket, window, name)
    rollups = connection.execute(select(*_rollup_columns()).where(*owned, _ROLLUP.c.width == STEPS_PER_BLOCK)).mappings()
    rolled = {row.bucket: row for row in (read_row(_Rollup, "rollup", one) for one in rollups)}
    for number in connection.execute(select(_BLOCK.c.block).where(*blocks).order_by(_BLOCK.c.block)).scalars().all():
        row = rolled.get(number)
        if row is None or row.first_step < window.low or row.last_step > window.high:
            low, high = max(window.low, number * STEPS_PER_BLOCK), min(window.high, number * STEPS_PER_BLOCK + STEPS_PER_BLOCK - 1)
            yield from _readings(connection, window._replace(low=low, high=high), name)
        elif row.first_step == row.last_step or row.low is None or row.high is None:
            yield np.array([row.first_step]), np.array([math.nan if row.low is None else row.low])
        else:
            yield np.array([row.first_step, row.last_step]), np.array([row.low, row.high])


def _rollup_columns() -> list[Any]:
    return [_ROLLUP.c[one.name] for one in fields(_Rollup)]


def _unpack(row: RowMapping) -> tuple[Steps, Values]:
    """Return the steps and values of a row.

    Raises
    ------
    MalformedRowError
        There is not one value for each step, or the steps do not rise.
    """
    with row_of("reading_block", row):
        stored = read_record(_Packed, {name: row[name] for name in ("block", "offsets", "readings")})
        if not 0 <= stored.block <= MAX_STEP // STEPS_PER_BLOCK:
            raise UserError(f"block must be in 0…{MAX_STEP // STEPS_PER_BLOCK:,}, got {stored.block}")
        if len(stored.readings) != np.dtype(np.float64).itemsize * len(stored.offsets):
            raise UserError(f"readings must have 8 bytes for each of {len(stored.offsets)} offsets, got {len(stored.readings)}")
        steps, values = unpack(stored.block, stored.offsets, stored.readings)
        if (np.diff(steps) <= 0).any():
            raise UserError("offsets must rise, got some that do not")
    return steps, values


def _clip(steps: Steps, values: Values, window: _Window) -> tuple[Steps, Values]:
    inside = (steps >= window.low) & (steps <= window.high)
    return steps[inside], values[inside]


def _join(parts: list[tuple[Steps, Values]]) -> tuple[Steps, Values]:
    if not parts:
        return np.empty(0, np.int64), np.empty(0, np.float64)
    return np.concatenate([steps for steps, _ in parts]), np.concatenate([values for _, values in parts])
