"""Every console block of the documents runs and prints what it shows; commands in sentences have options that exist."""

from __future__ import annotations

import importlib.util
import re
import shlex
from pathlib import Path

import pytest

from ganwatch.cli import main, parser

from .conftest import DOCUMENTS, Block, blocks

EXEMPT = {
    "ganwatch dashboard": "serves until it is stopped; tests/dashboards opens every screen",
    "ganwatch drift --baseline train/ --fresh fresh/ --run latest --every 24h": "checks until Ctrl-C; tests/drift has repeated checks",
    "make": "each takes minutes and calls what other tests run; a test checks that the target exists",
    "pip": "would install from the network; tests/packaging builds and installs the wheel",
}
"""Commands that are not run, each with the reason."""
SHORTER = {
    "ganwatch demo": ["--steps", "2", "--store", "short"],
    "ganwatch train": ["--steps", "2", "--root", "short", "--store", "short"],
    "ganwatch drill generator-domination": ["--step", "2", "--steps", "4", "--store", "short"],
}
"""Options that shorten a training; what it prints is not compared."""
EXIT_CODES = {"ganwatch drill generator-domination": {1}, "ganwatch drift": {0, 3, 10, 11, 12}, "ganwatch gate": {3}}
"""Exit codes other than 0 of a command on the small data of the test."""
INTERVAL = re.compile(r"(?<=\s)(-?[\d.]+(?:e-?\d+)?) to (-?[\d.]+(?:e-?\d+)?)(?=\s|$)")
NUMBER = re.compile(r"(?<![\w.])-?\d+(?:,\d{3})*(?:\.\d+)?(?:e-?\d+)?")


def commands(block: Block) -> list[tuple[str, list[str]]]:
    """Each command of a block, without comment, and the lines that follow it."""
    found: list[tuple[str, list[str]]] = []
    for line in block.text.splitlines():
        if line.startswith("$ "):
            found.append((shlex.join(shlex.split(line[2:], comments=True)), []))
        elif line.strip():
            found[-1][1].append(line)
    return found


def first(command: str, table: dict) -> str | None:
    """The longest key that a command begins with."""
    return max((key for key in table if command == key or command.startswith(f"{key} ")), key=len, default=None)


def agrees(shown: str, printed: str) -> bool:
    """True if two lines have the same words and nearly the same numbers; ``…`` stands for anything, space for any space."""
    pattern = r"\S.*?".join(re.escape(re.sub(r"\s+", " ", NUMBER.sub("#", part))) for part in shown.split("…"))
    if "…" in shown:
        return re.fullmatch(pattern.replace(r"\#", r"\S+"), re.sub(r"\s+", " ", printed)) is not None
    if re.sub(r"\s+", " ", NUMBER.sub("#", shown)) != re.sub(r"\s+", " ", NUMBER.sub("#", printed)):
        return False
    if (one := INTERVAL.search(shown)) and (other := INTERVAL.search(printed)):  # of random halves, which differ between processors
        bounds, others = (tuple(map(float, interval.groups())) for interval in (one, other))
        if bounds != pytest.approx(others, abs=bounds[1] - bounds[0]):
            return False
        shown, printed = INTERVAL.sub("", shown), INTERVAL.sub("", printed)
    pairs = zip(NUMBER.findall(shown), NUMBER.findall(printed), strict=True)
    return all(float(one.replace(",", "")) == pytest.approx(float(two.replace(",", "")), rel=0.05, abs=1e-4) for one, two in pairs)


@pytest.fixture(autouse=True)
def no_report(monkeypatch):
    """Checks of drift write no report, whose package takes ten seconds to import; tests/drift has reports."""
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == "evidently" else find_spec(name, *rest))


@pytest.mark.parametrize("block", blocks("console"), ids=lambda block: f"{block.document}:{block.line}")
def test_console_block(block, world, capsys):
    for command, shown in commands(block):
        program, *arguments = shlex.split(command)
        if first(command, EXEMPT):
            continue
        if program == "mkdir":
            Path(*arguments).mkdir()
            continue
        assert program == "ganwatch", command
        extra = SHORTER.get(first(command, SHORTER) or "", [])
        capsys.readouterr()
        code = main([*arguments, *extra])
        printed = capsys.readouterr().out.splitlines()
        assert code in EXIT_CODES.get(first(command, EXIT_CODES) or "", {0}), (command, code, printed)
        lines = iter(line.rstrip() for line in printed)
        missing = [] if extra else [line for line in shown if not any(agrees(line.rstrip(), one) for one in lines)]
        assert missing == [], (command, printed)


def test_exempted_commands_are_still_in_the_documents():
    named = [command for block in blocks("console") for command, _ in commands(block)]
    for table in (EXEMPT, SHORTER, EXIT_CODES):
        assert [key for key in table if not any(first(command, {key: ""}) for command in named)] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_commands_in_sentences_have_the_options_that_they_are_given(document):
    for command in re.findall(r"`(ganwatch [a-z][^`]*)`", document.read_text()):
        arguments = shlex.split(command)[1:]
        known = {option for action in _subparser(arguments)._actions for option in action.option_strings}
        options = [argument for argument in arguments if argument.startswith("--")]
        assert arguments[0] == "train" or set(options) <= known, command


def test_lines_are_compared():
    assert agrees("frechet  0.0069  1 to 2", "frechet   0.00690  1 to 2")
    assert not agrees("found 3 of 4", "found 4 of 4")
    assert agrees("frechet  0.0069  0.004 to 0.009", "frechet  0.0069  0.006 to 0.011")
    assert not agrees("frechet  0.0069  0.004 to 0.009", "frechet  0.0069  0.01 to 0.02")
    assert not agrees("found 3", "lost 3")
    assert agrees("run … of 3 steps", "run 8a of 3 steps")
    assert not agrees("run … of 3 steps", "run 8a of 3 rounds")


def _subparser(words: list[str]):
    """The parser of a command, or of its action."""
    found = parser()
    for word in words:
        choices = next((action.choices for action in found._actions if action.dest in {"command", "action"}), None)
        if choices is None:
            break
        found = choices[word]
    return found
