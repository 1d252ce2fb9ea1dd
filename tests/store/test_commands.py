from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ganwatch.cli import parser
from ganwatch.core.detector import Severity, Verdict
from ganwatch.core.errors import UserError
from ganwatch.core.incidents import Incident, State
from ganwatch.core.outcome import Conclusion, Outcome
from ganwatch.core.readings import Readings, Run
from ganwatch.sinks.sql import SqlSink


@pytest.fixture
def folder(tmp_path: Path) -> str:
    sink = SqlSink(tmp_path)
    sink.start(Run("abc123", "digits"))
    sink.readings([Readings(40, {"x": 1.0})])
    verdict = Verdict(math.nan, 0.25, "vendi_ratio", 50, "reals of the same step", "few distinct outputs")
    sink.incident(Incident("GW101-1", "GW101", "mode collapse", Severity.PAGE, State.FIRING, 20, 30, evidence=verdict, runbook="GW101.md"))
    sink.finish("finished")
    sink.close()
    return str(tmp_path)


def call(*words: str) -> int:
    args = parser().parse_args(words)
    return args.handler(args)


def test_tables_for_people(folder: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("runs", "--store", folder) == 0
    line = capsys.readouterr().out.splitlines()[1]
    assert (line.split()[:3], line.endswith("  1 open at the end")) == (["abc123", "digits", "finished"], True)
    assert call("incidents", "abc", "--store", folder) == 0
    out = capsys.readouterr().out
    assert "run abc123 (digits), finished, step 40: 1 incident\n" in out
    assert "GW101-1   mode collapse  open at the end  20     30" in out
    assert "mode collapse (GW101-1): vendi_ratio = nan over 50 steps (reals of the same step)" in out


def test_the_cause_of_an_incident_has_its_name(folder: str, capsys: pytest.CaptureFixture[str]) -> None:
    sink = SqlSink(folder)
    sink.start(Run("def456", "digits", started=2e9))
    sink.incident(Incident("GW501-1", "GW501", "range mismatch", Severity.PAGE, State.FIRING, 1, 2))
    sink.incident(Incident("GW101-1", "GW101", "mode collapse", Severity.PAGE, State.FIRING, 3, 4, cause="GW501-1"))
    sink.close()
    assert call("incidents", "def456", "--store", folder) == 0
    assert capsys.readouterr().out.splitlines()[-1].endswith("  range mismatch (GW501-1)")


def test_what_failed_and_what_is_wired_wrongly_is_said(folder: str, capsys: pytest.CaptureFixture[str]) -> None:
    sink = SqlSink(folder)
    sink.start(Run("def456", "moons", started=2e9))
    faults = {"failures": {"probe centre": 3}, "idle": {"g": 80}, "problems": ("G and D look swapped.",)}
    sink.outcome(Outcome(100, Conclusion.NOT_JUDGED, **faults))  # type: ignore[arg-type]  # facts of three types
    sink.close()
    call("incidents", "def456", "--store", folder)
    said = capsys.readouterr().out.splitlines()[2:]
    assert said == ["the generator had no update in the last 80 steps", "probe centre failed 3 times", "G and D look swapped"]


def test_of_several_runs_of_a_name_the_newest_is_taken_and_the_others_are_named(folder: str, capsys: pytest.CaptureFixture[str]) -> None:
    sink = SqlSink(folder)
    sink.start(Run("def456", "digits", started=2e9))
    sink.incident(Incident("GW501-1", "GW501", "range mismatch", Severity.PAGE, State.FIRING, 1, 2))
    sink.close()
    call("incidents", "digits", "--store", folder)
    out, err = capsys.readouterr()
    assert "run def456 (digits), running" in out
    assert "GW501-1   range mismatch  open " in out
    assert err == "2 runs are named 'digits': this is def456, the newest; the others are abc123\n"
    call("incidents", "abc123", "--store", folder)
    assert capsys.readouterr().err == ""
    call("runs", "--store", folder)
    assert capsys.readouterr().out.splitlines()[1].endswith("  1 open")


def test_json_for_programs(folder: str, capsys: pytest.CaptureFixture[str]) -> None:
    def strict(text: str) -> object:
        return json.loads(text, parse_constant=pytest.fail)

    call("runs", "--json", "--store", folder)
    (run,) = strict(capsys.readouterr().out)
    assert (run["id"], run["state"], run["last_step"], run["open_incidents"], run["silent"]) == ("abc123", "finished", 40, 1, False)
    call("incidents", "latest", "--json", "--store", folder)
    (incident,) = strict(capsys.readouterr().out)
    assert (incident["code"], incident["state"], incident["evidence"]["value"]) == ("GW101", "firing", None)
    assert incident["nonfinite"] == [[["evidence", "value"], "nan"]]


def test_a_name_of_several_lines_stays_in_its_row(folder: str, capsys: pytest.CaptureFixture[str]) -> None:
    sink = SqlSink(folder)
    sink.start(Run("def456", "two\nlines", started=2e9))
    sink.close()
    call("runs", "--store", folder)
    assert [line.split()[:2] for line in capsys.readouterr().out.splitlines()[1:]] == [["def456", "two\\nlines"], ["abc123", "digits"]]
    call("incidents", "def456", "--store", folder)
    assert capsys.readouterr().out.startswith("run def456 (two\\nlines), ")


@pytest.mark.parametrize("words", [["runs", "--json"], ["incidents", "latest"]])
def test_a_reader_who_has_had_enough_is_no_error(folder: str, words: list[str]) -> None:
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "ganwatch", *words, "--store", folder]
    done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, text=True, check=False)
    os.close(write)
    assert (done.returncode, done.stderr) == (141, "")


def test_an_unknown_run_or_store_is_an_error_of_the_user(folder: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"got 'zzz', and the store holds 1 run$"):
        call("incidents", "zzz", "--store", folder)
    with pytest.raises(UserError, match="store must exist"):
        call("runs", "--store", str(tmp_path / "nowhere"))
