"""Pixels of an image file as they are stored, and the rules that turn them into 8-bit pixels.

========================== =======================================================================
grey, RGB                  unchanged
palette, CMYK, YCbCr, Lab  converted to RGB by Pillow
transparent                composited on white
16 bits a channel          divided by 257 and rounded; of 16-bit RGB, Pillow reads the upper 8 bits
animated, several pages    the first frame
32-bit, floating           skipped: nothing says where white is
over 33,554,432 pixels     skipped before they are decoded
========================== =======================================================================

An orientation in the metadata is not applied. The first bytes of a file tell its format. Only PNG, JPEG, BMP, GIF, WebP, TIFF and PPM are
read, though Pillow could open more.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ganwatch.core.files import open_regular
from ganwatch.data.source import Item

if TYPE_CHECKING:
    from PIL import Image

FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF", "PPM")
MAX_PIXELS = 2**25
"""Pixels of an image that is read at most."""
MAX_BYTES = 2**27
"""Bytes of an image file that is read at most."""
MAX_SCANS = 500
"""Most scans of a JPEG; progressive ones have about ten, and thumbnails in the metadata their own."""
_TILE_WIDTH, _TILE_LENGTH, _SCAN = 322, 323, b"\xff\xda"
_ROWS = 256
"""Rows of an image that are converted at a time."""
_NATIVE_MODES = frozenset({"L", "RGB", "RGBA", "I;16", "I;16B", "I", "F"})
_ALPHA = frozenset({"LA", "PA", "La", "RGBa"})
_MAX_16_BIT = 65535


@contextmanager
def open_image(file: Path | IO[bytes], max_pixels: int = MAX_PIXELS) -> Iterator[Image.Image]:
    """Open an image file of at most ``max_pixels``, without decoding its pixels.

    Raises
    ------
    Exception
        The error of Pillow for a file that it cannot read, or ValueError for one that is too large or no regular file.
    """
    from PIL import Image

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns about metadata, not about pixels
        opened = open_regular(file, "an image", limit=MAX_BYTES) if isinstance(file, Path) else nullcontext(file)
        with opened as content, Image.open(content, formats=FORMATS) as image:
            if image.width * image.height > max_pixels:
                raise ValueError(f"an image must have at most {max_pixels:,} pixels, got {image.width:,} x {image.height:,}")
            _check_coding(image, content)
            yield image


def _check_coding(image: Image.Image, content: IO[bytes]) -> None:
    """Refuse a TIFF of huge tiles, and a JPEG of very many scans, each of which goes over all pixels."""
    if image.format == "TIFF":
        tags: Any = image.tag_v2  # type: ignore[attr-defined]  # of TIFF images
        tile = int(tags.get(_TILE_WIDTH, 0)) * int(tags.get(_TILE_LENGTH, 0))
        if tile > MAX_PIXELS:
            raise ValueError(f"a tile of a TIFF must have at most {MAX_PIXELS:,} pixels, got {tile:,}")
    elif image.format == "JPEG":
        position, scans = content.tell(), 0
        content.seek(0)
        while chunk := content.read(2**20):
            scans += chunk.count(_SCAN)
        content.seek(position)
        if scans > MAX_SCANS:
            raise ValueError(f"a JPEG must have at most {MAX_SCANS} scans, got {scans:,}")


def read_image(file: Path | IO[bytes], label: int | str | None = None) -> Item:
    """Read the pixels as stored: (H, W), (H, W, 3), or (H, W, 4) with transparency. Raises what ``open_image`` raises."""
    with open_image(file) as image:
        return from_pillow(image, label)


def from_pillow(image: Image.Image, label: int | str | None = None) -> Item:
    """Return the pixels of a Pillow image: (H, W), (H, W, 3), or (H, W, 4) with transparency."""
    is_animated = bool(getattr(image, "is_animated", False))
    image.load()
    mode = image.mode
    if mode in _ALPHA or ("transparency" in image.info and not mode.startswith("I")):
        pixels = image.convert("RGBA")
    else:
        pixels = image if mode in _NATIVE_MODES else image.convert("L" if mode == "1" else "RGB")
    return Item(np.array(pixels), label, mode, is_animated)


def to_eight_bit(item: Item) -> tuple[NDArray[np.uint8], tuple[str, ...]]:
    """Return the pixels of an image as (1, H, W) or (3, H, W), and the rules that changed them.

    Raises
    ------
    ValueError
        No rule covers the pixels.
    """
    pixels: NDArray[Any] = item.array
    rules = [f"{item.pixel_mode} converted to RGB"] if item.pixel_mode in {"CMYK", "YCbCr", "LAB", "HSV"} else []
    if item.is_animated:
        rules.append("first frame taken of several")
    if pixels.dtype != np.uint8:
        if pixels.dtype.kind == "f" or pixels.min(initial=0) < 0 or pixels.max(initial=0) > _MAX_16_BIT:
            raise ValueError(f"pixels must have 8 or 16 bits, got mode {item.pixel_mode} from {pixels.min():g} to {pixels.max():g}")
        pixels = _by_rows(pixels, pixels.shape, lambda rows: np.rint(rows / 257.0))
        rules.append("16 bits scaled to 8")
    if pixels.ndim == 2:  # height and width
        return pixels[None], tuple(rules)
    if pixels.shape[2] == 4:  # with alpha
        if pixels[..., 3].min(initial=255) < 255:
            rules.append("transparency composited on white")
        pixels = _by_rows(pixels, (*pixels.shape[:2], 3), _composite)
    return np.ascontiguousarray(pixels.transpose(2, 0, 1)), tuple(rules)


def _composite(rows: NDArray[np.uint8]) -> NDArray[np.float32]:
    alpha = rows[..., 3:].astype(np.float32) / 255.0
    composited: NDArray[np.float32] = np.rint(rows[..., :3] * alpha + 255.0 * (1.0 - alpha))
    return composited


def _by_rows(pixels: NDArray[Any], shape: tuple[int, ...], convert: Callable[[NDArray[Any]], NDArray[Any]]) -> NDArray[np.uint8]:
    """Convert some rows at a time, because floating-point pixels take much memory."""
    converted = np.empty(shape, np.uint8)
    for start in range(0, len(pixels), _ROWS):
        converted[start : start + _ROWS] = convert(pixels[start : start + _ROWS])
    return converted
