from __future__ import annotations

import math
import tracemalloc

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ganwatch.core.errors import UserError
from ganwatch.core.readings import Readings
from ganwatch.recordings import Recording, read_recordings, write_recordings
from ganwatch.recordings.parquet import count_recordings
from ganwatch.recordings.recording import FACT_TYPES

NAMES = st.sampled_from(["loss/g", "loss/d", "layer_grad_norm/main.0.weight", "d_auc", "ä/ö"])
ROWS = st.dictionaries(st.integers(1, 2**31 - 1), st.dictionaries(NAMES, st.floats(), min_size=1), max_size=20)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
FACTS = st.dictionaries(st.text().filter(lambda name: name not in FACT_TYPES), JSON, max_size=4)
RUNS = st.dictionaries(st.text(), st.tuples(ROWS, FACTS), max_size=4)


def recording(name: str, rows: dict[int, dict[str, float]], facts: dict | None = None) -> Recording:
    return Recording(name, [Readings(step, rows[step]) for step in sorted(rows)], facts or {})


def exact(one: Recording) -> tuple:
    """Comparable bit for bit: NaN is NaN, and -0.0 is not 0.0."""
    return one.name, [(r.step, {k: repr(v) for k, v in sorted(r.values.items())}) for r in one.readings], one.facts


@settings(max_examples=40, deadline=None)
@given(RUNS)
def test_what_is_written_is_read_back_exactly(tmp_path_factory, runs):
    path = tmp_path_factory.mktemp("recordings") / "runs.parquet"
    written = [recording(name, rows, facts) for name, (rows, facts) in runs.items()]
    write_recordings(path, iter(written))
    assert list(map(exact, read_recordings(path))) == list(map(exact, written))
    last = range(len(runs) - 1, len(runs))
    assert not runs or list(map(exact, read_recordings(path, last))) == [exact(written[-1])]
    assert count_recordings(path) == len(runs)
    assert [file.name for file in path.parent.iterdir()] == ["runs.parquet"]


def test_any_other_reader_sees_a_table(tmp_path):
    write_recordings(
        tmp_path / "runs.parquet",
        [recording("a", {3: {"loss/g": 0.7, "d_auc": math.inf}, 4: {"loss/g": 0.1}}, {"label": "healthy"}), recording("b", {})],
    )
    rows = pq.read_table(tmp_path / "runs.parquet").to_pylist()
    assert [tuple(row.values()) for row in rows] == [
        ("a", '{"label": "healthy"}', None, None, None),
        ("a", None, "d_auc", 3, math.inf),
        ("a", None, "loss/g", 3, 0.7),
        ("a", None, "loss/g", 4, 0.1),
        ("b", "{}", None, None, None),
    ]


def test_a_file_of_many_runs_takes_the_memory_of_one(tmp_path):
    def runs(count):
        for seed in range(count):
            yield recording(str(seed), {step: {"loss/g": step / (seed + 3), "loss/d": float(step)} for step in range(1, 501)})

    def peak(count):
        tracemalloc.start()
        write_recordings(tmp_path / "runs.parquet", runs(count))
        highest = max(pa.total_allocated_bytes() for _ in read_recordings(tmp_path / "runs.parquet")) + tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return highest

    peak(1)
    assert peak(20) < 1.5 * peak(2)


def test_what_cannot_be_written_leaves_the_file_that_was_there(tmp_path):
    path = tmp_path / "runs.parquet"
    write_recordings(path, [recording("kept", {1: {"loss/g": 1.0}})])
    for bad, message in (
        ([recording("a", {}), recording("a", {})], "different names within a file, got 'a' twice"),
        ([recording("a", {}, {"share": math.nan})], "facts of 'a' must be JSON types without NaN or infinity"),
        ([recording("a", {}, {"share": {1, 2}})], "facts of 'a' must be JSON types"),
    ):
        with pytest.raises(ValueError, match=message):
            write_recordings(path, bad)
    assert [one.name for one in read_recordings(path)] == ["kept"]
    assert [file.name for file in tmp_path.iterdir()] == ["runs.parquet"]
    with pytest.raises(ValueError, match="readings of 'a' must have rising steps, got 3 after 3"):
        Recording("a", [Readings(3, {}), Readings(3, {})])


def test_what_is_no_recording_is_said(tmp_path):
    (tmp_path / "text.parquet").write_text("step,loss\n")
    pq.write_table(pa.table({"step": [1]}), tmp_path / "other.parquet")
    for name, message in (
        ("none.parquet", "path must be a Parquet file of recordings"),
        ("text.parquet", "path must be a Parquet file of recordings"),
        ("other.parquet", r"has the columns run \(string\), facts \(string\), .* got step \(int64\)"),
    ):
        with pytest.raises(UserError, match=message):
            list(read_recordings(tmp_path / name))
