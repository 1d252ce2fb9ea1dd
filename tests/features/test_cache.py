"""What was extracted once is found again, by content; processes share a folder and may be killed."""

import os
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch

from ganwatch.core.errors import UserError
from ganwatch.features.cache import FeatureCache, content_key
from ganwatch.features.extraction import extract, iterate_features
from ganwatch.features.function import CallableExtractor
from ganwatch.features.random_conv import RandomConv

BATCHES = [torch.randint(256, (8, 1, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed)) for seed in range(3)]


class Counting(RandomConv):
    def __init__(self, seed=0):
        super().__init__(seed)
        self.calls = 0

    def __call__(self, samples):
        self.calls += 1
        return super().__call__(samples)


def test_extraction_computes_only_what_is_new(tmp_path):
    cache, one = FeatureCache(tmp_path), Counting()
    fresh = extract(BATCHES, one)
    told = []
    assert torch.equal(extract(BATCHES, one, cache=cache, progress=told.append), fresh)
    assert (one.calls, told) == (6, [8, 8, 8])
    assert torch.equal(extract(BATCHES, one, cache=cache), fresh)
    assert one.calls == 6
    changed = [*BATCHES[:2], BATCHES[2].clone()]
    changed[2][0, 0, 0, 0] += 1
    extract(changed, one, cache=cache)
    assert one.calls == 7
    other = Counting(seed=1)
    extract(BATCHES, other, cache=cache)
    assert other.calls == 3


def test_content_is_types_and_shapes_too():
    flat = torch.arange(4.0)
    keys = {content_key(one, "x") for one in (flat, flat.reshape(2, 2), flat.to(torch.uint8), list(flat.reshape(2, 2)))}
    assert len(keys | {content_key(flat, "y")}) == 5


KILLED = """
import os, signal, sys
import torch
from ganwatch.features.cache import FeatureCache
from ganwatch.features.extraction import iterate_features
from ganwatch.features.random_conv import RandomConv
batches = [torch.randint(256, (8, 1, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed)) for seed in range(3)]
for number, _ in enumerate(iterate_features(batches, RandomConv(), cache=FeatureCache(sys.argv[1]))):
    if number == 1:
        os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_extraction_goes_on_where_it_was(tmp_path):
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], check=False)
    assert done.returncode == -signal.SIGKILL
    one = Counting()
    assert torch.equal(extract(BATCHES, one, cache=FeatureCache(tmp_path)), extract(BATCHES, RandomConv()))
    assert one.calls == 1


def test_processes_share_a_folder(tmp_path):
    code = KILLED.replace("os.kill(os.getpid(), signal.SIGKILL)", "pass")
    running = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path)]) for _ in range(2)]
    assert [process.wait() for process in running] == [0, 0]
    one = Counting()
    extract(BATCHES, one, cache=FeatureCache(tmp_path))
    assert one.calls == 0
    assert not list(tmp_path.rglob("*.partial"))


def test_a_damaged_file_is_computed_again_and_never_unpickled(tmp_path):
    cache = FeatureCache(tmp_path)
    fresh = extract(BATCHES, RandomConv(), cache=cache)
    first, second, third = sorted(tmp_path.rglob("*.npy"))
    first.write_bytes(first.read_bytes()[:-5])
    second.write_bytes(b"")
    np.save(third, np.array([{}]), allow_pickle=True)
    assert torch.equal(extract(BATCHES, RandomConv(), cache=cache), fresh)


def test_what_was_not_used_for_longest_goes_first(tmp_path):
    cache = FeatureCache(tmp_path, limit=3000)
    for age, key in enumerate(("aaaa", "bbbb", "cccc")):
        cache.put(key, torch.zeros(10, 25))
        os.utime(next((tmp_path / key[:2]).iterdir()), (age, age))
    left = tmp_path / "aa" / "left.partial"
    left.touch()
    os.utime(left, (0, 0))
    assert cache.get("aaaa") is not None
    cache.prune()
    assert [cache.get(key) is not None for key in ("aaaa", "bbbb", "cccc")] == [True, False, True]
    assert not left.exists()


def test_a_folder_that_cannot_be_written_costs_time_only(tmp_path, caplog):
    (tmp_path / "file").touch()
    assert len(extract(BATCHES, RandomConv(), cache=FeatureCache(tmp_path / "file"))) == 24
    assert "features are not stored in" in caplog.text


def test_what_nothing_identifies_is_not_kept(tmp_path):
    extract(BATCHES, CallableExtractor(lambda images: images.flatten(1)), cache=FeatureCache(tmp_path))
    assert not list(tmp_path.iterdir())


def test_broken_features_are_an_error_with_both_sides():
    with pytest.raises(UserError, match="got 8 of 8 samples with NaN or infinity from log"):
        extract([torch.zeros(8, 2)], CallableExtractor(torch.log, name="log"))
    with pytest.raises(UserError, match="same length in all batches, 2, got 3"):
        list(iterate_features([torch.zeros(1, 2), torch.zeros(1, 3)], CallableExtractor(lambda samples: samples, name="mine")))
    with pytest.raises(UserError, match="samples must not be empty"):
        extract([], RandomConv())


@pytest.mark.parametrize("kind", ["archive", "pipe", "device", "folder", "loop", "huge", "empty", "object"])
def test_what_is_no_file_of_features_is_computed_again(tmp_path, kind):
    path = tmp_path / "ab" / "cd.npy"
    path.parent.mkdir()
    if kind == "archive":
        with path.open("wb") as file:
            np.savez(file, features=np.zeros((2, 2), np.float32))
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind in {"device", "loop"}:
        path.symlink_to("/dev/zero" if kind == "device" else "cd.npy")
    else:
        dtype, shape = {"huge": ("<f4", (2**40, 2**20)), "empty": ("<f4", (2**63 - 1, 0)), "object": ("|O", (1, 1))}[kind]
        head = f"{{'descr': {dtype!r}, 'fortran_order': False, 'shape': {shape}}}".ljust(117).encode() + b"\n"
        path.write_bytes(b"\x93NUMPY\x01\x00" + len(head).to_bytes(2, "little") + head)
    cache = FeatureCache(tmp_path, limit=0)
    assert cache.get("abcd") is None
    cache.prune()
