from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from ganwatch.core.detector import Severity
from ganwatch.core.incidents import Incident, State
from ganwatch.core.monitor import Monitor
from ganwatch.core.readings import Readings, Run, SampleImages
from ganwatch.sinks.background import BackgroundSink
from ganwatch.sinks.sql import SqlSink
from ganwatch.store import queries
from ganwatch.store.database import open_store

RUN = Run("r", "demo")
IMAGE = SampleImages(1, "fake", (1, 2, 2, 1), b"abcd")


def batch(start: int, end: int) -> list[Readings]:
    return [Readings(step, {"x": float(step)}) for step in range(start, end)]


def fired() -> Incident:
    return Incident("GW101-1", "GW101", "mode collapse", Severity.PAGE, State.FIRING, 1, 2)


def test_killed_without_warning_nothing_committed_is_lost_and_the_run_goes_on(tmp_path: Path) -> None:
    script = f"""
from itertools import count
from ganwatch.core.readings import Readings, Run
from ganwatch.sinks.sql import SqlSink
sink = SqlSink({str(tmp_path)!r})
sink.start(Run("r", "demo"))
for step in count(1):
    sink.readings([Readings(step, {{"x": float(step), "y": -float(step)}})])
    print(step, flush=True)
"""
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if int(line) == 300:
                process.send_signal(signal.SIGKILL)
                break
        committed = [300, *(int(line) for line in process.stdout.read().split("\n")[:-1])]
    with closing(sqlite3.connect(tmp_path / "ganwatch.db")) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    with SqlSink(tmp_path).store as store:
        steps, values = queries.series(store, "r", "x")
        assert steps.tolist() == values.tolist() == list(range(1, len(steps) + 1))
        assert len(steps) >= committed[-1]
        sink = SqlSink(store)
        sink.start(Run("r", "demo", attempt=2))
        sink.readings([Readings(250, {"x": 0.5}, 2)])
        assert queries.series(store, "r", "x")[0].tolist() == list(range(1, 251))
        assert queries.last_values(store, "r") == {"x": (250, 0.5), "y": (249, -249.0)}


def background(place: str | Path, capacity: int = 10_000) -> BackgroundSink:
    """Return a store behind its queue, with a run that has started."""
    sink = BackgroundSink(SqlSink(place), capacity=capacity)
    sink.start(RUN)
    sink.sync()
    return sink


def test_a_call_that_fails_has_written_nothing_and_may_be_made_again(tmp_path: Path) -> None:
    sink = SqlSink(f"sqlite:///{tmp_path}/ganwatch.db?timeout=0")
    sink.start(RUN)
    sink.readings(batch(1, 300))
    with closing(sqlite3.connect(tmp_path / "ganwatch.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        for call in (lambda: sink.readings(batch(290, 600)), lambda: sink.incident(fired()), lambda: sink.samples(IMAGE)):
            with pytest.raises(sink.retry_on, match="locked"):
                call()
    sink.readings(batch(600, 610))
    assert queries.series(sink.store, "r", "x")[0].tolist() == [*range(1, 300), *range(600, 610)]
    assert len(queries.incidents(sink.store, "r")) == len(queries.artifacts(sink.store, "r")) == 0
    sink.readings(batch(300, 600))
    assert queries.series(sink.store, "r", "x")[0].tolist() == list(range(1, 610))
    sink.close()


def test_a_locked_store_gets_everything_once_it_is_free(tmp_path: Path) -> None:
    sink = background(f"sqlite:///{tmp_path}/ganwatch.db?timeout=0")
    sink.readings(batch(1, 300))
    sink.sync()
    with closing(sqlite3.connect(tmp_path / "ganwatch.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        sink.readings(batch(300, 600))
        sink.incident(fired())
        sink.samples(IMAGE)
        sink.sync()
        assert sink.failures >= 1
    sink.readings(batch(600, 610))
    sink.close()
    with open_store(tmp_path, create=False) as store:
        assert queries.series(store, "r", "x")[0].tolist() == list(range(1, 610))
        assert len(queries.incidents(store, "r")) == len(queries.artifacts(store, "r")) == 1
    assert sink.dropped == 0


def test_a_full_disk_gets_everything_once_there_is_room(tmp_path: Path) -> None:
    inner = SqlSink(tmp_path)
    sink = BackgroundSink(inner)
    sink.start(RUN)
    sink.sync()
    with inner.store.read() as connection:
        connection.exec_driver_sql("PRAGMA max_page_count=1")  # no further page: as small as the file may be
    sink.readings(batch(1, 2000))
    sink.sync()
    assert sink.failures == 1
    with inner.store.read() as connection:
        connection.exec_driver_sql("PRAGMA max_page_count=100000")
    sink.close()
    with open_store(tmp_path, create=False) as store:
        assert len(queries.series(store, "r", "x")[0]) == 1999
    assert sink.dropped == 0


def test_a_deleted_store_is_made_anew_with_what_comes(tmp_path: Path) -> None:
    folder = tmp_path / "runs"
    sink = BackgroundSink(SqlSink(folder))
    sink.start(Run("r", "demo", provenance={"seed": 1}))
    sink.readings(batch(1, 1000))
    sink.sync()
    shutil.rmtree(folder)
    folder.write_text("in the way")
    for start in (1000, 1005):
        sink.readings(batch(start, start + 5))
        sink.sync()
    assert sink.failures == 2
    folder.unlink()
    sink.readings(batch(1010, 1020))
    sink.close()
    with open_store(folder, create=False) as reader:
        assert queries.run(reader, "r").provenance["seed"] == 1
        assert queries.series(reader, "r", "x")[0].tolist() == list(range(768, 1020))
    assert sink.describe_losses() == "1,534 written readings"  # 767 steps, each with its wall time


def _overwrite(file: Path) -> None:
    file.write_bytes(bytes(range(256)) * (file.stat().st_size // 256))


def _copy_another(file: Path) -> None:
    other = SqlSink(file.parent / "other")
    other.start(Run("other", "other"))
    other.readings(batch(1, 300))
    other.finish("finished")
    other.close()
    shutil.copyfile(file.parent / "other" / "ganwatch.db", file)


@pytest.mark.parametrize("damage", [_overwrite, _copy_another, lambda file: os.truncate(file, 0)])
@pytest.mark.parametrize("goes_on", [True, False])
def test_a_store_that_was_overwritten_is_a_failure_and_its_losses_are_counted(tmp_path: Path, damage, goes_on) -> None:
    inner = SqlSink(tmp_path)
    sink = BackgroundSink(inner)
    sink.start(RUN)
    sink.readings(batch(1, 1000))
    sink.incident(fired())
    sink.sync()
    with inner.store.read() as connection:
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")  # as SQLite does after eight megabytes
    damage(tmp_path / "ganwatch.db")
    if goes_on:
        sink.readings(batch(1000, 1010))
        sink.finish("finished")
    sink.close()
    assert sink.failures > 0
    assert "1 written incidents" in sink.describe_losses()
    if not goes_on:  # otherwise SQLite may write again what it has in memory
        assert sink.describe_losses() == "1,998 written readings, 1 written incidents"


def test_incidents_and_the_end_state_that_a_full_disk_refuses_are_counted(tmp_path: Path) -> None:
    inner = SqlSink(tmp_path)
    sink = BackgroundSink(inner)
    sink.start(RUN)
    sink.incident(fired())
    sink.sync()
    with inner.store.read() as connection:
        connection.exec_driver_sql("PRAGMA query_only=1")  # every write fails, as on a full disk
    sink.incident(replace(fired(), id="GW501-2"))
    sink.finish("finished")
    sink.close()
    assert sink.describe_losses() == "1 reports of incidents, 1 end states"
    with open_store(tmp_path, create=False) as store:
        assert (queries.run(store, "r").state, len(queries.incidents(store, "r"))) == ("running", 1)


@pytest.mark.parametrize("text", ["NUL \0", "file \udcff", "\ud800\udc00"])
def test_texts_that_no_database_takes_are_cleaned_and_cost_nothing(tmp_path: Path, text: str) -> None:
    sink = BackgroundSink(SqlSink(tmp_path))
    monitor = Monitor(sinks=[sink])
    monitor.start(Run("r", text, provenance={text: [text]}))
    monitor.add_readings(Readings(1, {f"layer_grad_norm/{text}": 1.0}))
    sink.incident(replace(fired(), title=text, extras={text: text}))
    monitor.finish("finished")
    assert (sink.failures, sink.dropped) == (0, 0)
    with open_store(tmp_path, create=False) as store:
        record = queries.run(store, "r")
        [incident] = queries.incidents(store, "r")
        names = [record.name, *record.provenance, *record.provenance.values(), incident.title, *queries.series_names(store, "r")]
        assert all("\N{REPLACEMENT CHARACTER}" in str(name) for name in names)


def test_while_nothing_can_be_written_memory_is_bounded_and_losses_are_counted(tmp_path: Path) -> None:
    sink = background(f"sqlite:///{tmp_path}/ganwatch.db?timeout=0", capacity=1000)
    with closing(sqlite3.connect(tmp_path / "ganwatch.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        for start in range(0, 5120, 256):
            sink.readings(batch(start, start + 256))
            sink.samples(IMAGE)
            sink.sync()
        sink.incident(fired())
        sink.sync()
    sink.close()
    with open_store(tmp_path, create=False) as store:
        assert queries.series(store, "r", "x")[0].tolist() == list(range(4120, 5120))
        assert len(queries.incidents(store, "r")) == 1
    assert sink.dropped == 2 * 4120 + 4  # each step counts twice, with its wall time; 16 of 20 sets of samples are kept


def test_at_the_end_what_could_not_be_written_is_counted(tmp_path: Path) -> None:
    sink = background(f"sqlite:///{tmp_path}/ganwatch.db?timeout=0")
    with closing(sqlite3.connect(tmp_path / "ganwatch.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        sink.readings(batch(0, 10))
        sink.close()
    assert sink.dropped == 20


def test_images_that_cannot_be_written_do_not_hold_up_readings(tmp_path: Path) -> None:
    sink = background(tmp_path)
    (tmp_path / "artifacts").write_text("in the way")
    sink.samples(IMAGE)
    sink.readings(batch(1, 5))
    sink.sync()
    with open_store(tmp_path, create=False) as reader:
        assert len(queries.series(reader, "r", "x")[0]) == 4
    (tmp_path / "artifacts").unlink()
    sink.close()
    with open_store(tmp_path, create=False) as reader:
        assert len(queries.artifacts(reader, "r")) == 1


def test_records_before_the_start_are_refused(tmp_path: Path) -> None:
    sink = SqlSink(tmp_path)
    with pytest.raises(RuntimeError, match=r"start\(run\) must come before"):
        sink.readings(batch(1, 2))
    sink.close()


def test_an_older_copy_put_in_place_is_a_loss(tmp_path: Path) -> None:
    inner = SqlSink(tmp_path)
    sink = BackgroundSink(inner)
    sink.start(RUN)
    sink.readings(batch(1, 100))
    sink.sync()
    with closing(sqlite3.connect(tmp_path / "ganwatch.db")) as live, closing(sqlite3.connect(tmp_path / "older.db")) as older:
        live.backup(older)
    sink.readings(batch(100, 200))
    sink.finish("finished")
    sink.sync()
    with closing(sqlite3.connect(tmp_path / "ganwatch.db")) as live, closing(sqlite3.connect(tmp_path / "older.db")) as older:
        older.backup(live)
    sink.close()
    assert sink.failures == 1
    assert sink.describe_losses() == "200 written readings"


@pytest.mark.parametrize("gone", ["files", "rows"])
def test_images_that_are_gone_are_counted(tmp_path: Path, gone: str) -> None:
    sink = BackgroundSink(SqlSink(tmp_path))
    sink.start(RUN)
    sink.readings(batch(1, 5))
    sink.samples(IMAGE)
    sink.finish("finished")
    sink.sync()
    if gone == "files":
        shutil.rmtree(tmp_path / "artifacts")
    else:
        with closing(sqlite3.connect(tmp_path / "ganwatch.db")) as connection, connection:
            connection.execute("DELETE FROM artifact")
    sink.close()
    assert (sink.failures, sink.describe_losses()) == (1, "1 written sets of images")


def test_steps_that_are_written_twice_are_no_loss(tmp_path: Path) -> None:
    sink = BackgroundSink(SqlSink(tmp_path))
    sink.start(RUN)
    for start in (1, 5, 3, 200, 150):
        sink.readings(batch(start, start + 100))
        sink.sync()
    sink.finish("finished")
    sink.close()
    assert (sink.failures, sink.dropped) == (0, 0)
