"""A damaged store is refused in one line that names the row, in every command and query."""

from __future__ import annotations

import json
import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from targets.stores import _content, lay_artifacts, read_store, rows_of, write

from ganwatch import cli
from ganwatch.core.errors import UserError
from ganwatch.store import database, queries
from ganwatch.store.database import open_store
from ganwatch.store.rows import UnreadableStoreError
from ganwatch.store.strict_json import decode, encode

DEEP = "[" * 100_000
ENDLESS = "WITH RECURSIVE n(id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM n) SELECT max(id) AS id FROM n"


@pytest.mark.parametrize(
    ("table", "column", "value", "reason"),
    [
        ("run", "name", None, "got one of run \\(id 'run-1'\\) in which name must be a text, got None"),
        ("run", "outcome", '{"conclusion": "odd"}', "conclusion must be one of clean, incidents, not judged, got 'odd'"),
        ("run", "outcome", '{"": 1}', "Outcome must have the fields step, .*, got ''"),
        ("run", "started", "x", "started must be a number, got 'x'"),
        ("attempt", "first_step", "x", "first_step must be an integer"),
        ("reading_block", "readings", b"1234567", "readings must have 8 bytes for each of [0-9]+ offsets, got 7"),
        ("reading_block", "offsets", b"\x05" * 19, "got one of reading_block"),
        ("incident", "severity", "odd", "severity must be one of page, ticket, got 'odd'"),
        ("evidence", "state", b"\xff", "state must be one of pending, firing, resolved"),
        ("artifact", "columns", 0, "a contact sheet must have tiles in columns"),
        ("artifact", "path", "../../../etc/passwd", "path must lie under the artifact root"),
        ("audit", "detail", "[]", "AcceptedReference must have the fields path, sha256, count, extractor, got 'malformed'"),
        ("run", "artifact_root", "nosuch://x", "artifacts of a store must lie in a folder or in one of .*, got 'nosuch://x'"),
    ],
)
def test_a_strange_cell_is_named_with_its_row(tmp_path: Path, table: str, column: str, value: object, reason: str) -> None:
    write(tmp_path, rows_of(1)[0], [(table, column, value)])
    lay_artifacts(tmp_path, 1)
    with pytest.raises(UserError, match=reason) as error:
        read_store(tmp_path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "value", [DEEP, '{"a": ' * 300 + "1" + "}" * 300, '{"nonfinite": [[["a"], "nan"], 3]}', '{"value": 1' + "0" * 400 + "}", "[1]", "{"]
)
def test_a_malformed_json_cell_hides_no_other_cell(tmp_path: Path, value: str) -> None:
    write(tmp_path, rows_of(1)[0], [("run", "provenance", value), ("incident", "verdict", value), ("incident", "extras", value)])
    with open_store(tmp_path, create=False) as store:
        [run] = queries.runs(store)
        [incident] = queries.incidents(store, run.id)
    assert run.id == "run-1"
    assert incident.evidence is not None
    assert incident.evidence.explanation.startswith("The evidence in the store is malformed: ")
    assert "\n" not in incident.evidence.explanation
    assert set(run.provenance) in ({"malformed"}, {"value"})
    assert json.dumps([dict(run.provenance), incident.extras])


def test_a_damaged_page_is_an_error_of_the_store(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = bytearray(_content(1))
    content[8192:] = bytes(len(content) - 8192)
    (tmp_path / "ganwatch.db").write_bytes(content)
    assert cli.main(["runs", "--store", str(tmp_path)]) == 2
    assert "store must be" in capsys.readouterr().err
    write(tmp_path, rows_of(1)[0])
    with open_store(tmp_path, create=False) as store:
        with closing(sqlite3.connect(tmp_path / "ganwatch.db")) as connection:
            connection.execute("DROP TABLE evidence")
            connection.commit()
        with pytest.raises(UnreadableStoreError, match=r"store must be a database that can be read, got '.*ganwatch.db': no such table"):
            queries.evidence(store, "run-1", "GW301-1")


def test_a_store_with_two_versions_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, rows_of(1)[0])
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("INSERT INTO alembic_version VALUES ('0001')")
        connection.commit()
    with pytest.raises(UserError, match="store must be a database that can be opened"):
        open_store(tmp_path, create=False)


def test_an_artifact_that_is_a_device_is_not_read(tmp_path: Path) -> None:
    write(tmp_path, rows_of(1)[0], [("run", "artifact_root", "/dev"), ("artifact", "path", "zero")])
    with open_store(tmp_path, create=False) as store, pytest.raises(UserError, match="must be a regular file, got a device"):
        queries.read_samples(store, queries.artifacts(store, "run-1")[0])


def test_what_is_written_is_never_nested_too_deeply_to_be_read() -> None:
    loop: dict[str, object] = {}
    loop["again"] = loop
    assert decode(json.loads(json.dumps(encode({"facts": loop}))))


@pytest.mark.parametrize("name", ["ganwatch.db", "ganwatch.db-wal", "ganwatch.db-journal"])
def test_a_pipe_in_place_of_a_file_of_the_store_is_not_waited_for(tmp_path: Path, name: str) -> None:
    write(tmp_path, rows_of(1)[0])
    (tmp_path / name).unlink(missing_ok=True)
    os.mkfifo(tmp_path / name)
    for create in (True, False):
        with pytest.raises(UserError, match=f"store must be a regular file, got a pipe: '.*{name}'"):
            open_store(tmp_path, create=create)


@pytest.mark.parametrize(
    "trap",
    [
        "ALTER TABLE run RENAME TO held; CREATE VIEW run AS " + ENDLESS,
        "CREATE TRIGGER t AFTER INSERT ON run BEGIN DELETE FROM run; END",
    ],
)
def test_a_store_of_views_or_triggers_is_refused(tmp_path: Path, trap: str, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path, rows_of(1)[0])
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(trap)
    assert cli.main(["runs", "--store", str(tmp_path)]) == 2
    assert "store must hold tables and indexes only" in capsys.readouterr().err


def test_a_statement_that_does_not_end_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, rows_of(1)[0])
    monkeypatch.setattr(database, "STATEMENT_SECONDS", 0.05)
    with open_store(tmp_path, create=False) as store, pytest.raises(UnreadableStoreError, match="interrupted"), store.read() as connection:
        connection.exec_driver_sql(ENDLESS)
