"""The guard: further attempts, faults, order of moves, and a training thread that only copies."""

from __future__ import annotations

import errno
import threading

import pytest
import torch

from checkpoints.fault_points import fail_at, watched
from ganwatch.checkpoints.durable import write_file
from ganwatch.checkpoints.folder import STATE, load_checkpoint
from ganwatch.checkpoints.guard import CheckpointGuard
from ganwatch.checkpoints.manifest import CheckpointError, Manifest
from ganwatch.checkpoints.read_back import describe_checkpoint


@pytest.fixture
def make_guard(tmp_path):
    """Makes guards that read back in this process and are closed in the end."""
    made = []

    def make(pauses=(0.0, 0.0), read_back=describe_checkpoint):
        made.append(CheckpointGuard(tmp_path / "checkpoints", pauses=pauses, read_back=read_back))
        return made[-1]

    yield make
    for guard in made:
        guard.close()


def save(guard, step):
    guard.save({"G": {"weight": torch.full((3,), float(step))}}, Manifest(step, {"G": step}, {}))


def results(guard):
    assert guard.wait(60.0)
    return guard.take_results()


def test_a_save_is_read_back_before_it_is_the_latest(make_guard):
    latest = []

    def read_back(path):
        latest.append(guard.folder.latest())
        return describe_checkpoint(path)

    guard = make_guard(read_back=read_back)
    for step in (1, 2):
        save(guard, step)
        [result] = results(guard)
        assert (result.step, result.is_verified, result.size > 0, len(result.sha256)) == (step, True, True, 64)
    assert [path and path.name for path in latest] == [None, "step-1"]
    assert guard.folder.latest().name == "step-2"


def test_a_write_that_fails_twice_is_made_the_third_time(make_guard, monkeypatch):
    guard = make_guard()
    failures = iter([True, True])

    def fail_twice(_):
        if next(failures, False):
            raise OSError(errno.EIO, "input/output error")

    with watched(guard.folder.path, fail_twice, monkeypatch.setattr):
        save(guard, 1)
        [result] = results(guard)
    assert result.is_verified


def test_a_disk_that_stays_full_is_a_fault_and_the_next_save_is_tried(make_guard, monkeypatch):
    guard = make_guard()
    with monkeypatch.context() as patched, watched(guard.folder.path, fail_at(range(1, 1000), errno.ENOSPC), patched.setattr):
        save(guard, 1)
        [result] = results(guard)
    assert (result.is_verified, "No space left on device" in result.fault) == (False, True)
    save(guard, 2)
    assert [one.is_verified for one in results(guard)] == [True]


def test_what_cannot_be_read_back_never_becomes_the_latest(make_guard):
    def refuse(path):
        if path.name == "step-2":
            raise CheckpointError("state.pt must hold tensors")
        return describe_checkpoint(path)

    guard = make_guard(read_back=refuse)
    save(guard, 1)
    [first] = results(guard)
    save(guard, 2)
    [second] = results(guard)
    assert (first.fault, second.fault) == ("", "state.pt must hold tensors")
    assert guard.folder.latest().name == "step-1"


def test_bytes_that_change_on_the_way_to_the_disk_are_written_again(make_guard, monkeypatch):
    guard = make_guard()
    damaged = []

    def write_damaged(path, write):
        written = write_file(path, write)
        if path.name == STATE and not damaged:
            damaged.append(path)
            content = bytearray(path.read_bytes())
            content[len(content) // 2] ^= 1
            path.write_bytes(content)
        return written

    monkeypatch.setattr("ganwatch.checkpoints.folder.write_file", write_damaged)
    save(guard, 1)
    [result] = results(guard)
    assert result.is_verified
    assert float(load_checkpoint(guard.folder.path)["G"]["weight"][0]) == 1.0


def test_the_training_goes_on_while_a_save_is_written_and_the_latest_state_counts(make_guard, monkeypatch):
    guard = make_guard()
    write, begun, may_end = guard.folder.write, threading.Event(), threading.Event()

    def write_slowly(states, manifest):
        begun.set()
        assert may_end.wait(60.0)
        return write(states, manifest)

    monkeypatch.setattr(guard.folder, "write", write_slowly)
    save(guard, 1)
    assert begun.wait(60.0)
    for step in (2, 3, 4):
        save(guard, step)
    may_end.set()
    assert [result.step for result in results(guard)] == [1, 4]
    assert float(load_checkpoint(guard.folder.path / "step-4")["G"]["weight"][0]) == 4.0


def test_removal_and_the_end(make_guard):
    guard = make_guard()
    for step in (1, 2):
        save(guard, step)
        results(guard)
    guard.remove([guard.folder.path / "step-1"])
    assert guard.wait(60.0)
    assert [path.name for path in guard.folder.checkpoints()] == ["step-2"]
    save(guard, 3)
    guard.close()
    assert [result.step for result in guard.take_results()] == [3]
