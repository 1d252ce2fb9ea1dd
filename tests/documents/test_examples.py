"""Every example runs, and its run is found in the store.

One process imports what the examples share, then forks a child for each, so that the imports are paid for once and no example sees another.
"""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from ganwatch.store import queries
from ganwatch.store.database import open_store

EXAMPLES = Path(__file__).parents[2] / "examples"
PROCESSES = {"data_parallel.py": 2}
STEPS = 20
FORKING = """
import atexit, gc, os, runpy, sys, traceback
import accelerate, ignite.engine, lightning, lightning.fabric, sklearn.datasets, torch.distributed, torch.nn.parallel
import alembic, sqlmodel
import ganwatch.audit, ganwatch.session.lightning, ganwatch.session.watch, ganwatch.sinks.sql
from ganwatch.session import defaults

defaults.default_probes(), defaults.default_detectors()
gc.freeze()  # searches for objects pass over what is imported

def run(script, folder, rank, size, port):
    atexit._clear()
    code = 1
    try:
        os.makedirs(folder, exist_ok=True)
        os.chdir(folder)
        if size > 1:  # what torchrun sets
            os.environ |= {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": str(size), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        sys.argv = [script, STEPS]
        runpy.run_path(script, run_name="__main__")
        atexit._run_exitfuncs()
        code = 0
    except BaseException:
        traceback.print_exc()
    sys.stderr.flush()
    os._exit(code)

STEPS, port, *jobs = sys.argv[1:]
for script, folder, size in zip(jobs[0::3], jobs[1::3], map(int, jobs[2::3])):
    children = []
    for rank in range(size):
        child = os.fork()
        if not child:
            run(script, folder, str(rank), size, port)
        children.append(child)
    codes = [os.waitpid(child, 0)[1] for child in children]
    print(os.path.basename(script), int(any(codes)), flush=True)
"""


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Folder of each example, and whether it failed."""
    folder = tmp_path_factory.mktemp("examples")
    scripts = sorted(EXAMPLES.glob("*.py"))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    jobs = [part for script in scripts for part in (script, folder / script.stem, PROCESSES.get(script.name, 1))]
    command = [sys.executable, "-c", FORKING, *map(str, [STEPS, port, *jobs])]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    codes = dict(line.rsplit(" ", 1) for line in done.stdout.splitlines() if line.count(" ") == 1)
    return folder, codes, done.stderr


@pytest.mark.parametrize("script", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.name)
def test_example(script, finished):
    folder, codes, errors = finished
    assert codes.get(script.name) == "0", errors
    with open_store(folder / script.stem / "runs") as store:
        [run] = queries.runs(store)
        assert (run.state, run.last_step) == ("finished", STEPS)
        assert queries.series(store, run.id, "d_auc")[0].tolist() == [20]


@pytest.mark.parametrize("config", ["digits.yaml", "ring.yaml"])
@pytest.mark.usefixtures("frozen")
def test_configuration(config, tmp_path):
    from ganwatch.cli import main

    path = EXAMPLES / "configs" / config
    arguments = ["train", "--config", str(path), "--steps", "12", "--root", str(tmp_path / "run"), "--store", str(tmp_path / "store")]
    assert main(arguments) == 0
    with open_store(tmp_path / "store") as store:
        [run] = queries.runs(store)
        assert (run.state, run.last_step) == ("finished", 12)
