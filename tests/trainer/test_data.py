"""Sources, scales and the order of batches."""

import sys
import types

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import Dataset, TensorDataset

from ganwatch.core.errors import UserError
from ganwatch.data.bundled import GRID_FACTOR, grid_centres, ring_centres
from ganwatch.trainer.data import Batches, GANData


def everything(data):
    batches = list(data.train_dataloader())
    if isinstance(batches[0], torch.Tensor):
        return torch.cat(batches), None
    return tuple(torch.cat(parts) for parts in zip(*batches, strict=True))


def test_digits_are_real_and_labelled():
    images, labels = everything(GANData("digits", batch_size=599))
    assert images.shape == (1797, 1, 8, 8)
    assert (images.min(), images.max()) == (-1.0, 1.0)
    assert torch.bincount(labels).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]


@pytest.mark.parametrize(("scale", "low", "high"), [("signed", -1.0, 1.0), ("unit", 0.0, 1.0), ("raw", 0.0, 255.0)])
def test_scales(scale, low, high, tmp_path):
    Image.fromarray(np.array([[0, 255]], np.uint8).repeat(2, 0)).save(tmp_path / "a.png")
    for data in (GANData("digits", scale=scale), GANData("folder", path=tmp_path, size=2, grey=True, batch_size=1, scale=scale)):
        values = everything(data)[0]
        assert (values.min().item(), values.max().item()) == pytest.approx((low, high), abs=1e-6)


@pytest.mark.parametrize(
    ("source", "centres", "sigma"), [("ring", ring_centres(), 0.01), ("grid", grid_centres() * GRID_FACTOR, 0.05 * GRID_FACTOR)]
)
def test_mixtures_place_every_mode(source, centres, sigma):
    points, modes = everything(GANData(source, samples=20_000, batch_size=1000))
    for index, centre in enumerate(centres):
        own = points[modes == index]
        assert len(own) == pytest.approx(20_000 / len(centres), rel=0.2)
        assert own.mean(0).tolist() == pytest.approx(centre.tolist(), abs=sigma / 5)
        assert own.std(0).tolist() == pytest.approx([sigma, sigma], rel=0.1)
    inside = (points - centres[modes]).norm(dim=1) < 3 * sigma
    assert inside.double().mean().item() == pytest.approx(0.98889, abs=0.003)


def test_centres_are_distinct_and_even():
    assert torch.pdist(ring_centres()).min().item() == pytest.approx(2 * np.sin(np.pi / 8), rel=1e-5)
    assert torch.pdist(grid_centres()).min().item() == 2.0
    assert len(grid_centres()) == 25


def test_folder_crops_the_centre_and_keeps_colours(tmp_path):
    (tmp_path / "below").mkdir()
    picture = np.zeros((40, 80, 3), np.uint8)
    picture[:, 20:60, 0] = 255
    Image.fromarray(picture).save(tmp_path / "below" / "a.PNG")
    Image.fromarray(picture[..., 0]).convert("P").save(tmp_path / "b.png")
    (tmp_path / "notes.txt").write_text("no image")
    data = GANData("folder", path=tmp_path, size=8, batch_size=1)
    data.setup()
    grey, red = data.dataset.tensors[0]
    assert red.dtype == torch.uint8
    assert red[0].min() > 200
    assert red[1:].max() == 0
    assert grey.min() > 200


def test_every_sample_once_an_epoch_and_another_order_the_next():
    batches = Batches(TensorDataset(torch.arange(10)), batch_size=5, seed=3)
    first, second = torch.cat(list(batches)), torch.cat(list(batches))
    assert sorted(first.tolist()) == sorted(second.tolist()) == list(range(10))
    assert first.tolist() != second.tolist()
    assert torch.cat(list(Batches(batches.dataset, batch_size=5, seed=3))).equal(first)
    assert not torch.cat(list(Batches(batches.dataset, batch_size=5, seed=4))).equal(first)


@pytest.mark.parametrize("position", [0, 2, 3, 5, 6])
def test_batches_go_on_where_they_were(position):
    dataset = TensorDataset(torch.arange(7))
    whole = Batches(dataset, batch_size=2)
    expected = [batch.tolist() for _ in range(3) for batch in whole]
    taken_up = Batches(dataset, batch_size=2)
    taken_up.load_state_dict({"position": position})
    found = [batch.tolist() for _ in range(3) for batch in taken_up]
    assert found[: len(expected) - position] == expected[position:]


def test_batches_leave_the_random_state_alone():
    torch.manual_seed(0)
    before = torch.get_rng_state()
    list(GANData("ring", samples=100).train_dataloader())
    assert torch.get_rng_state().equal(before)


class Pairs(Dataset):
    def __len__(self):
        return 6

    def __getitem__(self, index):
        return torch.full((1, 8, 8), index, dtype=torch.uint8), index


@pytest.fixture
def module():
    module = types.ModuleType("some_data")
    module.Pairs, module.ready, module.number = Pairs, Pairs(), 3
    sys.modules["some_data"] = module
    yield module
    del sys.modules["some_data"]


@pytest.mark.parametrize("name", ["Pairs", "ready"])
def test_a_dataset_by_import_path(name, module):
    images, labels = everything(GANData(f"some_data:{name}", batch_size=2, scale="raw"))
    assert sorted(labels.tolist()) == list(range(6))
    assert images[:, 0, 0, 0].tolist() == pytest.approx(labels.tolist(), abs=1e-4)


def broken(folder):
    (folder / "a.png").write_bytes(b"no picture")
    return {"source": "folder", "path": folder}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (lambda _: {"source": "faces"}, "source must be digits, folder, ring, grid or package.module:attribute, got 'faces'"),
        (lambda _: {"source": "folder"}, "path must name a folder"),
        (lambda folder: {"source": "folder", "path": folder / "none"}, "which is not there"),
        (lambda folder: {"source": "folder", "path": folder}, "path must hold at least one PNG or JPEG file"),
        (broken, "a.png"),
        (lambda _: {"batch_size": 2000}, "batch_size must be <= the number of samples, 1797 in digits, got 2000"),
        (lambda _: {"batch_size": 0}, "batch_size must be >= 1, got 0"),
        (lambda _: {"scale": "minmax"}, "scale must be one of"),
        (lambda _: {"source": "absent_module:x"}, "source must name an importable"),
        (lambda _: {"source": "some_data:nothing"}, "source must name an importable"),
        (lambda _: {"source": "some_data:number"}, "got int from"),
    ],
)
def test_unusable_data_is_refused_before_the_first_step(arguments, message, module, tmp_path):
    with pytest.raises(UserError, match=message):
        GANData(**arguments(tmp_path)).setup()


def test_a_share_is_held_out_and_prepared_alike():
    data = GANData("digits", holdout=0.2, scale="unit", seed=3)
    data.setup()
    held = data.heldout()
    assert (len(data.dataset), held.size) == (1438, 359)
    seen, unseen = ({sample.numpy().tobytes() for sample in part.tensors[0]} for part in (data.dataset, held.dataset))
    assert len(seen & unseen) <= 2  # the digits have doubles of their own
    low, high = next(iter(held))[0].aminmax()
    assert (float(low), float(high)) == (0.0, 1.0)
    assert GANData("digits").heldout() is None
    with pytest.raises(UserError, match=r"holdout must be in \[0, 1\)"):
        GANData("digits", holdout=1.0)
