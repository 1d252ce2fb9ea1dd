"""Contact sheets for the screen: enlarged by a whole factor, every pixel as it was stored."""

from __future__ import annotations

import io

import numpy as np
import streamlit as st
from PIL import Image

from ganwatch.store import queries
from ganwatch.store.artifacts import Pixels

from .state import open_shown_store

GAP = 2
"""White pixels between tiles."""
LARGEST = 16
"""Largest enlargement."""


def arrange(pixels: Pixels, width: int, columns: int | None = None) -> Pixels:
    """Tiles side by side, enlarged by the largest whole factor that fits, with white lines between them.

    Parameters
    ----------
    pixels : uint8 array of shape (N, H, W, C)
    width : int, pixels
        Room on the screen. Tiles are never shrunk: where even one row of a single tile is wider, the result is.
    columns : int or None
        Tiles to a row; None makes it about square. Fewer where they do not fit.

    Returns
    -------
    uint8 array of shape (H', W', C)

    Examples
    --------
    >>> tiles = np.arange(4, dtype=np.uint8).reshape(4, 1, 1, 1)
    >>> arrange(tiles, width=6)[..., 0].tolist()
    [[0, 0, 255, 255, 1, 1], [0, 0, 255, 255, 1, 1], [255, 255, 255, 255, 255, 255], [255, 255, 255, 255, 255, 255], [2, 2, 255, 255, 3, 3], [2, 2, 255, 255, 3, 3]]
    """
    count, height, tile, channels = pixels.shape
    columns = columns or max(1, int(np.ceil(np.sqrt(count))))
    columns = max(1, min(columns, count, (width + GAP) // (tile + GAP)))
    factor = min(LARGEST, max(1, (width - GAP * (columns - 1)) // (columns * tile)))
    rows = -(-count // columns)
    down, across = height * factor + GAP, tile * factor + GAP
    sheet = np.full((rows * down - GAP, columns * across - GAP, channels), 255, dtype=np.uint8)
    for place in range(count):
        top, left = place // columns * down, place % columns * across
        sheet[top : top + height * factor, left : left + tile * factor] = pixels[place].repeat(factor, axis=0).repeat(factor, axis=1)
    return sheet


def encode_png(pixels: Pixels) -> bytes:
    """A PNG file of uint8 pixels (H, W, 1 or 3)."""
    buffer = io.BytesIO()
    Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels).save(buffer, format="PNG")
    return buffer.getvalue()


def show_sheet(artifact: queries.ArtifactRecord, caption: str, *, width: int, columns: int | None = None, tiles: slice | None = None) -> None:
    """One contact sheet, or some of its tiles."""
    bounds = (tiles.start, tiles.stop) if tiles else (None, None)
    try:
        png = _sheet(artifact.run, artifact.path, artifact.sha256, width, columns, bounds, artifact)
    except FileNotFoundError:
        st.caption(f"{caption}: the file `{artifact.path}` is gone.")
        return
    st.image(png, caption=caption, output_format="PNG", width="content", alt=f"{artifact.kind} samples of step {artifact.step}")


@st.cache_data(max_entries=400, show_spinner=False)
def _sheet(
    run: str, path: str, sha256: str, width: int, columns: int | None, bounds: tuple[int | None, int | None], _artifact: queries.ArtifactRecord  # noqa: ARG001  # the key of the cache
) -> bytes:
    return encode_png(arrange(queries.read_samples(open_shown_store(), _artifact)[slice(*bounds)], width, columns))
