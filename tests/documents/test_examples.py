"""Every example runs, and its run is found in the store."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ganwatch.store import queries
from ganwatch.store.database import open_store

EXAMPLES = Path(__file__).parents[2] / "examples"
LAUNCHED = {"data_parallel.py": ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2")}


@pytest.mark.parametrize("script", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.name)
def test_example(script, tmp_path):
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, *LAUNCHED.get(script.name, ()), script, "30"]
    subprocess.run(command, cwd=tmp_path, env=environment, check=True, capture_output=True, timeout=300)
    with open_store(tmp_path / "runs") as store:
        [run] = queries.runs(store)
        assert (run.state, run.last_step) == ("finished", 30)
        assert queries.series(store, run.id, "d_auc")[0].tolist() == [20]


@pytest.mark.parametrize("config", ["digits.yaml", "ring.yaml"])
def test_configuration(config, tmp_path):
    from ganwatch.cli import main

    path = EXAMPLES / "configs" / config
    arguments = ["train", "--config", str(path), "--steps", "12", "--root", str(tmp_path / "run"), "--store", str(tmp_path / "store")]
    assert main(arguments) == 0
    with open_store(tmp_path / "store") as store:
        [run] = queries.runs(store)
        assert (run.state, run.last_step) == ("finished", 12)
