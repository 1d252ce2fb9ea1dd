"""A save that is killed before any of its system calls leaves a folder whose latest checkpoint is whole and at most one save old."""

from __future__ import annotations

import os
import signal
from itertools import groupby

import pytest
import torch

from checkpoints.fault_points import kill_at, watched
from ganwatch.checkpoints.durable import TEMPORARY
from ganwatch.checkpoints.folder import CheckpointFolder, load_checkpoint, read_checkpoint
from ganwatch.checkpoints.manifest import Manifest

LISTED = [  # in this order; a new call needs a look at what a kill before it leaves
    "mkdir .", "mkdir beside:step-2", "create beside:step-2/state.pt", "write beside:step-2/state.pt", "fsync beside:step-2/state.pt",
    "create beside:step-2/manifest.json", "write beside:step-2/manifest.json", "fsync beside:step-2/manifest.json",
    "fsync beside:step-2", "rename beside:step-2", "fsync .",
    "unlink beside:latest", "create beside:latest", "write beside:latest", "fsync beside:latest", "replace beside:latest", "fsync .",
    "rename step-1", "unlink beside:removed-step-1/manifest.json", "unlink beside:removed-step-1/state.pt", "rmdir beside:removed-step-1",
]  # fmt: skip


def save(folder, step):
    """Save, mark and thin out, as the guard does."""
    path = folder.write({"G": {"weight": torch.full((4,), float(step))}}, Manifest(step, {"G": step}, {}))
    read_checkpoint(path)
    folder.mark_latest(path)
    for other in folder.checkpoints()[:-1]:
        folder.remove(other)


def run_killed(path, number, monkeypatch):
    """Save a second checkpoint in a process that kills itself at a call. Return True if it did."""
    if child := os.fork():
        return os.waitpid(child, 0)[1] == signal.SIGKILL
    try:
        with watched(path, kill_at(number), monkeypatch.setattr):
            save(CheckpointFolder(path), 2)
    finally:
        os._exit(0)


def trace(path, monkeypatch):
    folder = CheckpointFolder(path)
    save(folder, 1)
    with watched(path, lambda _: None, monkeypatch.setattr) as points:
        save(folder, 2)
    monkeypatch.undo()
    return points.calls


def test_the_calls_of_a_save_are_those_that_are_killed(tmp_path, monkeypatch):
    calls = [call for call, _ in groupby(trace(tmp_path, monkeypatch))]  # a state is written in several pieces
    removal = calls.index("rename step-1")
    assert calls[:removal] == LISTED[:removal]
    assert [calls[removal], *sorted(calls[removal + 1 :])] == [LISTED[removal], *sorted(LISTED[removal + 1 :])]  # a folder has no order


@pytest.mark.parametrize("repeats", [1, pytest.param(10, marks=pytest.mark.slow)])
def test_a_kill_at_any_call_leaves_a_whole_checkpoint_that_is_at_most_one_save_old(tmp_path, monkeypatch, repeats):
    count = len(trace(tmp_path / "traced", monkeypatch))
    renamed = LISTED.index("rename beside:step-2")
    for number in range(1, count + 2):
        for repeat in range(repeats if number <= count else 1):
            path = tmp_path / f"{number}-{repeat}"
            save(CheckpointFolder(path), 1)
            assert run_killed(path, number, monkeypatch) == (number <= count)
            steps = {float(load_checkpoint(path)["G"]["weight"][0])}
            assert steps <= {1.0, 2.0}
            assert number <= renamed or CheckpointFolder(path).checkpoints()
            folder = CheckpointFolder(path)
            folder.clean()
            assert not [one for one in path.iterdir() if one.name.startswith(TEMPORARY)]
            save(folder, 3)
            assert float(load_checkpoint(path)["G"]["weight"][0]) == 3.0
