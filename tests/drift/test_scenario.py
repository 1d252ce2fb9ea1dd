"""The months of the benchmark on real digits get the verdicts that they should."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def scenarios(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import drift_scenarios

    yield drift_scenarios
    for name in ("drift_scenarios", "truth"):
        monkeypatch.delitem(sys.modules, name, raising=False)


def test_every_month_of_one_seed(scenarios, tmp_path: Path) -> None:
    drawn = scenarios.generators(0, tmp_path)
    before, after = drawn["modes"]
    assert (before >= 8, after <= 4) == (True, True)  # the truth of the classifier
    found = scenarios.verdicts(0, drawn)
    assert {name: str(drift.verdict) for name, drift in found.items()} == scenarios.EXPECTED
    moved = {name: [column.name for column in drift.changed_columns] for name, drift in found.items()}
    assert moved["brighter scans"][0] == "brightness"
    assert moved["a missing digit"][0] == "label 0"
    assert moved["the same world next month"] == []


@pytest.mark.slow
def test_every_month_of_twenty_seeds(scenarios, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.setattr(sys, "argv", ["drift_scenarios.py", "--out", str(tmp_path)])
    assert scenarios.main() == 0, capsys.readouterr().out
