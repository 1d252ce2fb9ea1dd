from __future__ import annotations

import csv
import math
import re

import pytest

from ganwatch.core.errors import UserError
from ganwatch.core.readings import Readings, Run
from ganwatch.recordings import Recording, write_recordings
from ganwatch.recordings.series_names import read_series_names
from ganwatch.recordings.sources import RUNS_PER_SOURCE, open_sources
from ganwatch.sinks.sql import SqlSink
from ganwatch.store.database import open_store

ROWS = {3: {"loss/g": 0.7, "d_auc": math.inf}, 5: {"loss/g": -0.1}, 10: {"d_auc": 0.25, "loss/g": 1e-300}}
NAMES = {"errG": "loss/g", "auc": "d_auc", "global_step": "step", "tag": "series"}
THEIRS = {"loss/g": "errG", "d_auc": "auc"}


def read(*given, **options):
    return [recording for source in open_sources([str(one) for one in given], **options) for recording in source()]


def rows(recording):
    return {one.step: dict(one.values) for one in recording.readings}


def write_wide(path):
    with path.open("w", newline="", encoding="utf-8-sig") as file:  # as Excel does
        writer = csv.DictWriter(file, ["epoch", "errG", "global_step", "auc"], restval="")
        writer.writeheader()
        writer.writerow({"global_step": 10, "auc": 0.9})
        writer.writerow({"epoch": 0, "global_step": "10.0", "auc": 0.25})
        for step, values in ROWS.items():
            writer.writerow({"epoch": 0, "global_step": step} | {THEIRS[name]: repr(v) for name, v in values.items() if name == "loss/g"})
        writer.writerow({"global_step": 3, "auc": "inf"})


def write_long(path):
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["tag", "value", "global_step"])
        writer.writerows([THEIRS[name], repr(value), step] for step, values in ROWS.items() for name, value in values.items())
        writer.writerow(["epoch", "first", 3])


@pytest.mark.parametrize("write", [write_wide, write_long])
def test_a_table_of_others_is_a_recording(tmp_path, write):
    write(tmp_path / "old run.csv")
    [recording] = read(tmp_path / "old run.csv", names=NAMES)
    assert (recording.name, rows(recording), recording.facts) == ("old run", ROWS, {"unused": ["epoch"]})


def test_a_folder_gives_its_runs_one_by_one_and_in_order(tmp_path):
    runs = [Recording(f"{seed:02}", [Readings(1, {"loss/g": float(seed)})]) for seed in range(2 * RUNS_PER_SOURCE + 1)]
    write_recordings(tmp_path / "b.parquet", runs)
    write_long(tmp_path / "a.csv")
    (tmp_path / "notes.txt").write_text("nothing to read")
    assert len(open_sources([str(tmp_path)])) == 4
    assert [one.name for one in read(tmp_path, tmp_path / "b.parquet", names=NAMES)] == ["a", *(one.name for one in runs * 2)]


def test_a_run_of_the_store_is_what_its_last_attempt_left(tmp_path):
    for attempt, steps in ((1, range(1, 300)), (2, range(200, 600))):
        sink = SqlSink(open_store(str(tmp_path)))
        sink.start(Run("0123456789ab", "mine", attempt=attempt, started=1.0))
        sink.readings([Readings(step, {"loss/g": step / attempt}, attempt, 1.0) for step in steps])
        sink.finish("finished")
        sink.close()
    expected = {step: {"loss/g": step / (1 if step < 200 else 2)} for step in range(1, 600)}
    for run in ("latest", "mine", "0123"):
        [recording] = read(run, store=str(tmp_path))
        assert (recording.name, rows(recording), recording.facts) == ("0123456789ab", expected, {"name": "mine"})


@pytest.mark.parametrize("place", ["", "ganwatch.db"])
def test_a_store_stands_for_all_its_runs_with_readings(tmp_path, place):
    for position, (run, name) in enumerate([("aaa", "mine"), ("bbb", "empty"), ("ccc", "mine")]):
        sink = SqlSink(open_store(str(tmp_path)))
        sink.start(Run(run, name, started=1.0 + position))
        sink.readings([Readings(1, {"loss/g": float(position)})] * (name != "empty"))
        sink.finish("finished")
        sink.close()
    write_long(tmp_path / "a.csv")
    (tmp_path / "mlflow.db").write_text("of another program")
    found = [one.name for one in read(tmp_path / place, names=NAMES)]
    assert found == ["aaa", "ccc", *["a"] * (not place)]


def test_a_store_without_readings_is_refused(tmp_path):
    open_store(str(tmp_path)).close()
    with pytest.raises(UserError, match=r"SOURCE must be a store with a run that has readings, got .* with 0 runs without any"):
        read(tmp_path)


def test_names_come_from_a_file_and_from_texts(tmp_path):
    (tmp_path / "names.toml").write_text('errG = "loss/d"\n"Loss/D real" = "d_auc"\n')
    names = read_series_names(["a=b=step", "errG=loss/g"], tmp_path / "names.toml")
    assert names == {"errG": "loss/g", "Loss/D real": "d_auc", "a=b": "step"}


@pytest.mark.parametrize(
    ("pairs", "file", "message"),
    [
        (["errG"], None, "--map must be THEIRS=OURS, such as errG=loss/g, got 'errG'"),
        (["errG=losses/g"], None, "got 'losses/g'; did you mean loss/g"),
        (["errG=loss"], None, "got 'loss'; did you mean loss/g"),
        ([], "errG = 3", "must give each name a text, quoted where it has a slash or dot, got a value of type int for 'errG'"),
        ([], "errG", "--map-file must be a TOML file of lines such as errG = 'loss/g'"),
    ],
)
def test_names_that_mean_nothing_are_said(tmp_path, pairs, file, message):
    path = tmp_path / "names.toml"
    path.write_text(file or "")
    with pytest.raises(UserError) as raised:
        read_series_names(pairs, path if file else None)
    assert message in str(raised.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "a CSV needs one column 'step' (--map THEIRS=step names it), got the columns "),
        ("epoch,loss/g\n1,2\n", "got the columns epoch, loss/g in"),
        ("step,loss/g\n1,2,3\n", "as many cells as the head (2), got 3 in"),
        ("step,loss/g\none,2\n", "step must be a whole number in 0…2,147,483,647, got 'one' in"),
        ("step,loss/g\n1.5,2\n", "step must be a whole number in 0…2,147,483,647, got '1.5' in"),
        ("step,loss/g\ninf,2\n", "step must be a whole number in 0…2,147,483,647, got 'inf' in"),
        ("step,loss/g\n1,much\n", "loss/g must be a number, NaN, inf or empty, got 'much' in"),
        ("step,errG\n1,2\n", "must have series of ganwatch (--map THEIRS=OURS names them, such as errG=loss/g), got errG in"),
        ("step,series,value\n1,loss/g,\n", "loss/g must be a number, NaN, inf or empty, got '' in"),
    ],
)
def test_a_table_that_cannot_be_read_is_said(tmp_path, text, message):
    (tmp_path / "run.csv").write_text(text)
    with pytest.raises(UserError) as raised:
        read(tmp_path / "run.csv")
    assert message in str(raised.value)
    assert "run.csv" in str(raised.value)


def test_what_is_no_source_is_said(tmp_path):
    (tmp_path / "run.txt").write_text("")
    for given, message in (
        (tmp_path, "got a folder without any"),
        (tmp_path / "run.txt", "SOURCE must be a store, a Parquet file"),
        (tmp_path / "none", "or with --store a run"),
    ):
        with pytest.raises(UserError, match=message):
            read(given)


def test_errors_about_names_of_others_are_short_lines(tmp_path):
    path = tmp_path / "run.csv"
    for head in ("step," + "x," * 200_000, '"series,step,value\nloss/g,1,2"', ",".join(f"name {index}" for index in range(50_000)),
        "step," + "y" * 100_000):
        path.write_text(head + "\n", "utf-8")
        with pytest.raises(UserError, match=r"must have|needs one column") as error:
            [list(source()) for source in open_sources([str(path)])]
        assert "\n" not in str(error.value)
        assert len(str(error.value)) < 5000
    with pytest.raises(UserError, match="--map must give 'a' the name of a series") as error:
        read_series_names(["a=" + "x" * 100_000])
    assert len(str(error.value)) < 1000


@pytest.mark.parametrize(
    ("series", "value", "rule"),
    [("d_auc", "1.01", "d_auc must be in 0…1, got 1.01"), ("frechet", "-0.5", "frechet must be >= 0, got -0.5"),
     ("loss/g", "-1e30", None), ("frechet", "nan", None), ("d_auc", "1.0000001", None), ("kernel_distance", "-0.5", None)],
)  # fmt: skip
def test_an_impossible_value_is_refused_with_its_line(series, value, rule, tmp_path):
    path = tmp_path / "run.csv"
    path.write_text(f"step,{series}\n1,0.5\n2,{value}\n")
    if rule is None:
        assert len(read(path)[0].readings) == 2
    else:
        with pytest.raises(UserError, match=re.escape(rule) + ".*run.csv:3$"):
            read(path)
