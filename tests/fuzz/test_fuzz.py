"""Some inputs of every target are read or refused in one line; the long lane reads ten thousand."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from cases import VALID, all_targets
from verdicts import REFUSED, judge
from worker import draw

INPUTS = 12
"""Inputs of a target in the fast lane."""


@pytest.mark.usefixtures("older_objects_hidden")
@pytest.mark.parametrize("name", all_targets())
def test_inputs_are_read_exactly_or_refused_in_one_line(name, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    target, counts, findings = all_targets()[name], Counter(), []
    target.prepare()

    def take(case):
        verdict = judge(target, case, is_measured=False)
        counts[case.kind == VALID] += 1
        counts["refused"] += verdict.outcome == REFUSED
        if verdict.finding:
            findings.append((verdict.finding, case, verdict.detail))

    draw(target, 0, INPUTS, take)
    assert not findings
    assert counts[True] >= INPUTS / 10 <= counts[False]


@pytest.mark.slow
def test_ten_thousand_inputs(tmp_path):
    environment = os.environ | {"PYTHONPATH": os.pathsep.join((str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")))}
    command = [sys.executable, Path(__file__).with_name("main.py"), "--log", tmp_path / "log", "--show"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
