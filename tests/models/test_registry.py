"""Versions are copies that nothing removes; current goes to what is not bad; last good follows the incidents of today."""

from __future__ import annotations

import os
import pickle
import shutil
import signal
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
import torch
from sqlalchemy import text

from checkpoints.fault_points import kill_at, watched
from ganwatch.checkpoints.folder import load_checkpoint
from ganwatch.core.detector import Severity
from ganwatch.core.errors import UserError
from ganwatch.core.incidents import Incident, State
from ganwatch.core.readings import Run
from ganwatch.models.files import replace_link
from ganwatch.models.registry import ModelRegistry
from ganwatch.sinks.sql import SqlSink
from ganwatch.store.database import open_store

WHO = {"actor": "tester"}


def collapse(onset):
    """Record an incident of the run."""
    sink = SqlSink("runs")
    sink.start(Run("r", "loop", attempt=2))
    at = onset + 60
    sink.incident(Incident("GW101-1", "GW101", "mode collapse", Severity.PAGE, State.FIRING, onset, at, fired=at, seen=at))
    sink.close()


def test_a_version_outlives_its_checkpoint(registry, saved):
    version = registry.register("m", saved[300], **WHO)
    shutil.rmtree(saved[300].parent)
    assert (version.run, version.step, version.scores["frechet"]) == ("r", 300, {"step": 300, "value": 3.0, "error": 0.5})
    assert float(load_checkpoint(registry.resolve("m", "candidate"))["G"]["weight"][0]) == 300.0


def test_equal_content_is_one_version(registry, saved):
    again = saved[300].with_name("copy")
    shutil.copytree(saved[300], again)
    assert registry.register("m", saved[300], **WHO) == registry.register("m", again, **WHO)
    assert registry.register("m", saved[600], **WHO).version == 2


def test_the_last_good_one_of_a_run_is_taken(registry):
    assert registry.register("m", run="latest", **WHO).step == 900
    collapse(500)
    assert registry.register("m", run="latest", **WHO).step == 300


def test_a_collapse_makes_versions_bad_and_rollback_serves_the_last_good_one(registry, saved):
    for revision, step in enumerate((300, 600, 900)):
        registry.register("m", saved[step], **WHO)
        registry.promote("m", "candidate", revision, **WHO)
    collapse(500)
    _, found = registry.show("m")
    assert [str(one.verdict.quality) for one in found] == ["good", "bad", "bad"]
    assert found[0].aliases == ("last-good",)
    with pytest.raises(UserError, match="version 2 of model m must not be bad, got mode collapse"):
        registry.promote("m", 2, 3, **WHO)
    assert registry.roll_back("m", 3, reason="collapsed", **WHO).aliases["current"] == 1
    assert float(load_checkpoint(registry.resolve("m"))["G"]["weight"][0]) == 300.0


def test_what_was_rolled_back_is_bad_until_it_is_promoted_again(registry, saved):
    for revision, step in enumerate((300, 600)):
        registry.register("m", saved[step], **WHO)
        registry.promote("m", "candidate", revision, **WHO)
    registry.roll_back("m", 2, reason="blurred", **WHO)
    assert registry.find("m", 2).verdict.reason == "rolled back by tester: blurred"
    with pytest.raises(UserError, match="must not be bad"):
        registry.promote("m", 2, 3, **WHO)
    with pytest.raises(UserError, match="got none; name one with --to"):
        registry.roll_back("m", 3, **WHO)


def test_a_version_that_a_gate_called_worse_is_not_promoted(registry, saved):
    for step in (300, 600):
        registry.register("m", saved[step], **WHO)
    registry.promote("m", 1, 0, **WHO)
    registry.record_gate("m", 2, 1, {"outcome": "worse"}, actor="gate")
    with pytest.raises(UserError, match="must not be worse than the current one"):
        registry.promote("m", 2, 1, **WHO)
    registry.record_gate("m", 2, 1, {"outcome": "not_worse", "margin": 0.05, "level": 0.01}, actor="gate")
    assert registry.promote("m", 2, 1, **WHO).revision == 2


def test_files_that_changed_are_not_served(registry, saved):
    path = registry.path_of(registry.register("m", saved[300], **WHO))
    registry.promote("m", 1, 0, **WHO)
    with Path(path, "state.pt").open("r+b") as file:
        file.seek(200)
        file.write(b"\0\1\2")
    with pytest.raises(UserError, match="SHA-256"):
        registry.resolve("m")
    registry.register("m", saved[300], **WHO)  # mends it
    assert registry.resolve("m") == path
    shutil.rmtree(path)
    with pytest.raises(UserError, match="where they were registered"):
        registry.resolve("m")


def test_a_store_may_be_moved_and_a_path_that_leads_elsewhere_is_refused(registry, saved, tmp_path):
    registry.register("m", saved[300], **WHO)
    registry.promote("m", 1, 0, **WHO)
    shutil.copytree("runs", "elsewhere")
    with open_store("elsewhere") as store:
        assert ModelRegistry(store).resolve("m").is_relative_to(tmp_path / "elsewhere")
        for path in ("/etc/passwd", "models/../../x", "artifacts/x", "models/\0", ""):
            with store.begin() as connection:
                connection.execute(text("UPDATE model_version SET path = :path"), {"path": path})
            with pytest.raises(UserError, match=r"must lie below models|where they were registered"):
                ModelRegistry(store).resolve("m")


def test_a_run_that_is_lost_makes_its_version_unknown_and_no_other(registry, saved):
    for step in (300, 600):
        registry.register("m", saved[step], **WHO)
    with closing(sqlite3.connect("runs/ganwatch.db")) as connection:
        connection.execute("UPDATE model_version SET run_id = 'gone' WHERE version = 1")
        connection.commit()
    _, found = registry.show("m")
    assert [str(one.verdict.quality) for one in found] == ["unknown", "good"]
    assert registry.promote("m", 2, 0, **WHO).revision == 1


def test_a_person_takes_a_rollback_back_and_nobody_goes_back_to_what_was_never_in_use(registry, saved):
    for step in (300, 600, 900):
        registry.register("m", saved[step], **WHO)
    registry.promote("m", 1, 0, **WHO)
    registry.promote("m", 2, 1, **WHO)
    registry.roll_back("m", 2, **WHO)
    with pytest.raises(UserError, match="must be a version that was in use"):
        registry.roll_back("m", 3, to=3, **WHO)
    assert registry.roll_back("m", 3, to=2, **WHO).aliases["current"] == 2
    assert str(registry.find("m", 2).verdict.quality) == "good"
    with pytest.raises(UserError, match="VERSION must be another one"):
        registry.promote("m", 2, 4, **WHO)


def test_a_declaration_can_be_made_later(registry, saved):
    registry.register("m", saved[300], **WHO)
    assert registry.register("m", saved[300], declared={"contact": "us"}, **WHO).declared == {"contact": "us"}
    assert registry.register("m", saved[300], **WHO).declared == {"contact": "us"}


class Trap:
    def __reduce__(self):
        return os.mkdir, ("ran",)


def test_a_file_with_code_is_refused_and_runs_nothing(registry, tmp_path):
    torch.save({"G": Trap()}, tmp_path / "trap.pt")
    (tmp_path / "plain.pt").write_bytes(pickle.dumps({"G": 1}))
    for name in ("trap.pt", "plain.pt", "none.pt", "."):
        with pytest.raises(UserError, match=r"checkpoint|trap\.pt|plain\.pt"):
            registry.register("m", tmp_path / name, **WHO)
    assert not (tmp_path / "ran").exists()
    with pytest.raises(UserError, match="MODEL must be one of the store"):
        registry.show("m")


@pytest.mark.parametrize("name", ["", "../up", "a/b", ".hidden", "x" * 65, "two words", "a\n"])
def test_names_that_no_folder_takes(registry, saved, name):
    with pytest.raises(UserError, match="MODEL must be"):
        registry.register(name, saved[300], **WHO)


def test_a_registration_that_is_killed_anywhere_can_be_made_again(registry, saved, tmp_path, monkeypatch):
    root = tmp_path / "runs" / "artifacts"
    number = 1
    while True:
        if child := os.fork():
            status = os.waitpid(child, 0)[1]
        else:
            try:
                with watched(root, kill_at(number), monkeypatch.setattr):
                    registry.register(f"m{number}", saved[300], **WHO)
            finally:
                os._exit(0)
        version = registry.register(f"m{number}", saved[300], **WHO)
        assert registry.resolve(f"m{number}", version.version)
        assert [path.name for path in (root / "models" / f"m{number}").iterdir()] == [version.sha256[:16]]
        if status == 0:
            break
        assert status == signal.SIGKILL
        number += 1
    assert number > 8


def test_a_link_is_replaced_at_once_and_nothing_else_is(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        replace_link(tmp_path / "live", tmp_path / name)
        assert (tmp_path / "live").resolve() == tmp_path / name
    (tmp_path / "file").write_text("precious")
    with pytest.raises(UserError, match="--link must be a link"):
        replace_link(tmp_path / "file", tmp_path / "one")
    assert (tmp_path / "file").read_text() == "precious"
