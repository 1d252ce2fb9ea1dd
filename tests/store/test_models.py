"""Models in the store: one winner of two changes, versions once for each content, and an audit entry with every change."""

from __future__ import annotations

import os
import signal
from concurrent.futures import ThreadPoolExecutor

import pytest

from ganwatch.core.errors import UserError
from ganwatch.store import models
from ganwatch.store.audit_log import read_history
from ganwatch.store.database import open_store
from ganwatch.store.models import (
    PROMOTED,
    REGISTERED,
    ModelVersion,
    RevisionError,
    add_version,
    change_current,
    changes,
    find_model,
    versions,
)

ACTORS = 4


def version(content: int) -> ModelVersion:
    return ModelVersion(0, f"{content:064x}", f"/models/{content}", 10, scores={"frechet": {"step": 3, "value": float("nan")}})


def promote(url: str, number: int, revision: int, actor: str) -> bool:
    """Promote in a store of one's own; False if somebody else was first."""
    with open_store(url) as store:
        try:
            change_current(
                store, find_model(store, "m"), number, revision, action=PROMOTED, actor=actor, reason="", evidence={"sha256": "f"}
            )
        except RevisionError:
            return False
    return True


def test_one_of_several_promotions_at_once_wins_and_the_others_are_told(url: str) -> None:
    with open_store(url) as store:
        for content in range(ACTORS):
            add_version(store, "m", version(content), actor="a")
    with ThreadPoolExecutor(ACTORS) as pool:
        for revision in range(5):
            won = list(pool.map(promote, [url] * ACTORS, range(1, ACTORS + 1), [revision] * ACTORS, map(str, range(ACTORS))))
            assert sum(won) == 1
            with open_store(url) as store:
                record = find_model(store, "m")
                last = changes(store, "m")[-1]
            assert (record.revision, record.aliases["current"]) == (revision + 1, won.index(True) + 1)
            winner = won.index(True)
            assert (last.actor, last.detail["version"], last.detail["revision"]) == (str(winner), winner + 1, revision + 1)
    told = r"revision must be 5, the present one of model m, got 0; version \d is"
    with open_store(url) as store, pytest.raises(RevisionError, match=told):
        change_current(store, find_model(store, "m"), 1, 0, action=PROMOTED, actor="b", reason="", evidence={})


def test_registrations_at_once_get_different_numbers_and_equal_content_one(url: str) -> None:
    def register(content: int) -> int:
        with open_store(url) as store:
            return add_version(store, "m", version(content), actor="a").version

    with open_store(url):
        pass
    with ThreadPoolExecutor(ACTORS) as pool:
        numbers = list(pool.map(register, [0, 1, 2, 0, 1, 2, 3, 3]))
    assert numbers[:3] == numbers[3:6]
    assert numbers[6] == numbers[7]
    assert sorted(set(numbers)) == [1, 2, 3, 4]
    with open_store(url) as store:
        record = find_model(store, "m")
        assert [one.version for one in versions(store, record)] == [1, 2, 3, 4]
        assert read_history(store, "m", (REGISTERED,))[-1].detail["version"] == 4
        assert set(record.aliases) == {"candidate"}


@pytest.mark.parametrize("statement", range(1, 6))
def test_a_promotion_that_is_killed_between_two_writes_leaves_all_or_nothing(
    statement: int, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process ends before the n-th statement of the transaction, or before its commit."""
    with open_store(url) as store:
        add_version(store, "m", version(1), actor="a")
        add_version(store, "m", version(2), actor="a")
    assert promote(url, 1, 0, "before")
    if child := os.fork():
        assert os.waitpid(child, 0)[1] in {0, signal.SIGKILL}
    else:
        try:
            from sqlalchemy import Connection

            execute, count = Connection.execute, 0

            def counted(self: Connection, query: object, *args: object, **kwargs: object) -> object:
                nonlocal count
                count += type(query).__name__ in {"Update", "Insert"}
                if count == statement and type(query).__name__ in {"Update", "Insert"}:
                    os.kill(os.getpid(), signal.SIGKILL)
                return execute(self, query, *args, **kwargs)  # type: ignore[call-overload]

            monkeypatch.setattr(Connection, "execute", counted)
            promote(url, 2, 1, "killed")
        finally:
            os._exit(0)
    with open_store(url) as store:
        record = find_model(store, "m")
        entries = changes(store, "m")
    assert record.revision == len(entries)
    assert record.aliases["current"] == entries[-1].detail["version"] == record.revision


def test_a_model_that_is_not_there_is_named_with_those_that_are(url: str) -> None:
    with open_store(url) as store:
        add_version(store, "digits", version(1), actor="a")
        with pytest.raises(UserError, match="MODEL must be one of the store, digits, got 'ring'"):
            find_model(store, "ring")
        assert [one.name for one in models.models(store)] == ["digits"]
