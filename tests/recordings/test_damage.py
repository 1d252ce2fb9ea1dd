"""Damaged recordings: one line with file and place, and the rest is read all the same."""

from __future__ import annotations

import json
import struct
from contextlib import suppress
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import masked_crc32c

from ganwatch.cli import main
from ganwatch.core.errors import UserError
from ganwatch.core.readings import MAX_STEP, Readings
from ganwatch.recordings import Recording, read_recordings, write_recordings
from ganwatch.recordings.events import read_events
from ganwatch.recordings.recording import MAX_STEPS, Rows
from ganwatch.recordings.table import read_csv

STEPS = 299
SCALARS = SummaryMetadata(plugin_data=SummaryMetadata.PluginData(plugin_name="scalars"))
DT_FLOAT, DT_STRING = 1, 7


def frame(content: bytes) -> bytes:
    length = struct.pack("<Q", len(content))
    return length + struct.pack("<I", masked_crc32c(length)) + content + struct.pack("<I", masked_crc32c(content))


def record(event: Event) -> bytes:
    return frame(event.SerializeToString())


def scalar(step: int, **value: object) -> bytes:
    return record(Event(step=step, summary=Summary(value=[Summary.Value(tag="loss/g", **(value or {"simple_value": step / 8}))])))


def tensor(step: int, **fields: object) -> bytes:
    return scalar(step, metadata=SCALARS, tensor=TensorProto(**fields))


def read_steps(path: Path) -> tuple[list[int], tuple[str, ...]]:
    [recording] = read_events(path, {})
    assert all(one.values["loss/g"] == one.step / 8 for one in recording.readings)
    return [one.step for one in recording.readings], recording.damage


@pytest.fixture
def events(tmp_path):
    """Writes records as an event file."""

    def write(*records: bytes) -> Path:
        path = tmp_path / "run" / "events.out.tfevents.1.host"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"".join(records))
        return path

    return write


def test_one_flipped_byte_costs_one_record_and_is_said(events):
    records = [scalar(step) for step in range(1, STEPS + 1)]
    path = events(*records)
    assert read_steps(path) == (list(range(1, STEPS + 1)), ())
    whole, start = path.read_bytes(), len(b"".join(records[:68]))
    path.write_bytes(whole[: start + 14] + bytes([whole[start + 14] ^ 1]) + whole[start + 15 :])
    steps, [line] = read_steps(path)
    assert steps == [step for step in range(1, STEPS + 1) if step != 69]
    assert line.startswith(f"{path} has a damaged record")
    assert line.endswith(f"at byte {start:,}; the rest was read: 298 steps")


def test_where_a_length_is_damaged_or_the_end_is_missing_the_steps_before_are_read(events):
    records = [scalar(step) for step in range(1, 10)]
    start, whole = len(b"".join(records[:4])), b"".join(records)
    for content, what in (
        (whole[:start] + b"\xff" + whole[start + 1 :], f"is damaged at byte {start:,}, and {len(whole) - start:,} bytes from there on"),
        (whole[: start + 3], f"ends within a record at byte {start:,}"),
        (whole[: start + 20], f"ends within a record at byte {start:,}"),
    ):
        steps, [line] = read_steps(events(content))
        assert steps == [1, 2, 3, 4]
        assert what in line


@pytest.mark.parametrize(
    ("odd", "what"),
    [
        (tensor(5, dtype=DT_STRING, string_val=[b"12"]), "no number for 'loss/g'"),
        (tensor(5, dtype=DT_FLOAT, float_val=[1.0], tensor_shape=TensorShapeProto(dim=[{"size": 10**12}])), "no number for 'loss/g'"),
        (tensor(5, dtype=DT_FLOAT), "no number for 'loss/g'"),
        (tensor(5, dtype=999, float_val=[1.0]), "no number for 'loss/g'"),
        (scalar(-1), "has step -1 in the record"),
        (scalar(10**18), "which is not in 0…2,147,483,647"),
        (frame(b"\xff" * 3), "no event"),
    ],
)
def test_a_record_that_is_no_reading_is_left_out_and_said(events, odd, what):
    first = tensor(1, dtype=DT_FLOAT, float_val=[1 / 8])
    steps, [line] = read_steps(events(first, odd, scalar(9)))
    assert steps == [1, 9]
    assert what in line


def test_packed_numbers_are_read(events):
    packed = tensor(2, dtype=DT_FLOAT, tensor_content=struct.pack("<f", 0.25))
    assert read_steps(events(packed, tensor(4, dtype=2, double_val=[0.5]))) == ([2, 4], ())


@pytest.fixture
def parquet(tmp_path):
    """A file of three runs."""
    path = tmp_path / "runs.parquet"
    write_recordings(path, [Recording(name, [Readings(step, {"loss/g": step / 3}) for step in range(1, 500)]) for name in "abc"])
    return path


@pytest.fixture
def corrupt(parquet):
    """That file with a damaged page in its second run."""
    group = pq.read_metadata(parquet).row_group(1)
    start = group.column(4).data_page_offset + 40
    whole = parquet.read_bytes()
    parquet.write_bytes(whole[:start] + b"\xff" * 60 + whole[start + 60 :])
    return parquet


def test_a_corrupt_page_costs_its_run_and_is_said(corrupt):
    read: list[str] = []
    with pytest.raises(UserError, match=r"^run 2 of 3 in .*runs\.parquet cannot be read: ") as raised:
        read.extend(one.name for one in read_recordings(corrupt))
    assert read == ["a", "c"]
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("share", [number / 20 for number in range(1, 14)])
def test_a_changed_byte_of_a_page_is_never_read_as_another_number(parquet, share):
    whole = [*read_recordings(parquet)]
    content = parquet.read_bytes()
    place = int(share * len(content))
    parquet.write_bytes(content[:place] + bytes([content[place] ^ 4]) + content[place + 1 :])
    read: list[Recording] = []
    with suppress(UserError):
        read.extend(read_recordings(parquet))
    assert [one for one in read if one not in whole] == []


def test_the_command_reads_the_rest_and_ends_with_2(corrupt, capsys):
    (corrupt.parent / "wrong.csv").write_text("step,loss/g\n1,much\n")
    for options in ([], ["--jobs", "2"]):
        assert main(["replay", str(corrupt.parent), "--json", *options]) == 2
        out, err = capsys.readouterr()
        result = json.loads(out)
        assert [run["name"] for run in result["runs"]] == ["a", "c"]
        assert len(result["damage"]) == len(err.splitlines()) == 2
        assert "run 2 of 3" in err
        assert "got 'much' in" in err
    preset = corrupt.parent / "preset.toml"
    assert main(["calibrate", "--runs", str(corrupt), "--false-alarms", "1", "--out", str(preset)]) == 2
    assert "run 2 of 3" in capsys.readouterr().err
    assert not preset.exists()


@pytest.mark.parametrize(
    ("columns", "what"),
    [
        ({"facts": ["{", None]}, "run 1 of 1"),
        ({"facts": ["[" * 100_000, None]}, "run 1 of 1"),
        ({"facts": ["[]", None]}, "facts as a JSON object, got 'one' and '[]'"),
        ({"facts": [None, None]}, "facts as a JSON object, got 'one' and None"),
        ({"facts": ['{"label": ["healthy"]}', None]}, "fact 'label' of 'one' must be of type str"),
        ({"facts": ['{"onset": 1.5}', None]}, "fact 'onset' of 'one' must be of type int"),
        ({"facts": ['{"codes": [1]}', None]}, "must be a list of texts"),
        ({"run": [None, None]}, "got None and '{}'"),
        ({"series": [None, None]}, "must have a series each, got 1 without"),
        ({"step": [None, None]}, "must have a step each, got 1 without"),
        ({"value": [None, None]}, "must have a value each, got 1 without"),
        ({"step": [None, -1]}, "step must be in 0…2,147,483,647, got -1"),
    ],
)
def test_cells_of_another_form_are_named(tmp_path, columns, what):
    cells = {"run": ["one", "one"], "facts": ["{}", None], "series": [None, "loss/g"], "step": [None, 1], "value": [None, 0.5]} | columns
    types = {"run": pa.string(), "facts": pa.string(), "series": pa.string(), "step": pa.int32(), "value": pa.float64()}
    pq.write_table(pa.table({name: pa.array(column, types[name]) for name, column in cells.items()}), tmp_path / "runs.parquet")
    with pytest.raises(UserError, match="run 1 of 1 in") as raised:
        list(read_recordings(tmp_path / "runs.parquet"))
    assert what in str(raised.value)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("step,loss/g,loss/g\n1,2,3\n", "different columns, got several named loss/g"),
        ("step,loss/g\n99e18,1\n", "in 0…2,147,483,647, got '99e18' in"),
        ("step,loss/g\nnan,1\n", "got 'nan' in"),
        ("step,loss/g\n1_0,1\n", "got '1_0' in"),
        ("step,loss/g\n1,٣\n", "loss/g must be a number, NaN, inf or empty, got '٣' in"),
        ("step,loss/g\n1,\0\n", "must be a number"),
        ("step,loss/g\n" + "1" * 5_000_000, "more than 4,194,304 characters"),
    ],
)
def test_a_wrong_table_is_one_short_line_with_its_place(tmp_path, text, what):
    (tmp_path / "run.csv").write_text(text)
    with pytest.raises(UserError) as raised:
        list(read_csv(tmp_path / "run.csv", {}))
    assert what in str(raised.value)
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 500


def test_a_run_is_bounded():
    rows = Rows()
    rows.add(MAX_STEP, "loss/g", 1.0)
    with pytest.raises(UserError, match="step must be in"):
        rows.add(MAX_STEP + 1, "loss/g", 1.0)
    for step in range(MAX_STEPS):
        rows.add(step, "loss/g", 1.0)
    with pytest.raises(UserError, match="at most 4,000,000 readings at 1,000,000 steps"):
        rows.add(MAX_STEPS, "loss/g", 1.0)
