"""A plain loop continues from its own checkpoint: one run, continued steps, no second alarm."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

import ganwatch
from ganwatch.core.errors import UserError
from ganwatch.store import queries
from ganwatch.store.database import open_store

TIMES = {"step_time", "data_time", "observer_time", "process_memory", "checkpoint_verified"}
"""Series of clocks; another process reads checkpoints back when it comes to it."""


def everything(folder):
    """Return attempts, series and incidents of the only run of a store."""
    with open_store(folder / "runs", create=False) as store:
        [run] = queries.runs(store)
        series = {
            name: dict(zip(*map(torch.Tensor.tolist, map(torch.as_tensor, queries.series(store, run.id, name))), strict=True))
            for name in queries.series_names(store, run.id)
        }
        incidents = [(one.id, one.onset, one.fired, one.resolved, one.state) for one in queries.incidents(store, run.id)]
        return [attempt.state for attempt in queries.attempts(store, run.id)], series, incidents


def test_killed_and_resumed_is_one_run_with_the_same_readings_and_alarms(tmp_path):
    script, environment = Path(__file__).with_name("killed_loop.py"), os.environ | {"OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, script], check=True, cwd=tmp_path, env=environment, timeout=300)
    attempts, series, incidents = everything(tmp_path / "killed")
    _, whole, expected = everything(tmp_path / "whole")
    assert len(attempts) == 2
    assert attempts[1] == "finished"
    assert [incident for incident, *_ in incidents] == ["GW991-1", "GW993-1"]
    assert incidents == expected
    assert [*series["loss/g"]] == [*range(1, 41)]
    assert series.keys() - TIMES == whole.keys() - TIMES
    for name in series.keys() - TIMES:
        assert series[name] == whole[name], name
    said = (tmp_path / "killed" / "log").read_text()
    assert [said.count(f"FromUpdate (GW99{number}-1) since step") for number in (1, 3)] == [1, 1]


def watched():
    return ganwatch.watch(nn.Linear(2, 3), nn.Linear(3, 1), store=None, audit_seconds=0.0)


@pytest.mark.parametrize("state", [None, 3, {"model": 1}])
def test_an_invalid_state_is_refused_and_an_empty_one_is_a_new_run(state):
    with watched() as watching:
        with pytest.raises(UserError, match=r"state must be a state of watching.state_dict\(\), or empty, got "):
            watching.load_state_dict(state)
        watching.load_state_dict({})
        assert watching.state_dict()["recorder"]["index"] == 0


def test_a_state_that_comes_too_late_changes_nothing(caplog):
    with watched() as watching:
        state = watching.state_dict() | {"index": 7}
        for network in watching.networks():
            network(torch.randn(2, network.in_features)).sum().backward()
            torch.optim.SGD(network.parameters(), lr=0.1).step()
        watching.load_state_dict(state)
        assert watching.observer.steps == 1
    assert sum("must be called before the first optimizer step" in record.getMessage() for record in caplog.records) == 1


def test_a_disabled_watch_passes_a_state_on(monkeypatch):
    monkeypatch.setenv("GANWATCH_DISABLED", "1")
    watching = watched()
    assert watching.state_dict() == {}
    watching.load_state_dict({"run": "abc", "index": 7})
    assert watching.state_dict() == {"run": "abc", "index": 7}


@pytest.mark.slow
def test_a_hundred_kills_lose_nothing(tmp_path):
    script, environment = Path(__file__).parents[1] / "regression" / "many_kills.py", os.environ | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, script, "--kills", "100", "--folder", tmp_path / "kills"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=1200, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
