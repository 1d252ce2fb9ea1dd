"""One image file: its pixels as they are stored, and the stated rules that make 8-bit pixels of them.

========================== =======================================================================
grey, RGB                  as they are
palette, CMYK, YCbCr, Lab  converted to RGB by Pillow
transparent                composited on white
16 bits a channel          divided by 257 and rounded; of 16-bit RGB, Pillow reads the upper 8 bits
animated, several pages    the first frame
32-bit, floating           skipped: nothing says where white is
over 67,108,864 pixels     skipped before they are decoded
========================== =======================================================================

An orientation in the metadata is not applied. The kind of a file is told by its first bytes, and only PNG, JPEG, BMP, GIF, WebP, TIFF
and PPM are read, whatever else Pillow could open.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ganwatch.data.source import Item

if TYPE_CHECKING:
    from PIL import Image

FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF", "PPM")
PIXELS = 2**26
_AS_THEY_ARE = frozenset({"L", "RGB", "RGBA", "I;16", "I;16B", "I", "F"})
_ALPHA = frozenset({"LA", "PA", "La", "RGBa"})
_DEEPEST = 65535


def read_image(file: Path | IO[bytes], label: int | str | None = None) -> Item:
    """Pixels as stored: (H, W), (H, W, 3), or (H, W, 4) with transparency.

    Raises
    ------
    Exception
        Whatever Pillow raises for what it cannot read, and ValueError for an image of more than ``PIXELS`` pixels.
    """
    from PIL.Image import open as open_image

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what Pillow remarks about metadata is not about pixels
        with open_image(file, formats=FORMATS) as image:
            if image.width * image.height > PIXELS:
                raise ValueError(f"an image must have at most {PIXELS:,} pixels, got {image.width:,} x {image.height:,}")
            return of_pillow(image, label)


def of_pillow(image: Image.Image, label: int | str | None = None) -> Item:
    """The pixels of an image of Pillow's; (H, W), (H, W, 3), or (H, W, 4) with transparency."""
    frames = int(getattr(image, "n_frames", 1))
    image.load()
    mode = image.mode
    if mode in _ALPHA or ("transparency" in image.info and not mode.startswith("I")):
        pixels = image.convert("RGBA")
    else:
        pixels = image if mode in _AS_THEY_ARE else image.convert("L" if mode == "1" else "RGB")
    return Item(np.array(pixels), label, mode, frames)


def eight_bit(item: Item) -> tuple[NDArray[np.uint8], tuple[str, ...]]:
    """The pixels of an image as (1, H, W) or (3, H, W), and which rules changed them.

    Raises
    ------
    ValueError
        No rule says what the pixels mean.
    """
    pixels: NDArray[Any] = item.array
    rules = [f"{item.mode} converted to RGB"] if item.mode in {"CMYK", "YCbCr", "LAB", "HSV"} else []
    if item.frames > 1:
        rules.append("first frame taken of several")
    if pixels.dtype != np.uint8:
        if pixels.dtype.kind == "f" or pixels.min(initial=0) < 0 or pixels.max(initial=0) > _DEEPEST:
            raise ValueError(f"pixels must have 8 or 16 bits, got mode {item.mode} from {pixels.min():g} to {pixels.max():g}")
        pixels = np.rint(pixels / 257.0).astype(np.uint8)
        rules.append("16 bits scaled to 8")
    if pixels.ndim == 2:  # height and width
        return pixels[None], tuple(rules)
    if pixels.shape[2] == 4:  # with alpha
        alpha = pixels[..., 3:].astype(np.float32) / 255.0
        if alpha.min(initial=1.0) < 1.0:
            rules.append("transparency composited on white")
        pixels = np.rint(pixels[..., :3] * alpha + 255.0 * (1.0 - alpha)).astype(np.uint8)
    return np.ascontiguousarray(pixels.transpose(2, 0, 1)), tuple(rules)
