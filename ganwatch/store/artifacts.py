"""Images as files: one PNG contact sheet per set of samples, at native resolution, through fsspec under one root."""

from __future__ import annotations

import hashlib
import io
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import fsspec
import numpy as np
import numpy.typing as npt
from fsspec.implementations.local import LocalFileSystem
from PIL import Image

from ganwatch.core.errors import UserError, show_error, show_value
from ganwatch.core.files import open_regular
from ganwatch.core.readings import SampleImages
from ganwatch.data.images import open_image
from ganwatch.data.origin import encode_png

Pixels = npt.NDArray[np.uint8]
MAX_BYTES = 2**28
"""Most bytes of an artifact that is read."""
MAX_SHEET_PIXELS = 2**27
"""Most pixels of a contact sheet that is read: more than an image of unknown origin may have, because it holds many."""
STORAGE = frozenset({"file", "local", "memory", "s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "adl", "hdfs"})
"""Protocols of an artifact root that a store names. Any other may be a trap of who made the store: a request to a server of theirs."""
REAL_KINDS = frozenset({"real", "missing"})
"""Kinds of sample images that no model has generated."""
MAX_THUMBNAIL_SIDE = 512
"""Longest side of a thumbnail, in pixels. A sheet that is not larger has none."""


@dataclass(frozen=True, slots=True)
class ContactSheet:
    """The path of a contact sheet and its layout.

    Parameters
    ----------
    path, thumbnail : str
        Paths relative to the artifact root.
    sha256 : str
        Digest of the PNG file.
    shape : (N, H, W, C)
        Shape of the samples.
    columns : int
        Tiles per row. Tiles touch, row by row; the rest of the last row is black.
    """

    path: str
    thumbnail: str | None
    sha256: str
    shape: tuple[int, int, int, int]
    columns: int


def arrange_tiles(samples: SampleImages) -> tuple[Pixels, int]:
    """Return the contact sheet of samples, uint8 of shape (rows*H, columns*W, C), and its number of columns."""
    count, height, width, channels = samples.shape
    columns = max(1, math.ceil(math.sqrt(count)))
    rows = max(1, math.ceil(count / columns))
    grid = np.zeros((rows * columns, height, width, channels), dtype=np.uint8)
    grid[:count] = np.frombuffer(samples.pixels, dtype=np.uint8).reshape(samples.shape)
    sheet = grid.reshape(rows, columns, height, width, channels).transpose(0, 2, 1, 3, 4)
    return sheet.reshape(rows * height, columns * width, channels), columns


def split_tiles(png: bytes, shape: tuple[int, int, int, int], columns: int) -> Pixels:
    """Return the samples of a contact sheet, uint8 of shape (N, H, W, C), exactly as they were stored.

    Raises
    ------
    UserError
        The file is damaged, or does not have these tiles.
    """
    count, height, width, channels = shape
    if min(*shape, columns) < 1:
        raise UserError(f"a contact sheet must have tiles in columns, got shape {shape} in {columns} columns")
    rows = -(-count // columns)
    try:
        with open_image(io.BytesIO(png), MAX_SHEET_PIXELS) as image:
            size, mode = image.size, image.mode
            sheet = np.asarray(image, dtype=np.uint8)
    except Exception as error:
        raise UserError(f"a contact sheet must be an undamaged PNG file, got one that cannot be read: {show_error(error)}") from error
    if size != (columns * width, rows * height) or mode != {1: "L", 3: "RGB"}.get(channels):
        wanted = f"{columns * width:,} x {rows * height:,} pixels of {channels} channels"
        raise UserError(f"a contact sheet must have {wanted}, got {size[0]:,} x {size[1]:,} of mode {mode}")
    grid = sheet.reshape(rows, height, columns, width, channels).transpose(0, 2, 1, 3, 4)
    return grid.reshape(rows * columns, height, width, channels)[:count]


class ArtifactRoot:
    """A folder, or any fsspec URL, that holds artifacts.

    Parameters
    ----------
    url : str
        ``runs/artifacts``, ``s3://bucket/prefix``, ``memory://artifacts``, …

    Raises
    ------
    UserError
        fsspec does not know the protocol, or the package for it is not installed.
    """

    def __init__(self, url: str) -> None:
        try:
            self._files, self._root = fsspec.core.url_to_fs(url)
        except Exception as error:  # noqa: BLE001  # fsspec and the packages of its protocols document no errors
            shown = url.partition("://")[0]
            raise UserError(f"artifacts must be a folder or a URL that fsspec can open, got {shown!r}: {show_error(error)}") from None
        self.url = str(Path(url).absolute()) if "://" not in url else url

    @classmethod
    def of_store(cls, url: str) -> ArtifactRoot:
        """Return the root that the row of a run names.

        Raises
        ------
        UserError
            Its protocol is none of ``STORAGE``, or fsspec cannot open it.
        """
        protocol = url.partition("://")[0] if "://" in url else "file"
        if "::" in url or protocol not in STORAGE:
            raise UserError(f"artifacts of a store must lie in a folder or in one of {', '.join(sorted(STORAGE))}, got {show_value(url)}")
        return cls(url)

    def read(self, path: str) -> bytes:
        """Return the bytes of a file of at most ``MAX_BYTES``.

        Raises
        ------
        FileNotFoundError
            It is gone.
        UserError
            It cannot be read, is no regular file, or is too large.
        """
        full = self._full(path)
        try:
            opened = open_regular(full, "an artifact") if isinstance(self._files, LocalFileSystem) else self._files.open(full, "rb")
            with opened as file:
                content: bytes = file.read(MAX_BYTES + 1)
        except (UserError, FileNotFoundError):
            raise
        except Exception as error:
            raise UserError(f"an artifact must be a file that can be read, got {path!r}: {show_error(error)}") from error
        if len(content) > MAX_BYTES:
            raise UserError(f"an artifact must be a file of at most {MAX_BYTES:,} bytes, got more in {path!r}")
        return content

    def missing(self, paths: Iterable[str]) -> set[str]:
        """Return the paths without a file; none where each would take a request to a server."""
        return {path for path in paths if isinstance(self._files, LocalFileSystem) and not self._files.exists(self._full(path))}

    def write(self, path: str, content: bytes) -> None:
        """Write a file and create the folders above it; an object store has none, and would create a bucket."""
        full = self._full(path)
        if isinstance(self._files, LocalFileSystem):
            self._files.makedirs(full.rpartition("/")[0], exist_ok=True)
        self._files.pipe_file(full, content)

    def save(self, run: str, samples: SampleImages) -> ContactSheet:
        """Write samples as a PNG contact sheet, and a thumbnail of a large one; both say which run made them, and if they are generated.

        The file name contains a checksum of the content, so that a file that a row points to is never overwritten with another.
        """
        pixels, columns = arrange_tiles(samples)
        image = Image.fromarray(pixels[..., 0] if samples.shape[3] == 1 else pixels)
        is_generated = samples.kind not in REAL_KINDS
        png = encode_png(image, is_generated=is_generated, run=run, step=samples.step)
        digest = hashlib.sha256(png).hexdigest()
        folder = "/".join(filter(None, (run, samples.kind, samples.incident)))
        stem = f"{folder}/{samples.step:08d}-{digest[:12]}"
        self.write(f"{stem}.png", png)
        thumbnail = None
        if max(image.size) > MAX_THUMBNAIL_SIDE:
            thumbnail = f"{stem}.thumbnail.png"
            image.thumbnail((MAX_THUMBNAIL_SIDE, MAX_THUMBNAIL_SIDE))
            self.write(thumbnail, encode_png(image, is_generated=is_generated, run=run, step=samples.step))
        return ContactSheet(f"{stem}.png", thumbnail, digest, samples.shape, columns)

    def _full(self, path: str) -> str:
        parts = path.split("/")
        if path.startswith("/") or ".." in parts:
            raise UserError(f"path must lie under the artifact root, got {path!r}")
        return f"{self._root.rstrip('/')}/{path}"
