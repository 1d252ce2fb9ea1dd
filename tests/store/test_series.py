from __future__ import annotations

import math
import random

import numpy as np
import pytest

from ganwatch.core.readings import Readings, Run
from ganwatch.sinks.sql import SqlSink
from ganwatch.store import queries, tables
from ganwatch.store.blocks import STEPS_PER_BLOCK
from ganwatch.store.database import Store, open_store

SPECIAL = (math.nan, math.inf, -math.inf, -0.0, 5e-324)


def record(store: Store, readings: list[Readings], *, attempt: int = 1, batch: int = 97) -> None:
    sink = SqlSink(store)
    sink.start(Run("r", "demo", attempt))
    for start in range(0, len(readings), batch):
        sink.readings(readings[start : start + batch])
    sink.finish("finished")


def same(found: tuple[np.ndarray, np.ndarray], expected: dict[int, float]) -> bool:
    """Equal steps and bit-equal values."""
    steps = sorted(expected)
    return found[0].tolist() == steps and found[1].tobytes() == np.array([expected[step] for step in steps], "<f8").tobytes()


def test_any_history_of_attempts_reads_back_bit_for_bit(store: Store) -> None:
    rng = random.Random(7)
    expected: dict[str, dict[int, float]] = {"often": {}, "seldom": {}, "wall_time": {}}
    first, last = 1, 0
    for attempt in range(1, 5):
        readings = []
        for step in range(first, first + rng.randint(100, 900)):
            values = {"often": rng.choice([*SPECIAL, rng.gauss(0, 1)])} | ({"seldom": float(step)} if step % 60 == 0 else {})
            readings.append(Readings(step, values, attempt, 1e9 + step + attempt / 4))
        for series in expected.values():
            for step in [step for step in series if step >= first]:
                del series[step]
        for reading in readings:
            for name, value in (*reading.values.items(), ("wall_time", reading.wall_time)):
                expected[name][reading.step] = value
        record(store, readings, attempt=attempt, batch=rng.randint(1, 200))
        last = readings[-1].step
        first = rng.randint(last // 2, last + 1)
    for name, values in expected.items():
        assert same(queries.series(store, "r", name), values), name
        inside = {step: value for step, value in values.items() if 200 <= step <= last - 50}
        assert same(queries.series(store, "r", name, start=200, end=last - 50), inside), name
    assert queries.series_names(store, "r") == ["often", "seldom"]
    newest = queries.last_values(store, "r")
    assert newest["seldom"] == (max(expected["seldom"]), expected["seldom"][max(expected["seldom"])])
    assert newest["often"][0] == last


def test_what_is_written_twice_or_late_is_kept_once(store: Store) -> None:
    readings = [Readings(step, {"x": float(step)}) for step in range(1, 600)]
    record(store, readings)
    record(store, readings[300:] + readings[:10] + [Readings(5, {"x": -1.0, "late": 2.0})])
    record(store, readings[-2:-1])
    assert same(queries.series(store, "r", "x"), {reading.step: reading.values["x"] for reading in readings} | {5: -1.0})
    assert same(queries.series(store, "r", "late"), {5: 2.0})
    with store.read() as connection:
        rollups = connection.execute(tables.table(tables.RollupRow).select()).all()
    assert sum(row.count for row in rollups if row.series == "x") == len(readings)


@pytest.mark.parametrize("max_points", [4, 40])
def test_a_thinned_series_keeps_its_extremes(store: Store, max_points: int) -> None:
    values = np.sin(np.arange(20 * STEPS_PER_BLOCK) / 300)
    values[777], values[4000], values[5:9] = 9.0, -9.0, math.nan
    record(store, [Readings(step, {"x": value}) for step, value in enumerate(values.tolist())], batch=1000)
    record(store, [Readings(step, {"x": 1.0}, attempt=2) for step in range(4500, 4600)], attempt=2)
    steps, thinned = queries.series(store, "r", "x", max_points=max_points)
    assert len(steps) <= max_points
    assert (np.diff(steps) > 0).all()
    assert steps[-1] <= 4599
    assert (np.nanmin(thinned), np.nanmax(thinned)) == (-9.0, 9.0)


def test_a_run_that_is_being_written_is_read_to_its_last_commit(url: str) -> None:
    with open_store(url) as store, open_store(url, create=False) as reader:
        sink = SqlSink(store)
        sink.start(Run("r", "demo"))
        for step in range(1, 2 * STEPS_PER_BLOCK):
            sink.readings([Readings(step, {"x": float(step)})])
            if step % 100 == 0:
                assert queries.last_values(reader, "r") == {"x": (step, float(step))}
                assert len(queries.series(reader, "r", "x")[0]) == step
                assert queries.series(reader, "r", "x", max_points=2)[0][-1] <= step


def test_thinning_to_fewer_than_two_points_is_refused(store: Store) -> None:
    with pytest.raises(ValueError, match="max_points must be >= 2"):
        queries.series(store, "r", "x", max_points=1)


def test_nothing_is_an_empty_series(store: Store) -> None:
    assert [part.tolist() for part in queries.series(store, "nobody", "x", max_points=10)] == [[], []]
    assert queries.last_values(store, "nobody") == {}
