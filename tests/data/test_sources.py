"""Readable items come in a stable order, by stated rules; the others are listed."""

import os
import random
import struct
import zlib

import fsspec
import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset, IterableDataset

from ganwatch.core.errors import UserError
from ganwatch.data.batches import SampleBatches
from ganwatch.data.opening import open_source

pytestmark = pytest.mark.usefixtures("older_objects_hidden")
GREY = np.arange(64, dtype=np.uint8).reshape(8, 8) * 4


def _huge(path):
    """A PNG of 20,000 x 20,000 pixels in a few bytes."""
    head = struct.pack(">IIBBBBB", 20_000, 20_000, 8, 0, 0, 0, 0)
    chunk = lambda kind, data: struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b""))


@pytest.fixture
def folder(tmp_path):
    """One image of each supported and unsupported kind."""
    grey = Image.fromarray(GREY)
    grey.save(tmp_path / "a-grey.png")
    Image.fromarray(GREY.astype(np.uint16) * 257).save(tmp_path / "b-16bit.png")
    Image.new("CMYK", (8, 8), (0, 255, 255, 0)).save(tmp_path / "c-cmyk.jpg", quality=100)
    Image.new("RGBA", (8, 8), (200, 100, 0, 51)).save(tmp_path / "d-transparent.png")
    grey.save(tmp_path / "e-animated.gif", save_all=True, append_images=[Image.new("L", (8, 8), 255)] * 2)
    palette = Image.new("P", (8, 8), 1)
    palette.putpalette([0, 0, 0, 10, 20, 30])
    palette.save(tmp_path / "f-palette.png")
    grey.resize((12, 10)).save(tmp_path / "g-larger.png")
    (tmp_path / "h-corrupt.png").write_bytes((tmp_path / "a-grey.png").read_bytes()[:-40])
    (tmp_path / "i-empty.png").touch()
    _huge(tmp_path / "j-huge.png")
    Image.fromarray(GREY.astype(np.float32)).save(tmp_path / "k-floating.tiff")
    (tmp_path / "l-postscript.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n")
    (tmp_path / "m-unreadable.png").symlink_to(tmp_path / "nowhere.png")
    (tmp_path / "notes.txt").write_text("no image")
    return tmp_path


def test_every_image_is_read_by_a_stated_rule_or_listed(folder):
    samples = SampleBatches(folder)
    [batch] = samples
    grey, deep, cmyk, transparent, animated, palette, larger = batch
    for one in (grey, deep, animated):
        assert one.dtype == torch.uint8
        np.testing.assert_array_equal(one[0], GREY)
    assert cmyk[:, 0, 0].tolist() == pytest.approx([255, 0, 0], abs=2)
    assert transparent[:, 0, 0].tolist() == [244, 224, 204]  # a fifth of the colour over white
    assert palette[:, 0, 0].tolist() == [10, 20, 30]
    assert larger.shape == (1, 10, 12)
    assert samples.rules == {
        "16 bits scaled to 8": 1, "CMYK converted to RGB": 1, "transparency composited on white": 1, "first frame taken of several": 1
    }  # fmt: skip
    names = [os.path.basename(one.location).partition(".")[0] for one in samples.skipped]  # noqa: PTH119  # a path as text
    assert names == ["h-corrupt", "i-empty", "j-huge", "k-floating", "l-postscript", "m-unreadable"]
    reasons = dict(zip(names, (one.reason.partition(":")[0] for one in samples.skipped), strict=True))
    assert reasons["j-huge"] == "DecompressionBombError"
    assert reasons["l-postscript"] == reasons["i-empty"] == "UnidentifiedImageError"
    report = samples.report()
    assert (report["size"], report["read"], report["skipped"]) == (13, 7, 6)
    assert report["list"][0]["location"].endswith("h-corrupt.png")


def test_an_image_is_refused_by_its_size_before_its_pixels_are_decoded(tmp_path, monkeypatch):
    _huge(tmp_path / "huge.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    with pytest.raises(UserError, match=r"huge.png: ValueError: an image must have at most 33,554,432 pixels, got 20,000 x 20,000"):
        list(SampleBatches(tmp_path))


def test_one_image_is_enough_and_none_is_an_error(tmp_path):
    with pytest.raises(UserError, match=r"REAL must be a folder with images .* got none below"):
        SampleBatches(tmp_path, argument="REAL")
    Image.fromarray(GREY).save(tmp_path / "only.png")
    assert [batch.shape for batch in SampleBatches(tmp_path)] == [(1, 1, 8, 8)]


def test_a_url_reads_as_the_folder_it_is(folder):
    files = fsspec.filesystem("memory")
    for file in sorted(folder.glob("[a-l]*.*")):
        files.pipe_file(f"/reals/{file.name}", file.read_bytes())
    np.save(folder / "array.npy", np.eye(4, dtype=np.float32))
    files.pipe_file("/reals/array.npy", (folder / "array.npy").read_bytes())
    there = SampleBatches("memory://reals")
    [remote], [local] = there, SampleBatches(folder)
    for one, other in zip(local, remote, strict=True):
        assert torch.equal(one, other)
    assert len(there.skipped) == 5
    assert torch.equal(next(iter(SampleBatches("memory://reals/array.npy"))), torch.eye(4))
    for url in ("memory://nothing", "nosuch://x", "memory://x.npy"):
        with pytest.raises(UserError, match="must be a URL that fsspec can open"):
            SampleBatches(url)


def test_order_and_choice_depend_on_data_and_seed_alone():
    data = np.arange(1000.0).reshape(-1, 1)
    read = lambda **given: torch.cat(list(SampleBatches(data, **given))).flatten().tolist()
    assert read() == data.flatten().tolist()
    some = read(limit=100, seed=3)
    assert some == sorted(some) == read(limit=100, seed=3, batch_size=7)
    assert len(set(some)) == 100 != len(set(some) & set(read(limit=100, seed=4)))


def test_parts_of_the_digits_are_disjoint_and_whole():
    parts = [open_source(f"digits:{part}/3") for part in (1, 2, 3)]
    rows = [part.locate(index) for part in parts for index in range(part.size)]
    assert sorted(rows) == list(range(1797))
    whole = open_source("digits")
    np.testing.assert_array_equal(parts[1].read(5).array, whole.read(parts[1].locate(5)).array)
    assert parts[1].labels[5] == whole.labels[parts[1].locate(5)]
    for wrong in ("digits:0/3", "digits:4/3", "digits:1/1798"):
        with pytest.raises(UserError, match="data must name part 1 to n of n"):
            open_source(wrong)


class Noisy(Dataset):
    """Augments with Python's global generator, and has an item that is not finite."""

    def __len__(self):
        return 6

    def __getitem__(self, index):
        return torch.full((1, 4, 4), float("nan") if index == 4 else random.random()), index


def test_a_loader_is_read_by_index_and_no_random_state_changes():
    loader, state = DataLoader(Noisy(), batch_size=2, shuffle=True), random.getstate()
    samples = SampleBatches(loader, batch_size=4)
    first, again = ([batch.clone() for batch in samples] for _ in range(2))
    assert [batch.shape for batch in first] == [(4, 1, 4, 4), (1, 1, 4, 4)]
    assert all(torch.equal(one, other) for one, other in zip(first, again, strict=True))
    assert random.getstate() == state
    assert [(one.location, one.reason) for one in samples.skipped] == [(4, "ValueError: 16 of 16 values are not finite")]


def test_large_images_come_few_at_a_time():
    large = np.zeros((3, 5000, 5000), np.uint8)
    large[1] = 7
    samples = SampleBatches(large)
    assert [batch.shape[0] for batch in samples] == [2, 1]
    assert [int(one[0, 0, 0]) for batch in samples for one in batch] == [0, 7, 0]


def test_data_sets_are_found_by_import_path(tmp_path, monkeypatch):
    code = "import numpy as np\ndef made():\n    return [(np.ones((5, 6, 3), np.uint8), 1)]\nnumber = 3\n"
    (tmp_path / "my_samples.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    assert [batch.shape for batch in SampleBatches("my_samples:made")] == [(1, 3, 5, 6)]
    for wrong, message in {":missing": "importable", ":number": "must give a dataset", "": "existing path"}.items():
        with pytest.raises(UserError, match=message):
            SampleBatches(f"my_samples{wrong}")


def test_memory_maps_stay_on_disk(tmp_path):
    np.save(tmp_path / "many.npy", np.zeros((64, 2, 2), np.uint8))
    source = open_source(tmp_path / "many.npy")
    assert not source.read(0).array.flags.owndata


def test_what_can_only_be_iterated_or_has_nothing_readable_is_an_error():
    class Stream(IterableDataset):
        def __iter__(self):
            raise AssertionError("iterated")

    with pytest.raises(UserError, match="data must be readable by index: Stream can only be iterated"):
        SampleBatches(Stream())
    with pytest.raises(UserError, match="got 3 of ndarray that cannot; the first, 0: ValueError: 2 of 2 values are not finite"):
        list(SampleBatches(np.full((3, 2), np.inf)))
    with pytest.raises(UserError, match="limit must be >= 1, got 0"):
        SampleBatches("digits", limit=0)


def test_pillow_images_in_a_data_set_follow_the_same_rules():
    [batch] = SampleBatches([Image.new("CMYK", (2, 2), (0, 255, 255, 0)), Image.new("LA", (2, 2), (0, 0))])
    assert batch[0, :, 0, 0].tolist() == [254, 0, 0] or batch[0, :, 0, 0].tolist() == [255, 0, 0]
    assert batch[1, :, 0, 0].tolist() == [255, 255, 255]


def test_an_array_of_many_items_without_values_is_refused(tmp_path):
    path = tmp_path / "empty.npy"
    head = b"{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000, 0)}"
    path.write_bytes(b"\x93NUMPY\x01\x00" + (118).to_bytes(2, "little") + head.ljust(117) + b"\n")
    with pytest.raises(UserError, match=r"data must hold items with values, got an array of shape \(1000000000000, 0\)"):
        open_source(path)
