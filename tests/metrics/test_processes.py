"""Two processes that share an extraction get the result of one."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.xdist_group("processes")  # one worker builds what they share

SCRIPT = Path(__file__).with_name("extraction.py")
TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2")


@pytest.fixture(scope="module")
def ranks(tmp_path_factory):
    out = tmp_path_factory.mktemp("ranks")
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, *TORCHRUN, SCRIPT, out], env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return [json.loads((out / f"rank{rank}.json").read_text()) for rank in (0, 1)]


@pytest.fixture(scope="module")
def extraction():
    spec = importlib.util.spec_from_file_location("extraction", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_two_processes_equal_one(ranks, extraction):
    for cls in extraction.METRICS:
        whole = extraction.measured(cls, local_shard=iter).estimate()
        for rank in ranks:
            found = rank[cls.__name__]
            assert found["value"] == pytest.approx(whole.value, rel=1e-9)
            for name, value in whole.as_dict().items():
                assert found["estimate"][name] == (pytest.approx(value, rel=1e-9) if isinstance(value, float) else value), name
        assert [rank[cls.__name__]["mine"] for rank in ranks] == [[75, 90], [65, 0]]
        assert ranks[0][cls.__name__]["estimate"] == ranks[1][cls.__name__]["estimate"]


def test_the_sample_that_is_kept_is_one_of_both_and_the_same_in_both(ranks):
    kept = ranks[0]["kept"]
    assert kept == ranks[1]["kept"]
    assert len(kept) == 10
    assert min(kept) < 100 <= max(kept)


def test_dimensions_that_differ_between_processes_are_named_in_both(ranks):
    assert {rank["error"] for rank in ranks} == {"features must have the same dimensions in all processes, got [(2,), (3,)]"}
