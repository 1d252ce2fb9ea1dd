from __future__ import annotations

import threading
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import text

from ganwatch.core.errors import UserError
from ganwatch.core.readings import Run
from ganwatch.sinks.sql import SqlSink
from ganwatch.store import queries
from ganwatch.store.attempts import claim_attempt, release_attempt
from ganwatch.store.database import open_store

STARTS = 4


def new() -> Run:
    return Run(uuid.uuid4().hex[:12], "r", 1, 1.0, {"fingerprint": "same"})


def begin(url: str, run: Run) -> None:
    sink = SqlSink(url)
    sink.start(run)
    sink.close()


def at_once(url: str, resumed: str | None) -> list[Run]:
    """What so many starts at one instant are given, each with a connection of its own."""
    ready = threading.Barrier(STARTS)

    def start(_: int) -> Run:
        with open_store(url) as store:
            ready.wait(60)
            return claim_attempt(store, new(), resumed=resumed)

    with ThreadPoolExecutor(STARTS) as pool:
        return list(pool.map(start, range(STARTS)))


def test_starts_from_one_checkpoint_at_once_each_have_an_attempt_of_their_own(url: str) -> None:
    begin(url, run := new())
    claimed = at_once(url, run.id)
    assert {one.id for one in claimed} == {run.id}
    assert sorted(one.attempt for one in claimed) == [2, 3, 4, 5]
    begin(url, claimed[0])
    with open_store(url, create=False) as store:
        assert [one.attempt for one in queries.attempts(store, run.id)] == [1, 2, 3, 4, 5]


def test_of_starts_after_a_kill_at_once_one_goes_on_and_the_others_are_new_runs(url: str) -> None:
    begin(url, run := new())
    with open_store(url) as store, store.begin() as connection:
        connection.execute(text("UPDATE attempt SET process_started = process_started - 60"))
    claimed = at_once(url, None)
    assert [one.attempt for one in claimed if one.id == run.id] == [2]
    assert len({one.id for one in claimed}) == STARTS


def test_a_checkpoint_of_a_run_that_the_store_does_not_know(url: str) -> None:
    assert sorted(one.attempt for one in at_once(url, "elsewhere")) == [1, 2, 3, 4]


def test_a_released_claim_leaves_nothing(url: str) -> None:
    with open_store(url) as store:
        release_attempt(store, claim_attempt(store, new(), resumed="elsewhere"))
        assert queries.runs(store) == []
        begin(url, run := new())
        release_attempt(store, claim_attempt(store, run, resumed=run.id))
        assert [one.attempt for one in queries.attempts(store, run.id)] == [1]


def test_a_store_that_cannot_be_written_is_named(url: str) -> None:
    with open_store(url) as store:
        with store.begin() as connection:
            connection.execute(text("DROP TABLE attempt"))
        with pytest.raises(UserError, match="store must be writable, got"):
            claim_attempt(store, new(), resumed="r")
