"""Checkpoints of unknown origin: bounded in depth, bytes and size of the networks, and nothing in them executes."""

from __future__ import annotations

import pickle
import zipfile

import pytest
import torch

from ganwatch.checkpoints.pickle_bounds import MAX_INSTRUCTIONS, check_pickle
from ganwatch.core.errors import UserError
from ganwatch.trainer.checkpoint import GeneratedBatches
from ganwatch.trainer.module import GAN


@pytest.fixture
def save(tmp_path):
    """Saves a checkpoint of a small GAN with other hyperparameters, and gives its path."""

    def write(**hyper_parameters):
        torch.manual_seed(0)
        gan = GAN(shape=(2,), latent_dim=2, width=4, network="mlp")
        held = {"hyper_parameters": dict(gan.hparams) | hyper_parameters, "state_dict": gan.state_dict()}
        gan.on_save_checkpoint(held)
        torch.save(held, tmp_path / "last.ckpt")
        return tmp_path / "last.ckpt"

    return write


def refuse(path, message):
    with pytest.raises(UserError, match=message) as raised:
        GeneratedBatches(path, count=4)
    assert "\n" not in str(raised.value)


def replace_pickle(path, content, method=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path) as archive:
        members = {member.filename: archive.read(member) for member in archive.infolist()}
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, held in members.items():
            archive.writestr(name, content if name.endswith("data.pkl") and content else held)


def test_a_whole_checkpoint_is_drawn_from(save):
    [batch] = GeneratedBatches(save(), count=4)
    assert batch.shape == (4, 2)


def test_a_pickle_of_depth_a_million_is_refused_before_it_is_loaded(save, monkeypatch):
    path = save()
    replace_pickle(path, b"\x80\x02" + b"]" * 1_000_000 + b"a" * 999_999 + b".")
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("loaded"))
    refuse(path, "nested too deeply")


def test_an_endless_pickle_is_refused():
    with pytest.raises(ValueError, match="at most 1,000,000 instructions"):
        check_pickle(b"N0" * MAX_INSTRUCTIONS + b".")
    check_pickle(pickle.dumps([list(range(5000)), {str(number): [number] for number in range(5000)}], 2))


def test_what_torch_would_read_and_zipfile_not_is_refused(save, tmp_path):
    whole = save().read_bytes()
    with (tmp_path / "legacy.ckpt").open("wb") as file:
        file.write(b"\x80\x02]q\x00." + whole)
    refuse(tmp_path / "legacy.ckpt", "an archive from its first byte on")
    with zipfile.ZipFile(tmp_path / "twice.ckpt", "w") as archive:
        archive.writestr("a/data.pkl", b"\x80\x02}.")
        archive.writestr("a/DATA.PKL", b"\x80\x02}.")
    refuse(tmp_path / "twice.ckpt", "one data.pkl")
    with pytest.raises(ValueError, match="got builtins bytearray"):
        check_pickle(b"\x80\x02cbuiltins\nbytearray\nJ\xff\xff\xff\x7f\x85R.")


def test_compressed_members_are_refused(save):
    path = save()
    replace_pickle(path, None, zipfile.ZIP_DEFLATED)
    refuse(path, "must not be compressed")


@pytest.mark.parametrize(
    ("hyper_parameters", "message"),
    [
        ({"width": 60_000, "depth": 900}, "must fit its .* bytes of tensors, got networks of"),
        ({"width": 10**400}, "width must be <= 65,536"),
        ({"depth": 10**9}, "depth must be <= 1,000"),
        ({"shape": (10**9,)}, "of at most 16,777,216 values"),
        ({"width": "wide"}, "must be a checkpoint of ganwatch train"),
    ],
)
def test_networks_larger_than_the_file_are_not_built(save, hyper_parameters, message):
    refuse(save(**hyper_parameters), message)


def test_a_pickle_that_would_execute_is_refused(tmp_path):
    class Command:
        def __reduce__(self):
            return (pytest.fail, ("executed",))

    torch.save({"hyper_parameters": Command()}, tmp_path / "last.ckpt")
    refuse(tmp_path / "last.ckpt", "must name nothing but tensors and dictionaries, got _pytest.outcomes")
