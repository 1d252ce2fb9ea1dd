"""Copies in durable storage: the manifest comes last, what refuses is a fault, and what is incomplete is passed over."""

from __future__ import annotations

import fsspec
import pytest
import torch

from ganwatch.checkpoints.copies import CheckpointStorage
from ganwatch.checkpoints.folder import load_checkpoint
from ganwatch.checkpoints.guard import CheckpointGuard
from ganwatch.checkpoints.manifest import CheckpointError, Manifest
from ganwatch.checkpoints.read_back import describe_checkpoint
from ganwatch.core.errors import UserError

URL = "memory://bucket/run"


@pytest.fixture
def memory():
    """The storage that fsspec has in memory, empty."""
    files = fsspec.filesystem("memory")
    files.store.clear()
    yield files
    files.store.clear()


@pytest.fixture
def guard(memory, tmp_path):
    made = CheckpointGuard(tmp_path / "saved", pauses=(0.0, 0.0), read_back=describe_checkpoint, storage=CheckpointStorage(URL))
    yield made
    made.close()


def save(guard, step):
    guard.save({"G": {"weight": torch.full((3,), float(step))}}, Manifest(step, {"G": step}, {}))
    assert guard.wait()
    return guard.take_results()


def loaded(url=URL):
    return float(load_checkpoint(url)["G"]["weight"][0])


def test_a_verified_checkpoint_is_copied_and_a_removed_one_is_removed(guard, memory):
    for step in (1, 2):
        assert [one.fault for one in save(guard, step)] == [""]
    assert loaded() == 2.0
    guard.remove([guard.folder.checkpoints()[0]])
    assert guard.wait()
    assert sorted(memory.find("/bucket")) == ["/bucket/run/latest", "/bucket/run/step-2/manifest.json", "/bucket/run/step-2/state.pt"]


def test_a_storage_that_refuses_for_a_while_gets_it_then(guard, memory, monkeypatch):
    put, refused = memory.put_file, []

    def refuse_twice(self, *args, **kwargs):
        refused.append(args)
        if len(refused) <= 2:
            raise PermissionError("SlowDown: please reduce your request rate")
        return put(*args, **kwargs)

    monkeypatch.setattr(type(memory), "put_file", refuse_twice)
    assert [one.fault for one in save(guard, 1)] == [""]
    assert loaded() == 1.0


def test_a_storage_that_refuses_is_a_fault_and_the_local_one_stays(guard, memory, monkeypatch):
    def refuse(self, *args, **kwargs):
        raise PermissionError("AccessDenied")

    monkeypatch.setattr(type(memory), "put_file", refuse)
    results = save(guard, 1)
    assert sorted(one.fault for one in results) == ["", "not copied: PermissionError: AccessDenied"]
    assert float(load_checkpoint(guard.folder.path)["G"]["weight"][0]) == 1.0


def test_what_is_incomplete_or_damaged_is_passed_over(guard, memory):
    for step in (1, 2, 3):
        save(guard, step)
    state = "/bucket/run/step-3/state.pt"
    memory.pipe_file(state, memory.cat_file(state)[:-10])
    assert loaded() == 2.0
    memory.rm_file("/bucket/run/step-2/manifest.json")
    assert loaded() == 1.0
    content = bytearray(memory.cat_file("/bucket/run/step-1/state.pt"))
    content[len(content) // 2] ^= 1
    memory.pipe_file("/bucket/run/step-1/state.pt", bytes(content))
    with pytest.raises(CheckpointError, match=r"step-3: .*cut off.*step-2: .*not completed.*step-1: .*SHA-256"):
        loaded()


def test_latest_cannot_lead_elsewhere(guard, memory):
    save(guard, 1)
    memory.pipe_file("/bucket/run/latest", b"../../secret")
    assert loaded() == 1.0


def test_a_storage_that_cannot_be_opened_is_named_without_its_password(memory):
    with pytest.raises(UserError, match="copy_to must be a folder or a URL that fsspec can open, got 'nothing://place'"):
        CheckpointStorage("nothing://place")
    with pytest.raises(UserError) as error:
        CheckpointStorage("nothing://user:hunter2@place")
    assert "hunter2" not in str(error.value)
    with pytest.raises(CheckpointError, match="path must"):
        load_checkpoint("memory://bucket/none")


def test_a_folder_elsewhere_will_do(tmp_path):
    guard = CheckpointGuard(tmp_path / "saved", pauses=(), read_back=describe_checkpoint, storage=CheckpointStorage(str(tmp_path / "far")))
    save(guard, 1)
    guard.close()
    assert float(load_checkpoint(tmp_path / "far")["G"]["weight"][0]) == 1.0
