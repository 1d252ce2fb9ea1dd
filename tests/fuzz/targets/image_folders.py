"""Folders of images: one file of each format, and folders with links, pipes and devices."""

from __future__ import annotations

import io
import os
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from cases import MUTATED, ODD, VALID, Case, Cases, Target, built
from hypothesis import strategies as st
from mutations import PLANS, damage
from PIL import Image

from ganwatch.data.batches import SampleBatches

FORMATS = ("png", "bmp", "ppm", "gif", "tiff", "webp", "jpg")


def chunk(kind: bytes, content: bytes) -> bytes:
    """Return a chunk of a PNG file."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(pixels: np.ndarray[Any, Any]) -> bytes:
    """Return a PNG file of (H, W) or (H, W, 3) bytes, written by hand."""
    height, width = pixels.shape[:2]
    rows = b"".join(b"\0" + row.tobytes() for row in pixels)
    head = struct.pack(">IIBBBBB", width, height, 8, 2 if pixels.ndim == 3 else 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def ppm(pixels: np.ndarray[Any, Any]) -> bytes:
    """Return a PPM or PGM file, written by hand."""
    return f"P{6 if pixels.ndim == 3 else 5} {pixels.shape[1]} {pixels.shape[0]} 255\n".encode() + pixels.tobytes()


def valid_image(number: int) -> tuple[tuple[str, bytes], Any]:
    """Return the name and bytes of an image whose pixels survive its format exactly, and its channels first."""
    rng = np.random.default_rng(number)
    form = FORMATS[number % len(FORMATS)]
    shape = tuple(int(one) for one in rng.integers(1, 12, 2)) + ((3,) if (number % 2 and form != "gif") or form == "webp" else ())
    pixels = rng.integers(0, 256, shape).astype(np.uint8)
    if form == "jpg":
        pixels[:] = pixels.reshape(-1)[0]
        pixels = pixels if pixels.ndim == 2 else pixels[..., 0]
    if form in {"png", "ppm"}:
        content = (png if form == "png" else ppm)(pixels)
    else:
        file = io.BytesIO()
        options: dict[str, Any] = {"jpg": {"quality": 100}, "webp": {"lossless": True},
            "tiff": {"compression": (None, "tiff_lzw", "tiff_adobe_deflate", "packbits")[number // 7 % 4]}}.get(form, {})
        Image.fromarray(pixels).save(file, {"jpg": "jpeg"}.get(form, form), **options)
        content = file.getvalue()
    if form == "gif" and pixels.ndim == 2:
        return (f"a.{form}", content), ("grey", pixels.tolist())
    return (f"a.{form}", content), ("exact", (pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)).tolist())


def odd_image(number: int) -> tuple[str, bytes]:  # noqa: PLR0911  # one for each kind
    """Return an image with many frames, huge sizes, text chunks or strange fields."""
    rng = np.random.default_rng(number)
    file = io.BytesIO()
    frames = [Image.fromarray(rng.integers(0, 256, (4, 4)).astype(np.uint8)) for _ in range(3)]
    head = lambda width, height, bits=8, colour=0: b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR",
        struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, number % 2))
    match number % 14:
        case 0:
            frames[0].save(file, "gif", save_all=True, append_images=frames * 200)
        case 1:
            frames[0].save(file, "tiff", save_all=True, append_images=frames * 100)
        case 2:
            return "a.png", head(5792, 5792) + chunk(b"IDAT", zlib.compress(bytes(100))) + chunk(b"IEND", b"")
        case 3:
            return "a.png", head(2**31 - 1, 1) + chunk(b"IDAT", b"")
        case 4:
            text = chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(2**26)))
            return "a.png", head(2, 2) + text * 4 + chunk(b"IDAT", zlib.compress(bytes(6))) + chunk(b"IEND", b"")
        case 5:
            return "a.png", head(5000, 5000, 16, 6) + chunk(b"IDAT", zlib.compress(bytes(5000 * (5000 * 8 + 1)), 1)) + chunk(b"IEND", b"")
        case 6:
            return "a.ppm", b"P6 " + (b"# comment\n" * 1000) + b"9" * int(rng.integers(1, 5000)) + b" 2 255\n"
        case 7:
            return "a.pgm", b"P2 3 3 " + b"9" * int(rng.integers(1, 8)) + b"\n" + b"1 2 x " * 5
        case 8:
            frames[0].save(file, "webp", save_all=True, append_images=frames * 20)
        case 9:  # directories of a TIFF file that lead to each other
            entry = struct.pack("<HHII", 256, 3, 1, 4) + struct.pack("<HHII", 257, 3, 1, 4)
            return "a.tif", b"II*\0\x08\0\0\0" + struct.pack("<H", 2) + entry + struct.pack("<I", 8)
        case 10:
            count = 2**16 - 1
            return "a.tif", b"II*\0\x08\0\0\0" + struct.pack("<H", count) + struct.pack("<HHII", 256, 4, 2**31, 8) * count
        case 11:
            return "a.bmp", b"BM" + struct.pack("<IIIIiiHHIIiiII", 54, 0, 54, 40, 4, -(2**31), 1, 8, int(rng.integers(0, 4)), 0, 0, 0,
                2**31, 0)
        case 12:
            return "a.jpg", b"\xff\xd8" + b"\xff\xe1\xff\xff" + bytes(65533) * 1 + b"\xff\xda"
        case _:
            return "a.png", head(3, 3, int(rng.integers(0, 17)), int(rng.integers(0, 8))) + chunk(b"PLTE",
                bytes(int(rng.integers(0, 800)))) + chunk(b"tRNS", bytes(int(rng.integers(0, 300)))) + chunk(b"IDAT",
                zlib.compress(bytes(64))) + chunk(b"IEND", b"")
    return f"a.{('gif', 'tif', 0, 0, 0, 0, 0, 0, 'webp')[number % 14]}", file.getvalue()


class Images(Target):
    """An image in a folder."""

    name = "images"

    def prepare(self) -> None:
        Image.init()

    def cases(self) -> Cases:
        seeds = st.integers(0, 2**32 - 1)

        def mutate(number: int, plan: Any, other: int) -> Case:
            (name, content), _ = valid_image(number)
            return Case(MUTATED, (name, damage(content, plan, valid_image(other)[0][1])))

        return Cases(built(VALID, valid_image), st.builds(mutate, seeds, PLANS, seeds) | built(ODD, odd_image))

    def read(self, case: Case, folder: Path) -> Any:
        name, content = case.value
        (folder / name).write_bytes(content)
        samples = SampleBatches(folder)
        read = [one.tolist() for batch in samples for one in batch]
        if case.kind != VALID:
            return None
        [one] = read
        kind, _ = case.expected
        return kind, (one[0] if kind == "grey" else one)


def odd_folder(number: int) -> list[tuple[str, str, Any]]:
    """Return the parts of a folder with a loop, a pipe, a device or a strange name."""
    grey = png(np.full((2, 2), 7, np.uint8))
    strange = (b"\xff\xfe.png", b"a\nb.png", b"\x1b[31m.png", "\u202e.png".encode(), b"-rf.png", b"a" * 250 + b".png", b".hidden.png",
        b" .png")
    parts: list[tuple[str, str, Any]] = [("file", "1.png", grey)] if number % 3 else []
    match number // 3 % 10:
        case 0:
            parts += [("link", "a", "."), ("link", "b", ".")]
        case 1:
            parts += [("pipe", "p.png", None)]
        case 2:
            parts += [("link", "zero.png", "/dev/zero"), ("link", "tty.png", "/dev/tty")]
        case 3:
            parts += [("link", "loop.png", "loop.png"), ("link", "x", "y"), ("link", "y", "x")]
        case 4:
            parts += [("file", os.fsdecode(strange[number // 30 % len(strange)]), grey)]
        case 5:
            parts += [("folder", "/".join(["d" * 50] * 60), None), ("link", "d" * 50 + "/up", "..")]
        case 6:
            parts += [("link", f"l{index}", ".") for index in range(40)]
        case 7:
            parts += [("folder", "folder.png", None), ("folder", os.fsdecode(b"\xff"), None), ("file", os.fsdecode(b"\xff/1.png"), grey)]
        case 8:
            parts += [("socket", "s.png", None), ("file", "empty.png", b"")]
        case _:
            parts += [("link", "proc", "/proc/self/fd"), ("link", "nowhere.png", "a" * 300)]
    return parts


def lay(parts: list[tuple[str, str, Any]], folder: Path) -> None:
    """Put the parts of a folder in place."""
    import socket

    for kind, name, content in parts:
        path = folder / name
        match kind:
            case "file":
                path.write_bytes(content)
            case "link":
                path.symlink_to(content)
            case "pipe":
                os.mkfifo(path)
            case "socket":
                with socket.socket(socket.AF_UNIX) as server:
                    server.bind(str(path))
            case "folder":
                here = os.open(folder, os.O_RDONLY)
                for part in name.split("/"):
                    os.mkdir(part, dir_fd=here)  # deeper than a path may be long
                    inner = os.open(part, os.O_RDONLY, dir_fd=here)
                    os.close(here)
                    here = inner
                os.close(here)


def valid_folder(number: int) -> tuple[list[tuple[str, str, Any]], Any]:
    """Return images in folders that are their labels, and what is read."""
    rng = np.random.default_rng(number)
    images = [rng.integers(0, 256, (3, 3)).astype(np.uint8) for _ in range(4)]
    parts = [("folder", "cat", None), ("folder", "dog", None)]
    files = [("file", f"{('cat', 'dog')[index % 2]}/{index}.png", png(image)) for index, image in enumerate(images)]
    order = [0, 2, 1, 3]
    return [*parts, *files], [[images[index].tolist(), ("cat", "dog")[index % 2]] for index in order]


class Folders(Target):
    """A folder of strange files."""

    name = "folders"

    def cases(self) -> Cases:
        return Cases(built(VALID, valid_folder), built(ODD, odd_folder))

    def read(self, case: Case, folder: Path) -> Any:
        lay(case.value, folder)
        samples = SampleBatches(folder)
        items = [samples.source.read(index) for index in range(samples.size)] if case.kind == VALID else []
        list(samples)
        return [[one.array.tolist(), one.label] for one in items]


TARGETS = [Images(), Folders()]
