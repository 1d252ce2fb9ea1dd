"""Checkpoints that Lightning writes are looked for, read back and judged; those that are not there are an incident."""

from __future__ import annotations

from pathlib import Path

import lightning
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.plugins import AsyncCheckpointIO

from ganwatch import GanWatch
from ganwatch.session.lightning_checkpoints import CheckpointTap
from ganwatch.sinks.memory import MemorySink
from ganwatch.trainer.data import GANData
from ganwatch.trainer.module import GAN
from ganwatch.trainer.run import QUIET_TRAINER, silence_lightning

STEPS = 40
pytestmark = [
    pytest.mark.filterwarnings("ignore:Using ModelCheckpoint with manual optimization"), pytest.mark.usefixtures("read_back_here")
]  # fmt: skip


def train(folder, *, plugins=None, module=None, **checkpointing):
    """Train with Lightning's own checkpoints; return what a sink got."""
    torch.manual_seed(0)
    silence_lightning()
    memory = MemorySink()
    callbacks = [GanWatch(store=None, sinks=[memory], audit_seconds=0.0), ModelCheckpoint(folder, every_n_train_steps=20, **checkpointing)]
    options = QUIET_TRAINER | {"enable_checkpointing": True, "callbacks": callbacks, "max_steps": STEPS, "accelerator": "cpu"}
    trainer = lightning.Trainer(**options, **({"plugins": plugins} if plugins else {}))
    trainer.fit(GAN() if module is None else module, GANData())
    return memory


@pytest.mark.parametrize("make_plugins", [lambda: None, lambda: [AsyncCheckpointIO()]], ids=["plain", "asynchronous"])
def test_each_file_is_read_back(tmp_path, make_plugins):
    memory = train(tmp_path, save_top_k=-1, plugins=make_plugins())
    files = sorted(str(path) for path in tmp_path.glob("*.ckpt"))
    verified = {one.path for one in memory.checkpoints if one.is_verified}
    assert sorted(verified) == files
    assert len(files) == STEPS // 20
    assert all(one.size == Path(one.path).stat().st_size for one in memory.checkpoints if one.is_verified)
    assert not memory.incidents


def test_a_file_that_lightning_removes_is_no_fault(tmp_path):
    memory = train(tmp_path, save_top_k=1)
    [left] = tmp_path.glob("*.ckpt")
    last = {one.path: one for one in memory.checkpoints}
    assert last[str(left)].is_verified
    assert all(one.is_removed for path, one in last.items() if path != str(left))
    assert not memory.incidents


def test_a_save_that_returns_without_a_file_is_an_incident(tmp_path, monkeypatch):
    monkeypatch.setattr("lightning.pytorch.plugins.TorchCheckpointIO.save_checkpoint", lambda *_, **__: None)  # as without permission
    memory = train(tmp_path, save_top_k=-1)
    assert memory.incidents["GW511-1"].fired is not None
    assert memory.checkpoints[0].fault == "Lightning reported success, and the file is not there"


def test_a_file_with_more_than_weights_is_unknown_and_no_incident(tmp_path):
    class WithObject(GAN):
        def on_save_checkpoint(self, checkpoint):
            super().on_save_checkpoint(checkpoint)
            checkpoint["object"] = lightning.Callback()

    memory = train(tmp_path, save_top_k=-1, module=WithObject())
    assert {str(one.verdict.quality) for one in memory.checkpoints} == {"unknown"}
    assert "holds more than tensors and plain types" in memory.checkpoints[-1].unread
    assert not memory.incidents


def test_a_save_that_fails_stays_an_error_of_the_training_and_the_object_gets_its_methods_back():
    class Failing:
        def save_checkpoint(self, checkpoint, path, storage_options=None):
            raise OSError("disk full")

        def remove_checkpoint(self, path):
            pass

    saved, io = [], Failing()
    tap = CheckpointTap(io, lambda: 7, saved.append, lambda _: None)
    with pytest.raises(OSError, match="disk full"):
        io.save_checkpoint({}, "somewhere.ckpt")
    assert [(one.step, one.fault) for one in saved] == [(7, "disk full")]
    tap.finish("finished")
    assert vars(io) == {}
