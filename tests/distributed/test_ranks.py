"""Two ranks train the same bit for bit, their readings are those of one process, written once, and no rank waits for another."""

import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from ganwatch.store import queries
from ganwatch.store.database import open_store

pytestmark = pytest.mark.xdist_group("ranks")  # one worker builds what they share

SCRIPT = Path(__file__).with_name("training.py")
TIMEOUT = 120
STEPS, BATCH = 40, 16

ACROSS_UPDATES = {"gradient_kept", "gradient_left", "update_kept"}
"""Families of readings that compare an update with the next one, which a restart separates."""
EQUAL = {
    "loss", "grad_norm", "layer_grad_norm", "grad_first_to_last", "weight_norm", "update_to_weight", "learning_rate", "updates",
    "batch_size", "d_output", "output_gradient", "data_min", "data_max", "data_mean", "data_constant", "data_repeated", "data_nonfinite",
}  # fmt: skip
"""Families whose values on two half batches are those on the whole batch."""


def launch(*arguments, launcher=()):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    environment = os.environ | {"OMP_NUM_THREADS": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    command = [sys.executable, *launcher, SCRIPT, *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=TIMEOUT, check=False)
    assert done.returncode == 0, done.stderr


def assert_nothing_changed(out):
    for rank in (0, 1):
        without, with_ganwatch = (torch.load(out / f"rank{rank}" / f"{name}.pt") for name in ("without", "with"))
        assert all(map(torch.equal, without, with_ganwatch))


def read(store):
    """The only run in a store, and its series: steps and values."""
    with open_store(store) as opened:
        [run] = queries.runs(opened)
        names = queries.series_names(opened, run.id)
        return run, {name: queries.series(opened, run.id, name) for name in names}


@pytest.fixture(scope="module")
def together(tmp_path_factory):
    """Trainings one after another, by two processes of torchrun."""
    out = tmp_path_factory.mktemp("together")
    torchrun = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2")
    launch("main", out, "uneven:0", "uneven:10", "plain", "nested", "fabric", launcher=torchrun)
    return out


@pytest.fixture(scope="module")
def by_lightning(tmp_path_factory):
    """Lightning starts the second process itself."""
    out = tmp_path_factory.mktemp("lightning")
    launch("main", out, "lightning")
    return out


@pytest.fixture(scope="module")
def forked(tmp_path_factory):
    """One process on the whole batch, then pairs of processes without a launcher."""
    out = tmp_path_factory.mktemp("forked")
    launch("forked", out, "alone", "fail:no", "fail:yes", "late", "killed")
    return out


@pytest.fixture(scope="module")
def alone(forked):
    """The series of one process on the whole batch."""
    assert (forked / "alone" / "code0.txt").read_text() == "0", (forked / "alone" / "errors0.txt").read_text()
    return read(forked / "alone" / "runs0")[1]


@pytest.mark.parametrize(("mode", "launched"), [("plain", "together"), ("fabric", "together"), ("lightning", "by_lightning")])
def test_two_ranks_read_what_one_process_reads(mode, launched, alone, request):
    out = request.getfixturevalue(launched) / mode
    assert_nothing_changed(out)
    run, series = read(out / "runs0")
    assert (run.state, run.last_step) == ("finished", STEPS)
    assert series["ranks"][0].tolist() == list(range(1, STEPS + 1))
    assert set(series["ranks"][1].tolist()) == {2.0}
    is_restarted = mode == "lightning"  # half-way, and its loader is a list of batches, which has no number of samples
    assert set(series) - {"ranks"} == set(alone) - ({"dataset_size"} if is_restarted else set())
    for name in set(alone) & set(series):
        is_cut = name.partition("/")[0] in ACROSS_UPDATES and is_restarted
        kept = [not is_cut or step not in {STEPS // 2 + 1, STEPS // 2 + 2} for step in alone[name][0]]
        steps, values = (column[kept] for column in alone[name])
        assert series[name][0].tolist() == steps.tolist(), name
        if name.partition("/")[0] in EQUAL:
            assert series[name][1] == pytest.approx(values, rel=1e-4, abs=1e-6), name
    assert not (out / "runs1").exists()
    assert "ganwatch" not in (out / "rank1" / "printed.txt").read_text()


def test_the_generator_is_not_called_on_one_rank_alone_where_it_may_wait_for_the_other(together):
    assert_nothing_changed(together / "nested")
    for mode, kinds in (("nested", {"real"}), ("fabric", {"real", "fixed"})):
        with open_store(together / mode / "runs0") as opened:
            [run] = queries.runs(opened)
            assert {artifact.kind for artifact in queries.artifacts(opened, run.id)} == kinds


@pytest.mark.parametrize("steps", [0, 10])
def test_a_rank_with_less_data_holds_nobody_up(steps, together):
    run, series = read(together / f"uneven:{steps}" / "runs0")
    assert (run.state, run.last_step) == ("finished", STEPS)
    assert series["ranks"][1].tolist() == [2.0] * steps + [1.0] * (STEPS - steps)
    assert series["batch_size/real"][1].tolist() == [BATCH / 2] * 2


def ends(out):
    """Exit code and errors of both ranks."""
    return [((out / f"code{rank}.txt").read_text(), (out / f"errors{rank}.txt").read_text()) for rank in (0, 1)]


def test_a_rank_that_fails_ends_the_training_as_without_ganwatch(forked):
    for run in ("fail:no", "fail:yes"):
        (code, error), (code_of_1, error_of_1) = ends(forked / run)
        assert (code, code_of_1) == ("1", "1")
        assert re.search(r"RuntimeError: .*gloo", error)
        assert "RuntimeError: the second rank has failed" in error_of_1
        assert "ganwatch:" not in error_of_1
    run, series = read(forked / "fail:yes" / "runs")
    assert (run.state, run.last_step) == ("failed", 30)
    assert series["loss/g"][0].tolist() == list(range(1, 31))


def test_rank_0_killed_while_it_starts_leaves_a_run_that_says_so(forked):
    assert [code for code, _ in ends(forked / "killed")] == ["-9", "0"]
    with open_store(forked / "killed" / "runs", create=False) as store:
        [run] = queries.runs(store)
        assert (run.state, run.last_step, run.attempts) == ("running", None, 1)
        assert run.provenance["world_size"] == 2
        assert queries.heartbeat(store, run.id).silent  # at once, as its process is gone


def test_the_process_group_may_come_after_watch(forked):
    out = forked / "late"
    assert [code for code, _ in ends(out)] == ["0", "0"]
    run, series = read(out / "rank0" / "runs")
    assert (run.state, run.last_step) == ("finished", STEPS)
    assert set(series["ranks"][1].tolist()) == {2.0}
    with open_store(out / "rank1" / "runs") as opened:
        assert not queries.runs(opened)
    assert "ganwatch" not in (out / "rank1" / "printed.txt").read_text()
