"""No text of unknown origin controls the terminal, forges a line of the log or becomes markup: every place where one is written."""

from __future__ import annotations

import ast
import json
import logging
import os
from pathlib import Path

import numpy as np
import pytest

import ganwatch
from ganwatch.cli import main
from ganwatch.core.announce import announce
from ganwatch.drift.report import write_report

ROOT = Path(ganwatch.__path__[0])
PLAIN = {"dumps", "terminal_text", "terminal_lines", "format_table"}
"""Functions whose result is plain text."""
HOSTILE = "a\x1b[31m\x07\nganwatch: forged\u202e"


def _is_plain(node: ast.expr) -> bool:
    if isinstance(node, ast.Call):
        function = node.func
        return (function.id if isinstance(function, ast.Name) else getattr(function, "attr", "")) in PLAIN
    return isinstance(node, ast.Constant)


def _printed(path: Path) -> list[tuple[int, str]]:
    """Return line and text of every argument of ``print`` and of a console's ``print`` that is not plain for sure."""
    tree = ast.parse(path.read_text())
    plain = {  # names that are bound to plain text and nothing else
        target.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and _is_plain(node.value)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    prints = [call for call in calls if "print" in {getattr(call.func, "id", ""), getattr(call.func, "attr", "")}]
    arguments = [(call.lineno, argument) for call in prints for argument in call.args]
    doubtful = ((line, one) for line, one in arguments if not (_is_plain(one) or (isinstance(one, ast.Name) and one.id in plain)))
    return [(line, ast.unparse(one)) for line, one in doubtful]


def test_every_place_that_prints_passes_through_one_function():
    places = {path.relative_to(ROOT).as_posix(): found for path in ROOT.rglob("*.py") if (found := _printed(path))}
    tables = places.pop("commands/_terminal.py")
    assert {text for _, text in tables} == {"_build_table(head, rows)", "'\\n'.join(map(terminal_text, lines))"}
    resumed = places.pop("trainer/progress.py")
    assert [text for _, text in resumed] == ["f'resumed at step {self._drawn_step}'"]
    assert not places


@pytest.mark.parametrize(
    "words",
    [
        ["audit", "{}.npy"],
        ["audit", "{}"],
        ["score", "{}.npy", "{}.npz"],
        ["replay", "{}.csv"],
        ["replay", "{}.parquet"],
        ["replay", "{}/"],
        ["replay", "digits", "--preset", "{}.toml"],
        ["replay", "digits", "--map", "{}=x"],
        ["runs", "--store", "{}"],
        ["incidents", "{}", "--store", "."],
        ["drill", "{}"],
        ["calibrate", "--runs", "{}.csv", "--false-alarms", "1"],
        ["drift", "--baseline", "{}.npy", "--fresh", "{}.npy"],
        ["render", "--output", "{}"],
        ["train", "--config", "{}.yaml"],
        ["--{}"],
        ["{}"],
    ],
)
def test_names_in_errors_are_spelled_out(words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for suffix in ("npy", "npz", "parquet", "toml", "yaml"):
        Path(f"{HOSTILE}.{suffix}").write_text("x = [")
    Path(f"{HOSTILE}.csv").write_text(f"step,{HOSTILE}\n".replace("\n", " ", 1) + "\n1,2\n")
    try:
        code = main([word.replace("{}", HOSTILE) for word in words])
    except SystemExit as ended:
        code = ended.code
    out, err = capsys.readouterr()
    assert code == 2
    assert out == ""
    assert len(err.splitlines()) == 1
    assert err.strip().isprintable()
    assert err.startswith("ganwatch")


def test_a_store_of_somebody_else_is_printed_as_text(tmp_path, capsys):
    from ganwatch.core.detector import Severity, Verdict
    from ganwatch.core.incidents import Incident, State
    from ganwatch.core.readings import Readings, Run
    from ganwatch.sinks.sql import SqlSink

    sink = SqlSink(tmp_path)
    sink.start(Run("r", HOSTILE, provenance={HOSTILE: HOSTILE}))
    sink.readings([Readings(1, {"loss/g": 1.0})])
    verdict = Verdict(1.0, 0.0, HOSTILE, 1, HOSTILE, HOSTILE)
    texts = {"id": f"{HOSTILE}-1", "code": HOSTILE, "title": HOSTILE, "cause": HOSTILE, "runbook": HOSTILE}
    sink.incident(Incident(**texts, severity=Severity.PAGE, state=State.FIRING, onset=1, opened=1, evidence=verdict))
    sink.finish(HOSTILE)
    sink.close()
    for words in (["runs"], ["incidents", "r"]):
        assert main([*words, "--store", str(tmp_path)]) == 0
        out = capsys.readouterr().out
        assert all(line.isprintable() for line in out.splitlines())
        assert not any(line.startswith("ganwatch: forged") for line in out.splitlines())


def test_values_in_the_log_are_text(caplog, capsys):
    logger = logging.getLogger("ganwatch")
    with caplog.at_level(logging.INFO, "ganwatch"):
        logger.warning("file %s failed: %s", HOSTILE, ValueError(HOSTILE))
        announce("run %s", HOSTILE)
    assert len(caplog.messages) == 2
    assert all(message.isprintable() for message in caplog.messages)
    assert not [path for path in ROOT.rglob("*.py") if "getLogger(__name__)" in path.read_text()]  # others would not be filtered


def test_labels_are_text_in_the_html_report(tmp_path):
    labels = np.array(["</script><img src=http://evil.example/x>", "cats"] * 20)
    columns = {"brightness": np.arange(40.0), "label": labels}
    page = write_report(columns, columns, tmp_path / "drift.html").read_text()
    assert "<img src=http://evil" not in page
    assert "&lt;img src=http://evil.example/x&gt;" in page or "\\u0026lt;img" in page


def test_json_is_ascii(tmp_path, capsys):
    from ganwatch.core.readings import Run
    from ganwatch.sinks.sql import SqlSink

    sink = SqlSink(tmp_path)
    sink.start(Run("r", HOSTILE))
    sink.close()
    assert main(["runs", "--store", str(tmp_path), "--json"]) == 0
    out = capsys.readouterr().out
    assert out.isascii()
    assert json.loads(out)[0]["name"] == HOSTILE


def test_a_terminal_gets_no_control_character_from_a_folder_of_images(tmp_path, capsys):
    folder = tmp_path / "images"
    folder.mkdir()
    for name in (HOSTILE, os.fsdecode(b"\xff")):
        (folder / f"{name}.png").write_bytes(b"no image")
    assert main(["audit", str(folder)]) in {1, 2}
    out, err = capsys.readouterr()
    assert all(line.isprintable() for line in (out + err).splitlines())
