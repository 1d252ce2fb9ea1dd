"""Docstrings begin with what the thing is or does, and names that mean nothing by themselves are not used."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = ("ganwatch", "dashboards", "examples")
OPENERS = re.compile(r"(What|Of|Those|Where|How|As|That|Whether|Who|Which|One's)\b")
"""Words that begin a sentence about the thing, not the thing."""
VAGUE = {
    "LEAST", "MOST", "APART", "ENOUGH", "CONFIRM", "KEPT", "CLEAR", "FAR", "FEW", "MOVED", "NEARLY", "TRIES", "LOOK", "LOOKS", "SHOWN",
    "SELDOM",
}  # fmt: skip
"""Constants that do not say what they bound."""


def docstrings(tree: ast.AST) -> list[str]:
    """Docstrings of modules, classes and functions, and the strings below attributes and constants."""
    found = []
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            found += [
                one.value.value
                for one in body
                if isinstance(one, ast.Expr) and isinstance(one.value, ast.Constant) and isinstance(one.value.value, str)
            ]
    return found


def sources() -> list[Path]:
    return [path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))]


@pytest.mark.parametrize("folder", FOLDERS)
def test_docstrings_begin_with_what_the_thing_is_or_does(folder):
    paths = sorted((ROOT / folder).rglob("*.py"))
    texts = [(path.name, text.strip()) for path in paths for text in docstrings(ast.parse(path.read_text()))]
    assert [(name, text[:60]) for name, text in texts if OPENERS.match(text)] == []


def test_constants_say_what_they_bound():
    odd = []
    for path in sources():
        for node in ast.parse(path.read_text()).body:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
            names = [name.id for target in targets for name in ast.walk(target) if isinstance(name, ast.Name)]
            odd += [(path.name, name) for name in names if name in VAGUE]
    assert odd == []


def test_the_checks_can_fail():
    assert [text for text in docstrings(ast.parse('"""What it is."""\nX = 1\n"""A bound."""')) if OPENERS.match(text)] == ["What it is."]
