from __future__ import annotations

import hashlib
import math
import subprocess
import sys

import numpy as np
import pytest
from sqlalchemy import text

from ganwatch.core.detector import Severity, Verdict
from ganwatch.core.errors import UserError
from ganwatch.core.incidents import Incident, State
from ganwatch.core.readings import Readings, Run, SampleImages
from ganwatch.data.origin import read_origin
from ganwatch.sinks.sql import SqlSink
from ganwatch.store import queries
from ganwatch.store.artifacts import ArtifactRoot
from ganwatch.store.database import Store, open_store


def begun(store: Store, id: str = "r", *, attempt: int = 1, started: float = 0.0, **provenance: object) -> SqlSink:
    sink = SqlSink(store)
    sink.start(Run(id, "demo", attempt, started, provenance))
    return sink


def incident(state: State = State.FIRING, *, seen: int = 120, opened: int = 110, **facts: object) -> Incident:
    verdict = Verdict(math.inf, 0.25, "vendi_ratio", 50, "reals of the same step", "few distinct outputs", 100)
    return Incident("GW101-1", "GW101", "mode collapse", Severity.PAGE, state, 100, opened, evidence=verdict, seen=seen, **facts)


def test_an_incident_comes_back_as_it_was_with_its_history(store: Store) -> None:
    sink = begun(store)
    reports = [incident(State.PENDING, seen=110), incident(fired=120), incident(fired=120, seen=150, cause="GW302-1")]
    extras = {"kinds": [1, math.nan]}
    last = incident(State.RESOLVED, seen=150, fired=120, resolved=210, cause="GW302-1", extras=extras, remedies="data first")
    for report in (*reports, reports[1], last, last):
        sink.incident(report)
    (found,) = queries.incidents(store, "r")
    assert {name: getattr(found, name) for name in ("id", "severity", "state", "resolved", "cause", "evidence", "remedies")} == {
        name: getattr(last, name) for name in ("id", "severity", "state", "resolved", "cause", "evidence", "remedies")
    }
    assert found.extras["kinds"][0] == 1
    assert math.isnan(found.extras["kinds"][1])
    history = queries.evidence(store, "r", "GW101-1")
    assert [(one.state, one.step) for one in history] == [("pending", 110), ("firing", 120), ("firing", 150), ("resolved", 150)]
    assert history[0].verdict == last.evidence


def test_open_incidents_are_those_that_fire_and_that_no_later_attempt_undid(store: Store) -> None:
    sink = begun(store)
    sink.incident(incident(State.PENDING))
    assert queries.incidents(store, open_only=True) == []
    sink.incident(incident())
    assert [one.id for one in queries.incidents(store, open_only=True)] == ["GW101-1"]
    assert queries.run(store, "r").open_incidents == 1
    begun(store, attempt=2).readings([Readings(111, {"x": 0.0}, 2)])
    assert queries.run(store, "r").open_incidents == 1
    again = begun(store, attempt=3)
    again.readings([Readings(90, {"x": 0.0}, 3)])
    assert queries.incidents(store, open_only=True) == []
    assert [one.superseded for one in queries.incidents(store)] == [True]
    again.incident(incident())
    assert [one.attempt for one in queries.incidents(store, open_only=True)] == [3]


@pytest.mark.parametrize("shape", [(10, 8, 8, 1), (5, 6, 4, 3), (1, 1, 1, 1), (64, 80, 80, 3)])
def test_pixels_read_back_equal_pixels_stored(store: Store, shape: tuple[int, int, int, int]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    begun(store).samples(SampleImages(7, "fake", shape, pixels.tobytes()))
    (found,) = queries.artifacts(store, "r")
    assert (found.step, found.kind, found.shape) == (7, "fake", shape)
    np.testing.assert_array_equal(queries.read_samples(store, found), pixels)
    png = queries.read_artifact(store, found)
    assert png.startswith(b"\x89PNG")
    assert found.sha256 == hashlib.sha256(png).hexdigest()
    assert (found.thumbnail is not None) == (shape[0] == 64)
    assert len(queries.read_artifact(store, found, thumbnail=True)) <= len(png)


def test_artifacts_are_found_by_kind_and_incident_and_page_by_page(store: Store) -> None:
    sink = begun(store)
    for step in range(1, 6):
        sink.samples(SampleImages(step, "fixed", (1, 1, 1, 1), bytes([step])))
    sink.samples(SampleImages(4, "pinned", (1, 1, 1, 1), b"p", "GW101-1"))
    sink.samples(SampleImages(4, "pinned", (1, 1, 1, 1), b"p", "GW101-1"))
    assert [one.step for one in queries.artifacts(store, "r", "fixed", offset=1, limit=2)] == [2, 3]
    assert [one.step for one in queries.artifacts(store, "r", incident="GW101-1")] == [4]
    begun(store, attempt=2).readings([Readings(3, {"x": 0.0}, 2)])
    assert [(one.step, one.kind) for one in queries.artifacts(store, "r")] == [(1, "fixed"), (2, "fixed"), (4, "pinned")]


def test_a_run_tells_its_state_attempts_and_origin(store: Store) -> None:
    sink = begun(store, started=50.0, seed=3, rate=math.nan)
    sink.readings([Readings(1, {"x": 1.0}), Readings(9, {"x": 1.0})])
    sink.finish("failed")
    begun(store, "newer", started=60.0)
    first = queries.run(store, "r")
    assert (first.state, first.started, first.attempts, first.last_step, first.provenance["seed"]) == ("failed", 50.0, 1, 9, 3)
    assert math.isnan(first.provenance["rate"])
    assert first.ended is not None
    assert [one.id for one in queries.runs(store)] == ["newer", "r"]
    begun(store, attempt=2, started=70.0).readings([Readings(5, {"x": 1.0}, 2)])
    again = queries.run(store, "r")
    assert (again.state, again.started, again.attempts, again.last_step, again.ended) == ("running", 50.0, 2, 5, None)
    assert again.provenance["seed"] == 3
    assert [(one.attempt, one.state, one.first_step) for one in queries.attempts(store, "r")] == [(1, "failed", 1), (2, "running", 5)]


def test_a_person_names_a_run_by_id_beginning_name_or_latest(store: Store) -> None:
    for number, name in enumerate(("abc1", "abd2", "xyz3")):
        begun(store, name, started=1.0 + number)
    assert [queries.find_run(store, meant).id for meant in ("abc1", "abd", "demo", "latest")] == ["abc1", "abd2", "xyz3", "xyz3"]
    with pytest.raises(UserError, match=r"'ab' is the beginning of 2: abc1, abd2"):
        queries.find_run(store, "ab")
    for unknown in ("nobody", ""):
        with pytest.raises(UserError, match=f"got '{unknown}', and the store holds 3 runs"):
            queries.find_run(store, unknown)
    with pytest.raises(UserError, match="run must be the id of a run in the store, got 'ab'"):
        queries.run(store, "ab")


def test_a_running_run_goes_silent_and_a_finished_one_does_not(store: Store) -> None:
    sink = begun(store)
    last = queries.heartbeat(store, "r").last
    assert [queries.heartbeat(store, "r", silent_after=10, now=last + age).silent for age in (9, 11)] == [False, True]
    sink.finish("finished")
    assert queries.heartbeat(store, "r", silent_after=10, now=last + 1000).silent is False


def unfinished(store: Store, fingerprint: str) -> tuple[str, int] | None:
    with store.read() as connection:
        found = queries.unfinished(connection, fingerprint)
    return found and (found.run, found.attempt)


def test_only_a_run_whose_process_died_is_unfinished(url: str) -> None:
    script = f"""
import os
from ganwatch.core.readings import Run
from ganwatch.data.origin import read_origin
from ganwatch.sinks.sql import SqlSink
SqlSink({url!r}).start(Run("dead", "demo", provenance={{"fingerprint": "same"}}))
os._exit(9)
"""
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 9
    with open_store(url) as store:
        sink = begun(store, "alive", fingerprint="same")
        assert unfinished(store, "same") == ("dead", 1)
        assert unfinished(store, "other") is None
        sink = begun(store, "dead", attempt=2, fingerprint="same")
        assert unfinished(store, "same") is None
        with store.begin() as connection:
            connection.execute(text("UPDATE attempt SET process_started = process_started - 60 WHERE run_id = 'alive'"))
        assert unfinished(store, "same") == ("alive", 1)  # another process got the number
        with store.begin() as connection:
            connection.execute(text("UPDATE attempt SET host = 'elsewhere'"))
        assert unfinished(store, "same") is None
        sink.finish("finished")


@pytest.mark.parametrize("root", ["http://127.0.0.1:1/x", "simplecache::http://127.0.0.1:1/x", "ftp://host/x", "github://o:r@/x"])
def test_a_store_cannot_send_its_reader_to_another_server(tmp_path, root):
    sink = SqlSink(tmp_path)
    sink.start(Run("r", "n"))
    sink.samples(SampleImages(1, "fake", (1, 2, 2, 1), b"abcd"))
    with sink.store.begin() as connection:
        connection.execute(text("UPDATE run SET artifact_root = :root"), {"root": root})
    [artifact] = queries.artifacts(sink.store, "r")
    with pytest.raises(UserError, match="artifacts of a store must lie in a folder or in one of"):
        queries.read_artifact(sink.store, artifact)
    sink.close()


@pytest.mark.parametrize(("kind", "source"), [("fixed", "trainedAlgorithmicMedia"), ("real", "digitalCapture")])
def test_a_contact_sheet_says_where_it_comes_from(tmp_path, kind, source):
    root = ArtifactRoot(str(tmp_path))
    sheet = root.save("r", SampleImages(7, kind, (1, 600, 4, 1), bytes(2400)))
    for path in (sheet.path, sheet.thumbnail):
        assert read_origin(root.read(path)) == {"Source": source, "run": "r", "step": "7"}
