from __future__ import annotations

import math
from pathlib import Path

import pytest
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.summary.writer.event_file_writer import EventFileWriter
from torch.utils.tensorboard import SummaryWriter

from ganwatch.core.errors import UserError
from ganwatch.recordings.sources import open_sources

NAMES = {"Loss/D": "loss/d", "losses_g/losses": "loss/g"}


def read(path: Path, **options):
    return [recording for source in open_sources([str(path)], **options) for recording in source()]


def rows(recording):
    return {one.step: dict(one.values) for one in recording.readings}


def log(folder: Path, steps: range, factor: float = 1.0) -> None:
    with SummaryWriter(folder) as writer:
        for step in steps:
            writer.add_scalar("Loss/D", factor * step / 4, step)
            if step % 2 == 0:
                writer.add_scalar("d_auc", math.nan if step == 4 else 0.5, step)
        writer.add_text("notes", "nothing to judge")
        writer.add_scalars("losses", {"g": factor}, steps[-1])


def test_what_a_training_logged_is_a_recording(tmp_path):
    log(tmp_path / "run", range(6))
    [recording] = read(tmp_path / "run", names=NAMES)
    assert (recording.name, recording.facts) == ("run", {"unused": []})
    seen = rows(recording)
    assert math.isnan(seen[4].pop("d_auc"))
    expected = {step: {"loss/d": step / 4} | ({"d_auc": 0.5} if step in {0, 2} else {}) for step in range(6)}
    expected[5]["loss/g"] = 1.0
    assert seen == expected
    [file] = (tmp_path / "run").glob("events*")
    assert {name for row in rows(read(file, names=NAMES)[0]).values() for name in row} == {"loss/d", "d_auc"}


def test_every_folder_with_event_files_is_a_run_and_a_restart_begins_anew(tmp_path):
    for folder, factor in (("a/version_0", 1.0), ("b", 3.0)):
        log(tmp_path / folder, range(8), factor)
    with SummaryWriter(tmp_path / "b", filename_suffix="resumed") as writer:
        for step in (5, 6):
            writer.add_scalar("Loss/D", -1.0, step)
    first, second = read(tmp_path, names=NAMES)
    assert (first.name, second.name) == ("a/version_0", "b")
    assert [row["loss/d"] for row in rows(first).values()] == [step / 4 for step in range(8)]
    assert {step: row["loss/d"] for step, row in rows(second).items() if "loss/d" in row} == {
        **{step: 3 * step / 4 for step in range(5)},
        5: -1.0,
        6: -1.0,
    }


def test_scalars_that_are_tensors_count_and_a_file_that_breaks_off_is_read_up_to_there(tmp_path):
    writer = EventFileWriter(str(tmp_path))
    for step in range(10):
        value = Summary.Value(tag="vendi_ratio", tensor=TensorProto(dtype=1, float_val=[step / 8]))
        if step == 0:  # said once, as by tf.summary.scalar
            value.metadata.CopyFrom(SummaryMetadata(plugin_data=SummaryMetadata.PluginData(plugin_name="scalars")))
        writer.add_event(Event(step=step, wall_time=1.0, summary=Summary(value=[value])))
    writer.close()
    assert rows(read(tmp_path)[0]) == {step: {"vendi_ratio": step / 8} for step in range(10)}
    [file] = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:-5])
    assert rows(read(tmp_path)[0]) == {step: {"vendi_ratio": step / 8} for step in range(9)}


def test_tags_that_mean_nothing_are_said(tmp_path):
    log(tmp_path, range(3))
    [recording] = read(tmp_path)
    assert recording.facts == {"unused": ["Loss/D", "losses_g/losses"]}
    with SummaryWriter(tmp_path / "other") as writer:
        writer.add_scalar("errG", 1.0, 1)
    with pytest.raises(UserError, match=r"--map THEIRS=OURS names them, such as errG=loss/g\), got errG in .*other"):
        read(tmp_path / "other")
