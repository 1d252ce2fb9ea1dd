from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

from ganwatch.core.detector import Detector, parse_sections
from ganwatch.core.discovery import discover
from ganwatch.core.readings import Readings, SampleImages, is_finite
from ganwatch.core.statistics import Streak


def test_only_concrete_classes_are_found_where_they_are_defined(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "some_parts"
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / "b.py").write_text(
        "from ganwatch.core.statistics import Stateful, Streak\nfrom some_parts.a import One\nclass Two(One): pass\n"
    )
    (folder / "a.py").write_text(
        "from abc import ABC, abstractmethod\nfrom ganwatch.core.statistics import Stateful\n"
        "class Shared(Stateful, ABC):\n    @abstractmethod\n    def act(self): ...\n"
        "class One(Shared):\n    def act(self): ...\nclass Unrelated: ...\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    base = Streak.__mro__[1]
    try:
        assert [cls.__name__ for cls in discover("some_parts", base)] == ["One", "Two"]
        assert [cls.__name__ for cls in discover(importlib.import_module("some_parts"), base)] == ["One", "Two"]
        (folder / "c.py").write_text("import not_installed\n")
        with pytest.raises(ImportError, match="not_installed"):
            discover("some_parts", base)
    finally:
        for name in [name for name in sys.modules if name.startswith("some_parts")]:
            del sys.modules[name]


@pytest.mark.parametrize(
    ("text", "sections"),
    [
        ("", {"summary": ""}),
        ("One line.", {"summary": "One line."}),
        ("First.\n\nSecond.\n\nHead\n    a\n\n    b\n\nTail\n    c", {"summary": "First.\n\nSecond.", "Head": "a\n\nb", "Tail": "c"}),
    ],
)
def test_a_docstring_is_split_at_its_headings(text: str, sections: dict[str, str]) -> None:
    assert parse_sections(text) == sections


def test_a_stream_is_seeded_and_changes_at_its_onset() -> None:
    def stream(seed: int) -> list[Readings]:
        return list(Detector.simulate(seed, onset=5, before={"a": 1.0, "b": 2.0}, after={"b": 1e6}, length=3))

    steps = stream(1)
    assert [one.step for one in steps] == list(range(1, 9))
    assert [one.values["b"] > 100 for one in steps] == [False] * 4 + [True] * 4
    assert all(0.7 < one.values["a"] < 1.4 for one in steps)
    assert stream(1) == steps != stream(2)


def test_images_must_be_whole() -> None:
    with pytest.raises(ValueError, match=r"pixels must hold N\*H\*W\*C = 12 bytes, got 3"):
        SampleImages(1, "fake", (1, 2, 2, 3), b"abc")


@pytest.mark.parametrize(("value", "expected"), [(None, False), (float("nan"), False), (float("-inf"), False), (0.0, True)])
def test_finite(value: float | None, expected: bool) -> None:
    assert is_finite(value) is expected
