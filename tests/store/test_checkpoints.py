"""Checkpoints in the store: one row each, verdicts that are only added to, and judged by the incidents of all attempts."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sqlalchemy import select

from ganwatch.core.checkpoints import CheckpointVerdict, Quality, SavedCheckpoint
from ganwatch.core.detector import Severity
from ganwatch.core.incidents import Incident, State
from ganwatch.core.readings import Readings, Run
from ganwatch.sinks.sql import SqlSink
from ganwatch.store import queries, tables
from ganwatch.store.checkpoints import append_checkpoint, checkpoints, history, judge_checkpoints
from ganwatch.store.database import open_store
from ganwatch.store.rows import MalformedRowError

SAVED = SavedCheckpoint("/checkpoints/step-300", 300, "f" * 64, 10, 1.5, nonfinite=("D",))
GOOD, BAD = CheckpointVerdict(Quality.GOOD, "no incident"), CheckpointVerdict(Quality.BAD, "mode collapse", "GW101-1")


@pytest.fixture
def run(url: str) -> str:
    sink = SqlSink(url)
    sink.start(Run("r", "loop"))
    sink.readings([Readings(900, {"x": 1.0})])
    sink.close()
    return url


def test_a_checkpoint_is_one_row_and_its_verdicts_are_added(run: str) -> None:
    with open_store(run) as store:
        for verdict in (GOOD, GOOD, BAD, GOOD):
            append_checkpoint(store, "r", 1, replace(SAVED, verdict=verdict))
        assert checkpoints(store, "r") == [replace(SAVED, verdict=GOOD, attempt=1)]
        assert list(history(store, SAVED, "r")) == [GOOD, BAD, GOOD]
        append_checkpoint(store, "r", 1, replace(SAVED, verdict=GOOD, is_removed=True))
        assert [one.is_removed for one in checkpoints(store, "r")] == [True]


def test_an_incident_of_a_later_attempt_judges_an_earlier_checkpoint(run: str) -> None:
    with open_store(run) as store:
        append_checkpoint(store, "r", 1, replace(SAVED, nonfinite=(), verdict=GOOD))
        assert [str(one.verdict.quality) for one in judge_checkpoints(store, queries.run(store, "r"))] == ["good"]
    sink = SqlSink(run)
    sink.start(Run("r", "loop", attempt=2))
    sink.incident(Incident("GW101-1", "GW101", "mode collapse", Severity.PAGE, State.FIRING, 250, 310, fired=310, seen=310))
    sink.close()
    with open_store(run) as store:
        [one] = judge_checkpoints(store, queries.run(store, "r"))
    assert (str(one.verdict.quality), one.verdict.incident) == ("bad", "GW101-1")


def test_an_attempt_that_went_back_leaves_no_good_checkpoint_behind_it(run: str) -> None:
    with open_store(run) as store:
        for step in (300, 500):
            append_checkpoint(store, "r", 1, SavedCheckpoint(f"/checkpoints/step-{step}", step, "f", verdict=GOOD))
    sink = SqlSink(run)
    sink.start(Run("r", "loop"))
    sink.incident(Incident("GW101-1", "GW101", "mode collapse", Severity.PAGE, State.FIRING, 470, 520, fired=520, seen=520))
    sink.start(Run("r", "loop", attempt=2))
    sink.readings([Readings(301, {"x": 1.0}), Readings(900, {"x": 1.0})])
    sink.close()
    with open_store(run) as store:
        assert [str(one.verdict.quality) for one in judge_checkpoints(store, queries.run(store, "r"))] == ["good", "bad"]


def test_a_row_that_nobody_of_ours_wrote_is_named(run: str) -> None:
    with open_store(run) as store:
        append_checkpoint(store, "r", 1, replace(SAVED, verdict=GOOD))
        with store.begin() as connection:
            connection.execute(tables.table(tables.CheckpointRow).update().values(path=b"\x00", sha256="x"))
            assert connection.execute(select(tables.table(tables.CheckpointRow).c.sha256)).scalar() == "x"
            connection.execute(tables.table(tables.CheckpointVerdictRow).update().values(quality="splendid"))
        with pytest.raises(MalformedRowError, match="checkpoint"):
            checkpoints(store, "r")
