"""Modules of the working folder are imported, and stand in for no other."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ganwatch.cli import main
from ganwatch.core.errors import UserError
from ganwatch.core.import_path import call_attribute, import_attribute
from ganwatch.recordings import Recording, write_recordings

NETS = """
from ganwatch.detectors.non_finite import NonFinite

class Detectors:
    mine = [NonFinite]

def make():
    import helper_of_nets
    return helper_of_nets.NUMBER

def fail():
    raise RuntimeError("two\\nlines")
"""
BROKEN = {
    "raises_at_import": "raise RuntimeError('no luck')",
    "exits_at_import": "import sys\nsys.exit(3)",
    "no_syntax": "def (",
    "lacks_a_module": "import a_module_that_nobody_has",
    "empty_nets": "",
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    names = {"nets": NETS, "helper_of_nets": "NUMBER = 7", "random": "raise RuntimeError('this is not the standard module')"} | BROKEN
    for name, text in names.items():
        (tmp_path / f"{name}.py").write_text(text)
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    for name in {"nets", "helper_of_nets"} | BROKEN.keys():
        sys.modules.pop(name, None)


def test_a_module_of_the_working_folder_is_found_for_this_import_alone(folder: Path) -> None:
    before = list(sys.path)
    [found] = import_attribute("nets:Detectors.mine", "detectors")
    assert found.code == "GW303"
    assert call_attribute(import_attribute("nets:make", "data"), "nets:make", "data") == 7
    assert sys.path == before
    assert import_attribute("random:random", "data").__module__ is None  # the standard one


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("nets", ""),
        ("nets:", ""),
        (":make", ""),
        (".nets:make", ""),
        ("nets:make:more", ""),
        ("nets\0:make", ""),
        (os.fsdecode(b"\xff:make"), ""),
        ("nowhere:make", "there is no module 'nowhere', neither installed nor in the working folder"),
        ("nets.below:make", "there is no module 'nets.below', neither installed nor in the working folder"),
        ("nets:made", "AttributeError: module 'nets' has no attribute 'made' ({folder}/nets.py)"),
        ("nets:Detectors.yours", "AttributeError: type object 'Detectors' has no attribute 'yours' ({folder}/nets.py)"),
        ("raises_at_import:make", "RuntimeError: no luck ({folder}/raises_at_import.py:1)"),
        ("exits_at_import:make", "SystemExit: 3 ({folder}/exits_at_import.py:2)"),
        ("no_syntax:make", "SyntaxError: invalid syntax (no_syntax.py, line 1)"),
        ("lacks_a_module:make", "ModuleNotFoundError: No module named 'a_module_that_nobody_has' ({folder}/lacks_a_module.py:1)"),
    ],
)
def test_what_cannot_be_imported_is_said_in_one_line(folder: Path, text: str, reason: str) -> None:
    with pytest.raises(UserError) as raised:
        import_attribute(text, "--detectors")
    start, _, rest = str(raised.value).partition(f"got {text!r}")
    assert start == "--detectors must name an importable package.module:attribute, "
    assert rest == (f": {reason.format(folder=folder)}" if reason else "")
    assert "\n" not in str(raised.value)


def test_a_call_that_fails_is_said_in_one_line(folder: Path) -> None:
    with pytest.raises(UserError, match=r"^--real must name something .* got 'nets:fail': RuntimeError: two lines \(.*nets\.py:12\)$"):
        call_attribute(import_attribute("nets:fail", "--real"), "nets:fail", "--real")


def test_a_command_finds_them_in_its_processes_too(folder: Path) -> None:
    write_recordings("run.parquet", [Recording("one", [])])
    words = ["replay", "run.parquet", "--detectors", "nets:Detectors.mine", "--jobs", "2", "--json"]
    done = subprocess.run([sys.executable, "-P", "-m", "ganwatch", *words], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert list(json.loads(done.stdout)["titles"]) == ["GW303"]


def test_a_command_says_what_it_lacks(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["audit", "nets:made"]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("ganwatch audit: data must name an importable package.module:attribute, got 'nets:made': AttributeError")
