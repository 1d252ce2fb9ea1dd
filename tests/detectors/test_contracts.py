"""Every detector keeps the rules; every rule can fail; a detector is one new file."""

from __future__ import annotations

import importlib
import math
import sys
from pathlib import Path

import pytest

from ganwatch import render
from ganwatch.contracts import Detector, NotApplicable, Severity, Verdict, discover
from ganwatch.records import Readings
from ganwatch.testing import check_detector

DETECTORS = discover("ganwatch.detectors", Detector)

PAGE = '''"""The generator's loss has become tiny.

How it is detected
    Against the run's own past.

Why it matters
    It is an example.

Likely causes
    A test.

What to do
    Nothing.

Blind spots
    All.

Calibration
    None.

References
    None.
"""

from ganwatch.contracts import Detector, Severity, Verdict
from ganwatch.stats import HealthyMedian, Streak


class TinyLoss(Detector):
    code, title, severity, inputs = "GW999", "tiny loss", Severity.TICKET, ("loss/g",)

    def __init__(self):
        self._healthy, self._streak = HealthyMedian(warmup=20), Streak(3)

    def update(self, readings):
        loss = readings.get("loss/g")
        if loss is None:
            return None
        tiny = self._healthy.ready and loss < 0.01 * self._healthy.value
        self._healthy.learn(loss, unless=tiny)
        if not self._streak.extend(tiny):
            return None
        return Verdict(loss, 0.01 * self._healthy.value, "loss/g", 3, "the run's own healthy median", "The loss is tiny.")

    @classmethod
    def demo(cls, seed):
        return cls.stream(seed, onset=100, before={"loss/g": 1.0}, after={"loss/g": 1e-4}, length=100), 100
'''


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A package of detectors outside ganwatch, with one file in it."""
    folder = tmp_path / "own_detectors"
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / "tiny_loss.py").write_text(PAGE, "utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    yield importlib.import_module("own_detectors")
    for name in [name for name in sys.modules if name.partition(".")[0] == "own_detectors"]:
        del sys.modules[name]


@pytest.mark.parametrize("cls", DETECTORS, ids=lambda cls: cls.code)
def test_every_detector_keeps_the_rules(cls: type[Detector]) -> None:
    check_detector(cls)


def test_codes_and_titles_are_unique() -> None:
    assert len({cls.code for cls in DETECTORS}) == len({cls.title for cls in DETECTORS}) == len(DETECTORS) >= 7


def test_one_new_file_is_discovered_checked_and_documented(package) -> None:
    [found] = discover(package, Detector)
    check_detector(found, seeds=[0])
    page = render.runbook(found)
    assert page.splitlines()[2] == "# GW999 tiny loss"
    assert "## Mitigation\n\nNothing." in page
    assert "alert: GanwatchTinyLoss" in render.rules([found])
