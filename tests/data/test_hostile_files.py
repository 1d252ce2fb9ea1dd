"""Files of unknown origin: one clear error with the place, within bounds on kind, bytes, members, links and time."""

from __future__ import annotations

import io
import os
import threading
import tracemalloc
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from ganwatch.core.errors import UserError
from ganwatch.core.files import MAX_TEXT_BYTES, open_regular, read_toml, walk_files
from ganwatch.core.zip_archives import FREE_BYTES, MAX_MEMBERS
from ganwatch.data import urls
from ganwatch.data.batches import SampleBatches
from ganwatch.data.images import _check_coding
from ganwatch.data.opening import open_source

IMAGES = np.random.default_rng(0).integers(0, 256, (6, 3, 8, 8), dtype=np.uint8)


def refused(path: Path, message: str) -> None:
    with pytest.raises(UserError, match=message) as raised:
        open_source(path, "REAL")
    assert "\n" not in str(raised.value)
    assert path.name in str(raised.value)


def npz(path: Path, **arrays: np.ndarray) -> bytes:
    np.savez_compressed(path, **arrays)
    return path.read_bytes()


def header(shape: str, descr: str = "'|u1'") -> bytes:
    text = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}}}\n".encode()
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


@pytest.mark.parametrize("order", ["C", "F"])
def test_whole_files_are_read_exactly(tmp_path, order):
    images, labels = np.array(IMAGES, order=order), np.arange(6)
    np.save(tmp_path / "a.npy", images)
    npz(tmp_path / "b.npz", images=images, labels=labels, others=np.zeros(3))
    np.savez(tmp_path / "c.npz", x=images, y=np.array(list("abcdef")))
    for name, held in {"a.npy": None, "b.npz": list(range(6)), "c.npz": list("abcdef")}.items():
        source = open_source(tmp_path / name)
        assert np.array_equal(np.stack([source.read(index).array for index in range(6)]), IMAGES)
        assert source.labels == held


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "readable NumPy file"),
        (b"\x93NUMPY\x09\x00", "version 1.0 or 2.0"),
        (header("(6, 3)")[:20], "readable NumPy file"),
        (header("(6, 3)"), "the 18 bytes of its header, got 0"),
        (header("(1000000000000,)") + b"a", "the 1,000,000,000,000 bytes of its header, got 1"),
        (header(f"({10**30},)") + b"a", "at most 32 axes"),
        (header("(-1,)") + b"a", "at most 32 axes"),
        (header(f"{(1,) * 40}") + b"a", "at most 32 axes"),
        (header("(" * 5000), "readable NumPy file"),
        (header("(2,)", "'|O'") + bytes(16), "without pickled objects"),
        (b"\x93NUMPY\x02\x00\xff\xff\xff\x7f", "readable NumPy file"),
    ],
)
def test_a_damaged_array_file_is_one_line(tmp_path, content, message):
    (tmp_path / "data.npy").write_bytes(content)
    refused(tmp_path / "data.npy", message)


def test_a_damaged_archive_is_one_line(tmp_path):
    path = tmp_path / "data.npz"
    whole = npz(path, x=IMAGES)
    for place in range(0, len(whole), 7):  # every part of the archive
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :])
        try:
            source = open_source(path, "REAL")
        except UserError as error:
            assert "\n" not in str(error)  # noqa: PT017  # a flipped bit may as well do no harm
        else:
            assert np.array_equal(source.read(0).array, IMAGES[0])
    for length in range(0, len(whole), 50):
        path.write_bytes(whole[:length])
        refused(path, "REAL must")


def test_encrypted_and_unusual_members_are_named(tmp_path):
    path = tmp_path / "data.npz"
    whole = bytearray(npz(path, x=IMAGES))
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        whole[whole.find(signature) + offset] |= 1
    path.write_bytes(whole)
    refused(path, "must not be encrypted, got an encrypted member 'x.npy'")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("x.npy", b"a" * 100)
    refused(path, "stored or deflated, got compression method 14 in member 'x.npy'")


def test_members_that_nobody_needs_are_not_decompressed_and_a_bomb_is_refused(tmp_path):
    npz(tmp_path / "unused.npz", x=IMAGES, other=np.zeros(2**26, np.uint8))
    tracemalloc.start()
    open_source(tmp_path / "unused.npz")
    assert tracemalloc.get_traced_memory()[1] < 2**22
    tracemalloc.stop()
    bomb = zipfile.ZipFile(tmp_path / "bomb.npz", "w", zipfile.ZIP_DEFLATED)
    with bomb, bomb.open("x.npy", "w", force_zip64=True) as member:
        member.write(header(f"({FREE_BYTES},)"))
        for _ in range(16):
            member.write(bytes(FREE_BYTES // 16))
    refused(tmp_path / "bomb.npz", "must be compressed at most 100 times beyond")


def test_an_archive_of_very_many_members_is_not_listed(tmp_path):
    with zipfile.ZipFile(tmp_path / "many.npz", "w") as archive:
        for number in range(MAX_MEMBERS + 1):
            archive.writestr(str(number), b"")
    refused(tmp_path / "many.npz", "at most 10,000 members, got 10,001")


def test_links_that_lead_back_are_entered_once(tmp_path):
    (tmp_path / "real").mkdir()
    for index in range(3):
        Image.fromarray(IMAGES[index].transpose(1, 2, 0)).save(tmp_path / "real" / f"{index}.png")
    for name in "abcdefgh":
        (tmp_path / name).symlink_to(".")
        (tmp_path / "real" / name).symlink_to("..")
    assert open_source(tmp_path).size == 3
    (tmp_path / "elsewhere").symlink_to(tmp_path / "real")
    assert open_source(tmp_path / "elsewhere").size == 3
    assert len(list(walk_files(tmp_path, "data"))) == 3


@pytest.fixture(params=["pipe", "device"])
def endless(request, tmp_path):
    """Makes a file that blocks or never ends."""

    def make(name: str) -> Path:
        path = tmp_path / name
        os.mkfifo(path) if request.param == "pipe" else path.symlink_to("/dev/zero")
        return path

    return make


@pytest.mark.parametrize("name", ["data.npy", "data.npz"])
def test_pipes_and_devices_are_not_opened(endless, name):
    refused(endless(name), "must be a regular file, got a (pipe|device)")


def test_an_image_that_is_no_regular_file_is_left_out(endless):
    path = endless("b.png")
    Image.fromarray(IMAGES[0].transpose(1, 2, 0)).save(path.parent / "a.png")
    samples = SampleBatches(path.parent)
    assert sum(map(len, samples)) == 1
    assert "must be a regular file" in samples.skipped[0].reason


def test_settings_files_are_bounded(tmp_path, endless):
    with pytest.raises(UserError, match="preset must be a regular file"):
        read_toml(endless("preset.toml"), "preset", "a TOML file")
    large = tmp_path / "large.toml"
    large.write_bytes(bytes(MAX_TEXT_BYTES + 1))
    for path, content, message in (
        (large, None, "at most 1,048,576 bytes, got 1,048,577"),
        (tmp_path / "deep.toml", "a = " + "[" * 100_000, "nested too deeply|must be a TOML file"),
        (tmp_path / "dots.toml", ".".join("a" * 20_000) + " = 1", "a key has more than 50 parts"),
        (tmp_path / "digits.toml", "a = " + "9" * 5000, "must be a TOML file"),
        (tmp_path / "bytes.toml", "\udcff", "must be a TOML file"),
    ):
        if content is not None:
            path.write_bytes(content.encode(errors="surrogateescape"))
        with pytest.raises(UserError, match=message):
            read_toml(path, "preset", "a TOML file")
    with pytest.raises(FileNotFoundError):
        open_regular(tmp_path / "none", "preset")


@pytest.fixture
def endless_server():
    """Serves bodies that never end, and folders without end."""

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self):
            self.send_response(200)
            self.end_headers()

        def do_GET(self):
            self.do_HEAD()
            self.wfile.write(f'<a href="{self.path}deeper/">folder</a> <a href="http://evil.example/x.png">image</a>'.encode())
            try:
                while "endless" in self.path:
                    self.wfile.write(bytes(2**16))
            except OSError:
                pass  # the client has had enough

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_what_a_server_sends_without_end_is_bounded(endless_server, monkeypatch):
    for name in ("MAX_FILE_BYTES", "MAX_IMAGE_BYTES"):
        monkeypatch.setattr(urls, name, 2**20)
    monkeypatch.setattr(urls, "MAX_FILES", 5)
    for path, message in {
        "endless.npy": "at most 1,048,576 bytes, got more",
        "endless/": "at most 1,048,576 bytes, got more",
        "folders/": "at most 5 files that are listed within 600 s, got 6 and more",
    }.items():
        with pytest.raises(UserError, match=message):
            open_source(f"{endless_server}/{path}")
    with pytest.raises(ValueError, match="at most 100 bytes"):
        urls.fetch_url(f"{endless_server}/endless", 100)


def test_a_16_bit_and_a_transparent_image_are_converted_as_before(tmp_path):
    rows = np.arange(2**16, dtype=np.uint16).reshape(256, 256)
    Image.fromarray(np.tile(rows, (3, 1))).save(tmp_path / "deep.png")
    rgba = np.random.default_rng(1).integers(0, 256, (700, 5, 4), dtype=np.uint8)
    Image.fromarray(rgba).save(tmp_path / "clear.png")
    [clear, deep] = [np.asarray(one) for batch in SampleBatches(tmp_path) for one in batch]
    assert np.array_equal(deep[0], np.tile(np.rint(rows / 257.0), (3, 1)))
    alpha = rgba[..., 3:].astype(np.float32) / 255.0
    assert np.array_equal(clear.transpose(1, 2, 0), np.rint(rgba[..., :3] * alpha + 255.0 * (1.0 - alpha)))


def test_a_folder_without_permission_is_an_error_not_a_gap(tmp_path, monkeypatch):
    (tmp_path / "a").mkdir()
    iterdir = Path.iterdir

    def refuse(path):
        if path.name == "a":  # root may read everything
            raise PermissionError(13, "Permission denied")
        return iterdir(path)

    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(UserError, match=r"folder that can be read, got '.*/a': Permission denied"):
        open_source(tmp_path)




def test_images_that_take_long_to_decode_are_left_out(tmp_path):
    buffer = io.BytesIO()
    Image.fromarray(IMAGES[0, 0]).save(buffer, "JPEG", progressive=True)
    jpeg = buffer.getvalue()
    (tmp_path / "a.jpg").write_bytes(jpeg)
    (tmp_path / "b.jpg").write_bytes(jpeg[:-2] + b"\xff\xda\x00\x08\x01\x01\x00\x00\x00\x10" * 2000 + jpeg[-2:])
    samples = SampleBatches(tmp_path)
    assert sum(map(len, samples)) == 1
    assert "a JPEG must have at most 500 scans" in samples.skipped[0].reason
    with pytest.raises(ValueError, match="a tile of a TIFF must have at most 33,554,432 pixels"):
        _check_coding(SimpleNamespace(format="TIFF", tag_v2={322: 32_768, 323: 60_000}), None)
