"""Wrong arguments: one line that names the argument, exit code 2, and nothing is written."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from ganwatch.cli import main
from ganwatch.commands import runs

RECORDED = str(Path(__file__).parents[1] / "recorded" / "wgan-gp-0.parquet")
HUGE = str(10**400)
NO_TEXT = os.fsdecode(b"\xff")
TRAININGS = (["demo"], ["drill", "stall"])
STORES = (["runs"], ["incidents", "latest"])
SCORE = ["score", "digits:1/2", "digits:2/2"]
DRIFT = ["drift", "--baseline", "digits:1/2", "--fresh", "digits:2/2"]
REPLAY = ["replay", RECORDED]
CALIBRATE = ["calibrate", "--runs", RECORDED, "--false-alarms"]
TEXT = "must be UTF-8 text without a NUL character, got "

CASES = [
    *((training, ["--seed", "-1"], "--seed must be >= 0, got -1") for training in TRAININGS),
    *((training, ["--seed", HUGE], f"--seed must be in 0…4294967295, got 1{'0' * 59}…") for training in TRAININGS),
    *((training, ["--seed", "9" * 5000], f"--seed must be a whole number, got '{'9' * 59}…") for training in TRAININGS),
    *((training, ["--steps", "0"], "--steps must be >= 1 (updates of the generator), got 0") for training in TRAININGS),
    *((training, ["--steps", "1.5"], "--steps must be a whole number, got '1.5'") for training in TRAININGS),
    *((training, ["--prometheus-port", "70000"], "--prometheus-port must be in 0…65535, got 70000") for training in TRAININGS),
    *((training, ["--prometheus-port", "PORT"], "--prometheus-port must be a port that is free on 127.0.0.1 (0 takes one), got PORT: ")
      for training in TRAININGS),
    *((training, ["--store", "file/x"], "--store must be a folder or file that exists or can be made, got 'file/x': ")
      for training in TRAININGS),
    *((training, ["--store", "/proc/x"], "--store must be a folder or file that exists or can be made, got '/proc/x': ")
      for training in TRAININGS),
    *((training, ["--store", "x" * 300], "--store must be a folder or file that exists or can be made, got 'x") for training in TRAININGS),
    *((command, ["--store", ""], "--store must have a value, got an empty text") for command in (*TRAININGS, *STORES)),
    *((command, ["--store", NO_TEXT], f"--store {TEXT}'\\udcff'") for command in (*TRAININGS, *STORES)),
    *((command, ["--store", "a\0b"], f"--store {TEXT}'a\\x00b'") for command in (*TRAININGS, *STORES)),
    (["demo"], ["--loss", "l1"], "--loss must be one of non-saturating, hinge, "),
    (["demo"], ["--steps"], "--steps must have one value, got another number of them"),
    (["demo"], ["--bogus"], "arguments must be those of ganwatch demo --help, got --bogus"),
    (["audit"], [], "DATA must be given, got nothing"),
    (["audit", "digits"], ["--range", "nan", "1"], "--range must be LOW HIGH with LOW < HIGH, got nan 1"),
    (["audit", "digits"], ["--range", "1", "-1"], "--range must be LOW HIGH with LOW < HIGH, got 1 -1"),
    (["audit", "digits"], ["--batch-size", "0"], "--batch-size must be >= 1 (items), got 0"),
    (["audit", "digits"], ["--limit", HUGE], "--limit must be in 1…2147483647 (items), got 1000"),
    (["audit", "digits"], ["--budget", "inf"], "--budget must be a finite number, got 'inf'"),
    (["audit", "digits"], ["--budget", "0"], "--budget must be > 0 (seconds), got 0"),
    (["audit", "a\0b"], [], f"DATA {TEXT}'a\\x00b'"),
    (SCORE, ["--samples", "0"], "--samples must be >= 1, got 0"),
    (SCORE, ["--size", "0"], "--size must be >= 1 (pixels), got 0"),
    (SCORE, ["--range", "2", "1"], "--range must be LOW HIGH with LOW < HIGH, got 2 1"),
    (SCORE, ["--cache", "file"], "--cache must be a folder that exists or can be made, got 'file': "),
    (SCORE, ["--features", "nosuch:x"], "features must name an importable package.module:attribute, got 'nosuch:x': "),
    (SCORE, ["--features", ""], "--features must have a value, got an empty text"),
    (DRIFT, ["--level", "nan"], "--level must be a finite number, got 'nan'"),
    (DRIFT, ["--limit", "0"], "--limit must be >= 1 (samples), got 0"),
    (DRIFT, ["--report", "."], "--report must be a file in a folder that exists or can be made, got '.', which is a folder"),
    (DRIFT, ["--report", "file/x"], "--report must be a file in a folder that exists or can be made, got 'file/x': "),
    (DRIFT, ["--model", "none.ckpt"], "--model must be a checkpoint of ganwatch train, got 'none.ckpt', which is not there"),
    (DRIFT, ["--generated", "none"], "generated must be an existing path, or "),
    (DRIFT, ["--run", ""], "--run must have a value, got an empty text"),
    (REPLAY, ["--jobs", "1000000000"], "--jobs must be in 1…256 (processes), got 1000000000"),
    (REPLAY, ["--detectors", ":"], "detectors must name an importable package.module:attribute, got ':'"),
    (REPLAY, ["--label", NO_TEXT], f"--label {TEXT}'\\udcff'"),
    (REPLAY, ["latest", "--store", "none"], "store must exist, got 'none' without a database in it"),
    (CALIBRATE, ["nan"], "--false-alarms must be a finite number, got 'nan'"),
    (CALIBRATE, ["1", "--out", "none/x"], "--out must be a file in a folder that exists, got 'none/x': there is no folder "),
    (CALIBRATE, ["1", "--out", "."], "--out must be a file in a folder that exists, got '.', which is a folder"),
    (CALIBRATE, ["1", "--out", "/dev/full"], "--out must be a file in a folder that exists, got '/dev/full', which is no file"),
    (["render"], ["--output", "file"], "--output must be a folder that exists "),
    (["render"], ["--output", "/proc"], "--output must be a folder that can be written to, got '/proc': "),
    (["dashboard"], ["--port", "70000"], "--port must be in 0…65535, got 70000"),
    (["bogus"], [], "COMMAND must be one of audit, calibrate, "),
]  # fmt: skip


@pytest.fixture
def port(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """A port that is taken; the working folder holds one file."""
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("taken")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        yield int(taken.getsockname()[1])


@pytest.mark.parametrize(("command", "words", "said"), CASES)
def test_a_wrong_argument_is_one_line_and_nothing_is_written(
    command: list[str], words: list[str], said: str, port: int, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        code = main([*command, *(str(port) if word == "PORT" else word for word in words)])
    except SystemExit as ended:  # of argparse
        code = int(str(ended.code))
    out, err = capsys.readouterr()
    assert (code, out) == (2, "")
    [line] = err.splitlines()
    program = "ganwatch" if command == ["bogus"] else f"ganwatch {command[0]}"
    assert line.startswith(f"{program}: {said.replace('PORT', str(port))}")
    assert [path.name for path in Path().iterdir()] == ["file"]


@pytest.mark.parametrize(
    "error",
    [RuntimeError("two\nlines of postgresql://me:secret@host/db"), MemoryError(), RecursionError("too deep"), OSError(28, "disk full")],
)
def test_an_unforeseen_error_is_one_line_and_a_private_file(
    error: Exception, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: object) -> int:
        raise error

    monkeypatch.setattr(runs, "run", fail)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert main(["runs", "--store", "postgresql://me:secret@host/db"]) == 1
    [line] = capsys.readouterr().err.splitlines()
    [path] = tmp_path.iterdir()
    assert line.startswith(f"ganwatch runs: {type(error).__name__}")
    assert line.endswith(f"Please report it to the maintainers, with the details in {path}")
    assert path.stat().st_mode & 0o777 == 0o600
    details = path.read_text()
    assert "Traceback" in details
    assert type(error).__name__ in details
    assert "secret" not in line + details


def test_an_unforeseen_error_without_a_place_for_its_file_is_told_on_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "run", lambda _: 1 // 0)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "none"))
    assert main(["runs"]) == 1
    said = capsys.readouterr().err
    assert said.startswith("ganwatch runs: ZeroDivisionError: ")
    assert "Traceback" in said


def test_ctrl_c_is_no_unforeseen_error(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(runs, "run", stop)
    assert main(["runs"]) == 130
    assert capsys.readouterr() == ("", "")


def test_a_full_disk_is_told_before_the_demo(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def full(**_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("ganwatch.core.argument_checks.TemporaryFile", full)
    assert main(["demo", "--store", str(tmp_path)]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.endswith("No space left on device")
