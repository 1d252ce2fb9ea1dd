"""A store of an earlier version opens, and its runs have the names of this version."""

from __future__ import annotations

import importlib
import math
import os
import sqlite3
import stat
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from alembic import command
from sqlalchemy import MetaData, text

from ganwatch.core.errors import UserError
from ganwatch.store import audit_log, queries
from ganwatch.store.blocks import STEPS_PER_BLOCK, Block
from ganwatch.store.database import _config, open_store

SERIES = {
    "kinds": "modes",
    "kinds_missing": "modes_missing",
    "groups_off": "groups_off_target",
    "output_slope/g": "output_gradient/g",
    "output_slope/d": "output_gradient/d",
    "copies": "copy_share",
    "updates/g": "updates_performed/g",
    "copies_of_mine/kinds": "copies_of_mine/kinds",
    "logged/kinds": "logged/kinds",
    "loss/g": "loss/g",
}
"""Series of the old version and their new names."""
VALUES = dict(zip(range(250, 262), (0.5, math.nan, math.inf, -0.0, *map(float, range(8))), strict=True))
VERDICT = {"value": None, "threshold": 0.0, "window": 1, "origin": "o", "explanation": "e", "onset": 3, "nonfinite": [[["value"], "inf"]]}
READERS = 3


@pytest.fixture
def old(url: str) -> str:
    """A store as revision 0001 left it: two attempts at a run, each with two blocks a series, and incidents with evidence."""
    with open_store(url) as store, store.begin() as connection:
        command.downgrade(_config(connection), "base")
        command.upgrade(_config(connection), "0001")
        tables = MetaData()
        tables.reflect(connection)
        insert = {name: table.insert() for name, table in tables.tables.items()}
        life = {"state": "finished", "started": 1.0, "heartbeat": 2.0, "provenance": {}}
        connection.execute(insert["run"], {"id": "r", "name": "old", **life})
        for attempt, first in ((1, 1), (2, 250)):
            process = {"host": "h", "pid": 1, "process_started": 0.0, "first_step": first, "last_step": 261}
            connection.execute(insert["attempt"], {"run_id": "r", "attempt": attempt, **process, **life})
            owner = {"run_id": "r", "attempt": attempt}
            for series in SERIES:
                for number in (0, 1):
                    block = Block()
                    for step, value in VALUES.items():
                        if step // STEPS_PER_BLOCK == number:
                            block.set_reading(step % STEPS_PER_BLOCK, value)
                    offsets, readings = block.pack()
                    row = owner | {"series": series, "block": number, "offsets": offsets, "readings": readings}
                    connection.execute(insert["reading_block"], row)
                rollup = owner | {"series": series, "width": STEPS_PER_BLOCK, "bucket": 0} | block.rollup(0)
                connection.execute(insert["rollup"], rollup)
        texts = dict.fromkeys(("likely_causes", "remedies", "runbook", "title"), "t")
        for place, series in enumerate([*SERIES, None]):
            verdict = VERDICT | {"signal": series} if series else {}
            facts = {"run_id": "r", "attempt": 2, "state": "firing", "verdict": verdict}
            steps = dict.fromkeys(("onset", "opened", "seen"), 3)
            incident = {"id": f"i{place:02}", "code": "GW102", "severity": "page", "updated": 1.0, "extras": {}, **texts, **steps}
            connection.execute(insert["incident"], facts | incident)
            connection.execute(insert["evidence"], facts | {"incident_id": f"i{place:02}", "step": 3, "recorded": 1.0})
        for action in (audit_log.DRIFT_CHECKED, audit_log.GENERATOR_ACCEPTED):
            entry = {"created": 1.0, "actor": "a", "action": action, "subject": "r", "detail": {"verdict": "v", "moved": ["width"], "b": 1}}
            connection.execute(insert["audit"], entry)
    return url


def rows(url: str, table: str) -> list[str]:
    """Every row of a table, bytes and all."""
    with open_store(url) as store, store.read() as connection:
        return sorted(map(repr, connection.execute(text(f"SELECT * FROM {table}")).all()))  # noqa: S608  # our own names


@pytest.mark.parametrize("create", [True, False])
def test_an_old_store_shows_its_runs_under_the_new_names(old: str, create: bool) -> None:
    with open_store(old, create=create) as store:
        assert queries.series_names(store, "r") == sorted(SERIES.values())
        for name in SERIES.values():
            steps, values = queries.series(store, "r", name)
            assert steps.tolist() == list(VALUES)
            assert list(map(repr, values.tolist())) == list(map(repr, VALUES.values()))
            assert queries.series(store, "r", name, max_points=2)[0].size == 2
        assert queries.last_values(store, "r") == dict.fromkeys(sorted(SERIES.values()), (261, 7.0))
        [check] = audit_log.read_entries(store, audit_log.DRIFT_CHECKED, "r")
        assert list(check.detail.items()) == [("verdict", "v"), ("changed_columns", ["width"]), ("b", 1)]
        *found, without = queries.incidents(store, "r")
        assert without.evidence is None
        for incident, name in zip(found, SERIES.values(), strict=True):
            [report] = queries.evidence(store, "r", incident.id)
            assert incident.evidence == report.verdict
            assert (report.verdict.signal, report.verdict.value, report.verdict.onset) == (name, math.inf, 3)


def test_an_old_store_is_migrated_once_where_many_open_it_at_once(old: str) -> None:
    def names(_: int) -> list[str]:
        with open_store(old, create=False) as store:
            return queries.series_names(store, "r")

    with ThreadPoolExecutor(READERS) as pool:
        assert list(pool.map(names, range(READERS))) == [sorted(SERIES.values())] * READERS


def test_a_migration_that_is_undone_leaves_every_byte_as_it_was(old: str) -> None:
    def all_rows() -> dict[str, list[str]]:
        return {table: rows(old, table) for table in ("run", "attempt", "reading_block", "rollup", "incident", "evidence", "audit")}

    new = all_rows()
    with open_store(old) as store, store.begin() as connection:
        command.downgrade(_config(connection), "0001")
        found = connection.execute(text("SELECT DISTINCT series FROM reading_block")).scalars()
        assert sorted(found) == sorted(SERIES)
        assert sorted(connection.execute(text("SELECT DISTINCT series FROM rollup")).scalars()) == sorted(SERIES)
    assert all_rows() == new
    assert not any("kinds_missing" in row for row in new["incident"] + new["evidence"])


def test_the_names_after_the_last_migration_are_those_of_the_catalogue() -> None:
    from ganwatch.core.signals import catalogue

    names = importlib.import_module("ganwatch.store.migrations.versions.r0002_series_names").NEW_NAMES | {"updates": "updates_performed"}
    assert set(names.values()) <= set(catalogue())
    assert not set(names) & set(catalogue())


def test_an_old_store_that_cannot_be_written_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    open_store(tmp_path).close()
    with closing(sqlite3.connect(tmp_path / "ganwatch.db")) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '0001'")
        connection.commit()
        connection.execute("PRAGMA journal_mode=DELETE")
    (tmp_path / "ganwatch.db").chmod(stat.S_IRUSR)
    if os.geteuid() == 0:  # root may write all the same
        monkeypatch.setattr("ganwatch.store.database._use_wal", lambda file: (_ for _ in ()).throw(sqlite3.OperationalError("readonly")))
    with pytest.raises(UserError, match=r"must have this version's schema, got an older one that cannot be migrated here \(.*readonly"):
        open_store(tmp_path, create=False)
