"""Files with networks: checkpoints of ``ganwatch train``, exported programs, and the cache of features."""

from __future__ import annotations

import hashlib
import io
import zipfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from cases import MUTATED, ODD, VALID, Case, Cases, Target, built
from hypothesis import strategies as st
from mutations import JSON, PLANS, SHARES, damage, replace_leaf

from ganwatch.features.cache import FeatureCache
from ganwatch.features.registry import make_extractor
from targets.numpy_files import ODD_SHAPES, ODD_TYPES, header

SEEDS = st.integers(0, 2**32 - 1)
ARGUMENTS = {"shape": (2,), "width": 4, "depth": 1, "latent_dim": 2}


@cache
def checkpoint(number: int) -> dict[str, Any]:
    """Return what ``ganwatch train`` saves."""
    from ganwatch.trainer.module import GAN

    torch.manual_seed(number)
    gan = GAN(**ARGUMENTS, ema=0.9 if number % 2 else None)
    saved: dict[str, Any] = {"state_dict": gan.state_dict(), "hyper_parameters": dict(gan.hparams),
        "datamodule_hyper_parameters": {"scale": "unit"}}
    gan.on_save_checkpoint(saved)
    return saved


def pack(saved: Any) -> bytes:
    file = io.BytesIO()
    torch.save(saved, file)
    return file.getvalue()


@cache
def packed(number: int) -> bytes:
    return pack(checkpoint(number))


def replaced(saved: dict[str, Any], name: str, place: float, value: Any) -> bytes:
    """Return a checkpoint of which a part is another; numbers and texts outside of JSON become text."""
    part = dict(saved[name]) if name in saved else value
    try:
        return pack(saved | {name: replace_leaf(part, place, value)})
    except (UnicodeEncodeError, OverflowError):
        return pack(saved | {name: repr(value)})


class Checkpoint(Target):
    """A checkpoint, from which samples are drawn."""

    name = "checkpoint"

    def prepare(self) -> None:
        import ganwatch.trainer.checkpoint  # noqa: F401

        for number in range(4):
            packed(number)

    def cases(self) -> Cases:
        mutated = st.builds(lambda one, plan, other: Case(MUTATED, damage(packed(one % 4), plan, packed(other % 4))), SEEDS, PLANS, SEEDS)
        names = st.sampled_from([*checkpoint(0), "hyper_parameters", "hyper_parameters", "updates"])
        values = JSON | st.sampled_from((10**6, 65_536, 1000, (65_536,), (1, 8, 8), torch.zeros(3), torch.zeros(0), [[]], 2**62))
        odd = st.builds(lambda name, place, value: Case(ODD, replaced(checkpoint(0), name, place, value)), names, SHARES, values)
        wrong = st.builds(lambda value: Case(ODD, pack({str(index): value for index in range(3)})), st.integers(0, 9))
        return Cases(SEEDS.map(lambda number: Case(VALID, packed(number % 4), _samples(number % 4))), mutated | odd | wrong)

    def read(self, case: Case, folder: Path) -> Any:
        from ganwatch.trainer.checkpoint import GeneratedBatches

        path = folder / "last.ckpt"
        path.write_bytes(case.value)
        batches = GeneratedBatches(path, count=3, seed=5)
        samples = torch.cat(list(batches))
        batches.discriminator_features((-1.0, 1.0))(samples)
        return [samples.tolist(), list(batches.value_range or ())] if case.kind == VALID else None


@cache
def _samples(number: int) -> Any:
    """Return what the generator draws, without the reader."""
    from ganwatch.trainer.module import GAN

    gan = GAN(**ARGUMENTS, ema=0.9 if number % 2 else None)
    gan.load_state_dict(checkpoint(number)["state_dict"])
    torch.manual_seed(5)
    return [gan.sample(3).tolist(), [0.0, 1.0]]


class _Double(torch.nn.Module):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.flatten(1) * 2.0


@cache
def programs() -> list[bytes]:
    """Return a program of ``torch.export`` and one of TorchScript."""
    import warnings

    files = [io.BytesIO(), io.BytesIO()]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dynamic = ({0: torch.export.Dim("batch")},)
        torch.export.save(torch.export.export(_Double(), (torch.zeros(2, 3, 4, 4),), dynamic_shapes=dynamic), files[0])
        torch.jit.save(torch.jit.trace(_Double(), torch.zeros(2, 3, 4, 4)), files[1])
    return [file.getvalue() for file in files]


def odd_program(number: int) -> bytes:
    """Return an archive with the names of a program, and strange contents."""
    rng = np.random.default_rng(number)
    names = ("a/constants.pkl", "a/archive_format", "a/serialized_exported_program.json", "a/data.pkl", "a/version", "a/models/model.json",
        "a/.data/version", "a/byteorder")
    contents = (b"", b"\x80\x02.", b"pt2", b"{}", b"[" * 50_000, b"\xff" * 9, b"9" * 5000, bytes(2**20))
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED if number % 2 else zipfile.ZIP_STORED) as archive:
        for name in rng.choice(names, 4, replace=False):
            archive.writestr(str(name), contents[int(rng.integers(len(contents)))])
    return file.getvalue()


class Exported(Target):
    """An exported program with its hash, of which a damaged file is refused unread."""

    name = "exported"

    def prepare(self) -> None:
        for content in programs():
            make_extractor(_write(content, Path("/dev/shm")), trust=True)(torch.zeros(2, 3, 4, 4))  # noqa: S108

    def cases(self) -> Cases:
        mutated = st.builds(lambda one, plan, original: Case(MUTATED, (damage(programs()[one], plan), original)), st.integers(0, 1), PLANS,
            st.sampled_from((0, None, None)))
        odd = SEEDS.map(lambda number: Case(ODD, (odd_program(number), None)))
        return Cases(SEEDS.map(lambda number: Case(VALID, (programs()[number % 2], number % 2), [[510.0 * 1.0] * 48] * 2)), mutated | odd)

    def read(self, case: Case, folder: Path) -> Any:
        content, original = case.value
        digest = None if original is None else hashlib.sha256(programs()[original]).hexdigest()
        features = make_extractor(_write(content, folder) + (f"@{digest}" if digest else ""), input_range=(0.0, 1.0), trust=not digest)
        return features(torch.ones(2, 3, 4, 4)).tolist()


def _write(content: bytes, folder: Path) -> str:
    path = folder / "network.pt2"
    path.write_bytes(content)
    return str(path)


def valid_features(number: int) -> tuple[bytes, Any]:
    rng = np.random.default_rng(number)
    values = rng.normal(size=(int(rng.integers(1, 5)), int(rng.integers(1, 5)))).astype("<f4")
    return header("'<f4'", repr(values.shape)) + values.tobytes(), values.tolist()


class Cached(Target):
    """A file of the cache, which is read as it was written, or not at all."""

    name = "feature-cache"

    def cases(self) -> Cases:
        mutated = st.builds(lambda one, plan: Case(MUTATED, damage(valid_features(one)[0], plan)), SEEDS, PLANS)
        odd = st.builds(lambda kind, shape, rest: Case(ODD, header(kind, shape) + rest),
            st.sampled_from([*map(repr, ODD_TYPES), "'<f4'", "'<f4'"]), st.sampled_from(ODD_SHAPES), st.binary(max_size=99))
        archive = SEEDS.map(lambda number: Case(ODD, odd_program(number)))
        other = st.sampled_from(("pipe", "device", "folder", "loop")).map(lambda kind: Case(ODD, kind))
        return Cases(built(VALID, valid_features), mutated | odd | archive | other)

    def read(self, case: Case, folder: Path) -> Any:
        import os

        path = folder / "ab" / "cd.npy"
        path.parent.mkdir()
        match case.value:
            case "pipe":
                os.mkfifo(path)
            case "device":
                path.symlink_to("/dev/zero")
            case "folder":
                path.mkdir()
            case "loop":
                path.symlink_to("cd.npy")
            case content:
                path.write_bytes(content)
        cache_ = FeatureCache(folder, limit=1)
        features = cache_.get("abcd")
        cache_.prune()
        return None if features is None else features.tolist()


TARGETS = [Checkpoint(), Exported(), Cached()]
