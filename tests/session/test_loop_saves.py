"""Files that a plain loop writes by ``torch.save`` or ``torch.distributed.checkpoint`` are read back and judged; nothing else is."""

import copy
import logging
import os
import warnings

import pytest
import torch
import torch.distributed.checkpoint as dcp
from lightning.fabric import Fabric
from torch import nn

import ganwatch
from ganwatch.checkpoints.distributed import check_shards
from ganwatch.checkpoints.manifest import CheckpointError
from ganwatch.session import loop_saves
from ganwatch.session.stale_parts import find_stale_parts
from ganwatch.sinks.memory import MemorySink


@pytest.fixture
def networks():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 2)), nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 1))


def train(networks, save, steps=3, memory=None):
    """Train, with a save after the last step. Return the checkpoints as they were judged."""
    g, d = networks
    opt_g, opt_d = (torch.optim.Adam(network.parameters(), lr=1e-3) for network in networks)
    with ganwatch.watch(G=g, D=d, store=None, sinks=[memory] if memory else [], audit_seconds=0.0) as watching:
        for _ in range(steps):
            opt_d.zero_grad()
            (d(g(torch.randn(8, 2)).detach()).mean() - d(torch.randn(8, 2)).mean()).backward()
            opt_d.step()
            opt_g.zero_grad()
            (-d(g(torch.randn(8, 2))).mean()).backward()
            opt_g.step()
        save(g, d)
        watching.wait_for_checkpoints()
        return watching.checkpoints


@pytest.mark.parametrize(
    "make",
    [
        lambda g, d: g.state_dict(),
        lambda g, d: {"epoch": 3, "models": {"G": g.state_dict(), "D": d.state_dict()}},
        lambda g, d: {f"module.{name}": one for name, one in d.state_dict().items()},
    ],
)
def test_states_of_a_watched_network_are_read_back(networks, tmp_path, make):
    [found] = train(networks, lambda g, d: torch.save(make(g, d), tmp_path / "nets.pth"))
    assert (found.path, found.step, found.is_verified) == (str(tmp_path / "nets.pth"), 3, True)


def test_a_file_of_fabric_is_read_back(networks, tmp_path):
    [found] = train(networks, lambda g, d: Fabric(accelerator="cpu", devices=1).save(tmp_path / "fabric.ckpt", {"g": g, "d": d}))
    assert (found.path, found.is_verified) == (str(tmp_path / "fabric.ckpt"), True)


def test_what_holds_no_network_is_not_looked_at(networks, tmp_path):
    def save(g, d):
        torch.save({"samples": torch.zeros(3), "names": ["a"]}, tmp_path / "samples.pt")
        with (tmp_path / "stream.pt").open("wb") as file:
            torch.save(g.state_dict(), file)

    assert train(networks, save) == ()


def test_a_pickled_network_is_not_opened_and_stays_unknown(networks, tmp_path):
    [found] = train(networks, lambda g, d: torch.save(g, tmp_path / "whole.pt"))
    assert "more than tensors and plain types" in found.verdict.reason


def test_an_error_of_the_save_reaches_the_loop_and_is_a_fault(networks, tmp_path):
    (tmp_path / "file").write_text("")

    def save(g, d):
        with pytest.raises(RuntimeError):
            torch.save(g.state_dict(), tmp_path / "file" / "nets.pth")

    memory = MemorySink()
    [found] = train(networks, save, memory=memory)
    assert found.fault
    assert str(found.verdict.quality) == "bad"


def test_damage_is_a_fault(networks, tmp_path, monkeypatch):
    identify = loop_saves.identify_file
    monkeypatch.setattr(loop_saves, "identify_file", lambda path: os.truncate(path, 500) or identify(path))
    [found] = train(networks, lambda g, d: torch.save(g.state_dict(), tmp_path / "nets.pth"))
    assert "end is missing" in found.fault


def test_a_file_that_is_replaced_or_removed_is_no_fault(networks, tmp_path):
    def save(g, d):
        for _ in range(3):
            torch.save(g.state_dict(), tmp_path / "nets.pth")
        torch.save(d.state_dict(), tmp_path / "gone.pth")
        (tmp_path / "gone.pth").unlink()

    found = train(networks, save)
    assert not [one for one in found if one.fault]
    assert [one.path for one in found if one.is_verified] == [str(tmp_path / "nets.pth")]


def test_torch_is_as_it_was_afterwards(networks, tmp_path):
    before = torch.save, dcp.save
    train(networks, lambda g, d: torch.save(g.state_dict(), tmp_path / "nets.pth"))
    assert (torch.save, dcp.save) == before


def save_sharded(g, folder):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # torch says that one process saves alone
        dcp.save({"G": g.state_dict()}, checkpoint_id=folder)


def test_a_set_of_shards_is_looked_for_and_a_half_one_is_a_fault(networks, tmp_path, caplog):
    caplog.set_level(logging.ERROR)
    folder = tmp_path / "sharded"
    [found] = train(networks, lambda g, d: save_sharded(g, folder))
    assert "folder of another program" in found.verdict.reason
    check_shards(folder)
    [shard] = folder.glob("*.distcp")
    shard.rename(tmp_path / "elsewhere")
    with pytest.raises(CheckpointError, match="must have all 1 shards, got no __0_0"):
        check_shards(folder)
    (tmp_path / "elsewhere").rename(shard)
    index = folder / ".metadata"
    content = index.read_bytes()
    index.write_bytes(content[: len(content) // 2])
    with pytest.raises(CheckpointError, match="index that can be read"):
        check_shards(folder)
    index.unlink()
    with pytest.raises(CheckpointError, match="not completed"):
        check_shards(folder)


def test_parts_of_another_step_are_named_and_averaged_copies_are_not(networks, tmp_path):
    g, _ = networks
    old = {name: value.clone() for name, value in g.state_dict().items()}

    def save(g, d):
        torch.save({"models": {"G": old, "D": d.state_dict(), "G_ema": old}}, tmp_path / "mixed.pth")
        torch.save({"models": {"G": g.state_dict(), "D": d.state_dict(), "G_ema": old}}, tmp_path / "whole.pth")

    mixed, whole = train(networks, save)
    assert (mixed.stale, whole.stale) == (("models.G",), ())
    assert "parts of another step" in mixed.verdict.reason


def test_an_optimizer_of_another_step_is_named(networks):
    g, _ = networks
    optimizer = torch.optim.Adam(g.parameters())
    for _ in range(2):
        g(torch.randn(2, 2)).sum().backward()
        optimizer.step()
    old = copy.deepcopy(optimizer.state_dict())
    optimizer.step()
    assert find_stale_parts({"opt": old, "other": optimizer.state_dict()}, [g], [optimizer]) == ("opt",)
    assert find_stale_parts({"opt": torch.optim.SGD(g.parameters()).state_dict()}, [g], [optimizer]) == ()
