"""Checkpoints that are damaged, foreign or hostile: one clear sentence each, and the one before is loaded."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import zipfile

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from ganwatch import load_checkpoint
from ganwatch.checkpoints.folder import STATE, CheckpointFolder
from ganwatch.checkpoints.manifest import NAME, CheckpointError, Manifest, read_manifest
from ganwatch.checkpoints.read_back import ReadBack, describe_checkpoint
from ganwatch.checkpoints.snapshot import SnapshotBuffer
from ganwatch.core.errors import UserError


class Hostile:
    def __reduce__(self):
        return os.mkdir, ("executed",)


def write(folder, step):
    states = {"G": {"weight": torch.full((64,), float(step))}, "opt": {"state": {}, "lr": 0.1}}
    path = folder.write(states, Manifest(step, dict.fromkeys(states, step), {}, created=1.0))
    folder.mark_latest(path)
    return path


@pytest.fixture
def folder(tmp_path):
    folder = CheckpointFolder(tmp_path / "checkpoints")
    write(folder, 1)
    write(folder, 2)
    return folder


def truncate(path):
    with (path / STATE).open("r+b") as file:
        file.truncate(100)


def flip_a_bit(path):
    content = bytearray((path / STATE).read_bytes())
    content[len(content) // 2] ^= 1
    (path / STATE).write_bytes(content)


def replace_pickle(path):
    with zipfile.ZipFile(path / STATE) as archive:
        members = {member.filename: archive.read(member) for member in archive.infolist()}
    with zipfile.ZipFile(path / STATE, "w") as archive:
        for name, held in members.items():
            archive.writestr(name, pickle.dumps(Hostile()) if name.endswith("data.pkl") else held)
    sizes = {"size": (path / STATE).stat().st_size, "sha256": hashlib.sha256((path / STATE).read_bytes()).hexdigest()}
    change(path, files={STATE: sizes})


def put_another_archive_before(path):
    """zipfile reads the last archive of a file, torch the first one."""
    content = (path / STATE).read_bytes()
    (path / STATE).write_bytes(content + content)
    sizes = {"size": (path / STATE).stat().st_size, "sha256": hashlib.sha256((path / STATE).read_bytes()).hexdigest()}
    change(path, files={STATE: sizes})


def change(path, **fields):
    plain = json.loads((path / NAME).read_text())
    (path / NAME).write_text(json.dumps(plain | fields))


DAMAGE = {
    "truncated": (truncate, "must have .* bytes, got 100: it was cut off"),
    "one bit": (flip_a_bit, "must have the SHA-256 .*: it was damaged or changed"),
    "no manifest": (lambda path: (path / NAME).unlink(), "got none in .*: it was not completed"),
    "no state": (lambda path: (path / STATE).unlink(), "must have the file 'state.pt'"),
    "newer format": (lambda path: change(path, format=99), "must have format 1 or older, got 99"),
    "damaged manifest": (lambda path: (path / NAME).write_text("{"), "must have a manifest.json that can be read"),
    "files elsewhere": (lambda path: change(path, files={"../x": {"size": 1, "sha256": ""}}), "must name files of its folder"),
    "no hash": (lambda path: change(path, files={}), "must name files of its folder"),
    "lone surrogate": (lambda path: change(path, files={"\ud800": {"size": 1, "sha256": ""}}), "must name files of its folder"),
    "odd format": (lambda path: change(path, format=0), "must have a format >= 1"),
    "two archives": (put_another_archive_before, "must be one archive"),
    "other parts": (lambda path: change(path, parts={"G": 2}), r"must have the parts \['G'\]"),
    "code": (replace_pickle, "must hold tensors and plain types"),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_damage_is_named_and_the_one_before_is_loaded(folder, kind, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    damage, message = DAMAGE[kind]
    path = folder.checkpoints()[-1]
    damage(path)
    with pytest.raises(CheckpointError, match=message) as raised:
        load_checkpoint(path)
    assert "\n" not in str(raised.value)
    assert float(load_checkpoint(folder.path)["G"]["weight"][0]) == 1.0
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("path", ["a\0b", 5, None, "x" * 5000])
def test_what_is_no_path_is_named(path):
    with pytest.raises(CheckpointError, match="path must"):
        load_checkpoint(path)


def test_a_file_of_safetensors_is_read_and_a_damaged_one_named(tmp_path):
    save_file({"weight": torch.ones(3)}, tmp_path / "g.safetensors")
    assert describe_checkpoint(tmp_path / "g.safetensors")["tensors"] == 1
    for content in (b"", (tmp_path / "g.safetensors").read_bytes()[:-4], b"\xff" * 100):
        (tmp_path / "g.safetensors").write_bytes(content)
        with pytest.raises(CheckpointError, match="undamaged file of safetensors"):
            describe_checkpoint(tmp_path / "g.safetensors")


def test_a_folder_without_a_checkpoint_is_named(tmp_path):
    with pytest.raises(CheckpointError, match=r"must have a checkpoint that can be read, got .*: none"):
        load_checkpoint(tmp_path)


def test_latest_cannot_lead_elsewhere(folder):
    (folder.path / "latest").write_text("../../etc\n")
    assert folder.latest() is None
    assert float(load_checkpoint(folder.path)["G"]["weight"][0]) == 2.0


def test_a_step_that_is_reached_again_does_not_replace_the_first_one(folder):
    again = write(folder, 2)
    assert again.name == "step-2-2"
    assert [path.name for path in folder.checkpoints()] == ["step-1", "step-2", "step-2-2"]
    assert read_manifest(again).step == 2


def test_another_process_reads_back(folder):
    path = folder.checkpoints()[-1]
    with_nan = folder.write({"G": {"weight": torch.tensor([1.0, torch.nan])}}, Manifest(3, {"G": 3}, {}))
    read_back = ReadBack()
    try:
        assert read_back(path) == describe_checkpoint(path)
        assert read_back(with_nan)["nonfinite"] == ["G"]
        truncate(path)
        with pytest.raises(CheckpointError, match="it was cut off"):
            read_back(path)
        read_back._process.kill()
        read_back._process.wait()
        assert read_back(with_nan)["tensors"] == 1  # a new process
    finally:
        read_back.close()


def test_a_snapshot_does_not_change_with_the_training_and_names_what_it_cannot_hold():
    network = torch.nn.Linear(2, 1)
    optimizer = torch.optim.Adam(network.parameters())
    network(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    buffer = SnapshotBuffer()
    copied = buffer.copy({"G": network, "opt": optimizer})
    before = copied["G"]["weight"].clone()
    optimizer.step()
    assert torch.equal(copied["G"]["weight"], before)
    assert copied["opt"]["param_groups"][0]["lr"] == 0.001
    address = copied["G"]["weight"].data_ptr()
    assert buffer.copy({"G": network, "opt": optimizer})["G"]["weight"].data_ptr() == address
    numbers = buffer.copy({"opt": {"lr": np.float64(0.5), "on": np.bool_(True), 1: torch.ones(1), "[1]": torch.zeros(1)}})["opt"]
    assert (numbers["lr"], type(numbers["lr"]), numbers["on"]) == (0.5, float, True)
    assert (float(numbers[1]), float(numbers["[1]"])) == (1.0, 0.0)
    with pytest.raises(UserError, match=r"parts must hold tensors.*got Hostile at 'extra.thing'"):
        buffer.copy({"extra": {"thing": Hostile()}})
