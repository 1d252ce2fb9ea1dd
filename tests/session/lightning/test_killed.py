"""Kill -9 in the middle, start again: one run, nothing lost, no second alarm."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ganwatch.core.incidents import State
from ganwatch.store import queries
from ganwatch.store.database import open_store

pytestmark = pytest.mark.xdist_group("killed")  # one worker builds what they share

SCRIPT = Path(__file__).with_name("killed_run.py")
TIMES = {"step_time", "data_time", "observer_time", "process_memory", "wall_time"}
ACROSS_UPDATES = {"gradient_kept", "gradient_left", "update_kept"}
"""Families of readings that compare an update with the next one, which a restart separates."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Folder with the runs of ``killed_run.py``: one process that forks for each start."""
    folder = tmp_path_factory.mktemp("killed")
    subprocess.run([sys.executable, SCRIPT], check=True, cwd=folder, env=os.environ | {"OMP_NUM_THREADS": "1"}, timeout=300)
    return folder


def everything(folder, name):
    """Return runs, attempts, incidents and series of one store, as plain values."""
    with open_store(folder / name / "runs", create=False) as store:
        runs = queries.runs(store)[::-1]
        found = {run.id: {"incidents": [], "series": {}, "attempts": []} for run in runs}
        for run in runs:
            found[run.id]["state"] = run.state
            found[run.id]["attempts"] = [(attempt.attempt, attempt.state) for attempt in queries.attempts(store, run.id)]
            incidents = queries.incidents(store, run.id)
            found[run.id]["incidents"] = [
                (one.id, one.onset, one.opened, one.fired, one.resolved, one.state, one.superseded) for one in incidents
            ]
            for series in queries.series_names(store, run.id):
                steps, values = queries.series(store, run.id, series)
                found[run.id]["series"][series] = dict(zip(steps.tolist(), values.tolist(), strict=True))
    return found


def alarms(folder, name):
    log = (folder / name / "log").read_text().splitlines()
    return [sum(f"Between (GW99{number}-1) since step" in line for line in log) for number in (1, 2, 3)]


def test_uninterrupted(folder):
    [run] = everything(folder, "whole").values()
    assert (run["state"], run["attempts"]) == ("finished", [(1, "finished")])
    assert [(one, opened, resolved, state) for one, _, opened, _, resolved, state, _ in run["incidents"]] == [
        ("GW991-1", 8, None, State.FIRING), ("GW992-1", 15, 25, State.RESOLVED), ("GW993-1", 26, None, State.FIRING),
    ]  # fmt: skip
    assert alarms(folder, "whole") == [1, 1, 1]


def is_all_of(readings, kept, series):
    """Return True if readings were kept and no others, but for those that a restart separates."""
    lost = readings.keys() - kept.keys()
    return kept.items() <= readings.items() and len(lost) <= 2 * (series.partition("/")[0] in ACROSS_UPDATES)


@pytest.mark.parametrize("name", ["with checkpoint", "before the first checkpoint"])
def test_killed_and_resumed_is_one_run_with_the_same_incidents(name, folder):
    [whole] = everything(folder, "whole").values()
    [run] = everything(folder, name).values()
    assert run["state"] == "finished"
    assert [number for number, _ in run["attempts"]] == [1, 2]
    assert run["incidents"] == whole["incidents"]
    assert alarms(folder, name) == [1, 1, 1]
    assert run["series"].keys() == whole["series"].keys()
    for series in run["series"].keys() - TIMES:
        assert is_all_of(whole["series"][series], run["series"][series], series), series


@pytest.mark.parametrize("name", ["with checkpoint", "before the first checkpoint"])
def test_no_reading_that_was_committed_is_lost(name, folder):
    committed = json.loads((folder / name / "committed.json").read_text())
    assert len(committed["loss/g"]) >= 20
    [run] = everything(folder, name).values()
    for series in committed.keys() - TIMES:
        kept = run["series"][series]
        assert is_all_of(dict(committed[series]), {step: kept[step] for step, _ in committed[series] if step in kept}, series), series


def test_a_finished_run_is_not_continued_by_another_start(folder):
    first, second = everything(folder, "twice").values()
    assert first["state"] == second["state"] == "finished"
    assert first["attempts"] == second["attempts"] == [(1, "finished")]
