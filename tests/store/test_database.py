from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import inspect, text

from ganwatch.core.errors import UserError
from ganwatch.core.readings import Readings, Run
from ganwatch.sinks.sql import SqlSink
from ganwatch.store import queries
from ganwatch.store.database import Store, _config, open_store
from ganwatch.store.rows import UnreadableStoreError
from ganwatch.store.tables import Base


def test_migrations_lead_to_the_schema_of_the_models_and_back(store: Store) -> None:
    with store.begin() as connection:
        assert compare_metadata(MigrationContext.configure(connection, opts={"compare_type": True}), Base.metadata) == []
        command.downgrade(_config(connection), "base")
        assert inspect(connection).get_table_names() == ["alembic_version"]


def test_processes_that_open_a_new_store_at_once_all_succeed(url: str) -> None:
    script = f"""
import sys
from ganwatch.store.database import open_store
print("ready", flush=True)
sys.stdin.readline()
open_store({url!r}).close()
"""
    processes = [
        subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    for process in processes:
        assert process.stdout is not None
        process.stdout.readline()
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    errors = [process.communicate()[1] for process in processes]
    assert errors == [""] * 3
    with open_store(url, create=False) as store:
        assert queries.runs(store) == []


def test_opening_waits_for_a_process_that_holds_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(sqlite3.connect(tmp_path / "ganwatch.db", isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        waits: list[float] = []
        monkeypatch.setattr("ganwatch.store.database.time.sleep", lambda seconds: (waits.append(seconds), other.execute("COMMIT")))
        open_store(tmp_path).close()
    assert len(waits) == 1


def test_a_transaction_that_writes_holds_the_lock_from_its_start(tmp_path: Path) -> None:
    with open_store(tmp_path) as store, store.begin(), closing(sqlite3.connect(tmp_path / "ganwatch.db", timeout=0)) as other:
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            other.execute("BEGIN IMMEDIATE")
        assert other.execute("SELECT count(*) FROM run").fetchone() == (0,)


def test_reader_and_writer_do_not_wait_for_each_other_and_the_reader_cannot_write(url: str) -> None:
    with open_store(url) as store, open_store(url, create=False) as reader:
        sink = SqlSink(store)
        sink.start(Run("r", "demo"))
        with reader.read() as reading:
            assert reading.execute(text("SELECT count(*) FROM run")).scalar() == 1
            sink.readings([Readings(1, {"x": 1.0})])
        with store.begin() as writing:
            writing.execute(text("UPDATE run SET name = 'unseen'"))
            assert queries.run(reader, "r").name == "demo"
        with pytest.raises(UnreadableStoreError,
            match=r"store must be a database that can be read, got .*read-?only"), reader.read() as connection:
            connection.execute(text("DELETE FROM run"))


def test_a_store_of_a_newer_version_is_refused(url: str) -> None:
    with open_store(url) as store, store.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    for create in (True, False):
        with pytest.raises(UserError, match="store must have a schema that this version of ganwatch knows, got revision '9999'"):
            open_store(url, create=create)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("", "store must be a folder, a file or a SQLAlchemy URL, got an empty text"),
        ("nosuch://me:s3cret@host/x", "store must be a folder, a file or a SQLAlchemy URL, got 'nosuch'://"),
        ("postgresql://me:s3cret@host:port/x", "store must be a folder, a file or a SQLAlchemy URL, got 'postgresql'://"),
        ("postgresql://me:s3cret@127.0.0.1:1/x?password=s3cret",
        r"store must be a database that can be opened, got postgresql\+psycopg://127"),
        ("mysql://me:s3cret@host/x", "store needs a database driver for 'mysql' that is not installed"),
        ("sqlite://", "store must be a file that other processes can read, got a SQLite database in memory"),
        ("file/below", "store must be a database that can be opened, got '.*file/below/ganwatch.db'"),
        ("file", "store must be a database that can be opened, got '.*file': file is not a database"),
    ],
)
def test_a_store_that_cannot_be_opened_is_named_without_its_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("no database\n" * 100)
    with pytest.raises(UserError, match=message) as raised:
        open_store(url)
    assert "s3cret" not in str(raised.value)
    assert Path("file").read_text().startswith("no database")


def test_a_reader_follows_a_store_that_is_deleted_and_made_anew(tmp_path: Path) -> None:
    def begin(name: str) -> None:
        sink = SqlSink(tmp_path / "runs")
        sink.start(Run(name, "demo"))
        sink.close()

    begin("old")
    with open_store(tmp_path / "runs", create=False) as reader:
        assert [one.id for one in queries.runs(reader)] == ["old"]
        shutil.rmtree(tmp_path / "runs")
        begin("new")
        assert [one.id for one in queries.runs(reader)] == ["new"]


def test_reading_needs_a_store_that_exists(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"store must exist, got '.*nowhere'"):
        open_store(tmp_path / "nowhere", create=False)
    assert not (tmp_path / "nowhere").exists()
    (tmp_path / "empty.db").touch()
    with pytest.raises(UserError, match="store must have a schema, got a database without one"):
        open_store(tmp_path / "empty.db", create=False)


def test_artifacts_need_a_protocol_that_is_known(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="artifacts must be a folder or a URL that fsspec can open, got 'nosuch'"):
        open_store(tmp_path, artifacts="nosuch://bucket")
