"""Contact sheets for the screen: enlarged by a whole factor, every pixel as it was stored."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
import streamlit as st
from PIL import Image

from ganwatch.store import queries
from ganwatch.store.artifacts import Pixels

from .state import open_shown_store

GAP = 2
"""Pixels between tiles."""
LINE = (110, 150, 190)
"""Colour between tiles, which no grey sample has."""
NAN = 128
"""Grey that stands for NaN in a stored sample."""
NUMERICS = {"GW303", "GW502"}
"""Incidents that say that values are not finite."""
LARGEST = 16
"""Largest enlargement."""
STRIP = 36
"""Samples of a sheet that a strip shows."""


def arrange(pixels: Pixels, width: int) -> Pixels:
    """Tiles about as many down as across, enlarged by the largest whole factor that fits, with lines between them.

    Parameters
    ----------
    pixels : uint8 array of shape (N, H, W, C)
    width : int, pixels
        Room on the screen. Tiles are never shrunk: where even one row of a single tile is wider, the result is.

    Returns
    -------
    uint8 array of shape (H', W', 3)

    Examples
    --------
    >>> tiles = np.arange(4, dtype=np.uint8).reshape(4, 1, 1, 1)
    >>> arrange(tiles, width=4)[..., 0].tolist()
    [[0, 110, 110, 1], [110, 110, 110, 110], [110, 110, 110, 110], [2, 110, 110, 3]]
    """
    count, height, tile, _ = pixels.shape
    columns = max(1, min(int(np.ceil(np.sqrt(count))), (width + GAP) // (tile + GAP)))
    factor = min(LARGEST, max(1, (width - GAP * (columns - 1)) // (columns * tile)))
    rows = -(-count // columns)
    down, across = height * factor + GAP, tile * factor + GAP
    sheet = np.empty((rows * down - GAP, columns * across - GAP, 3), dtype=np.uint8)
    sheet[:] = LINE
    for place in range(count):
        top, left = place // columns * down, place % columns * across
        sheet[top : top + height * factor, left : left + tile * factor] = pixels[place].repeat(factor, axis=0).repeat(factor, axis=1)
    return sheet


def encode_png(pixels: Pixels) -> bytes:
    """A PNG file of uint8 pixels (H, W, 3)."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    return buffer.getvalue()


def show_sheet(artifact: queries.ArtifactRecord, caption: str, *, width: int, most: int | None = None) -> None:
    """One contact sheet, or its first ``most`` samples."""
    try:
        png, grey = _sheet(artifact.sha256, width, most, artifact)
    except FileNotFoundError:
        st.caption(f"{caption}: the file `{artifact.path}` is gone.")
        return
    if grey and _is_broken(artifact):
        caption += ": not finite (NaN), drawn grey"
    part = f" ({most} of {artifact.shape[0]})" if most and artifact.shape[0] > most else ""
    st.image(png, caption=caption + part, output_format="PNG", width="content", alt=f"{artifact.kind} samples of step {artifact.step}")


def show_strip(artifacts: Sequence[queries.ArtifactRecord], *, width: int) -> None:
    """Small sheets side by side, as many as fit."""
    with st.container(horizontal=True, gap="medium"):
        for artifact in artifacts:
            what = "real, missing, " if artifact.kind == "missing" else ""
            show_sheet(artifact, f"{what}step {artifact.step:,}", width=width, most=STRIP)


@st.cache_data(max_entries=400, show_spinner=False)
def _sheet(sha256: str, width: int, most: int | None, _artifact: queries.ArtifactRecord) -> tuple[bytes, bool]:  # noqa: ARG001  # the key of the cache
    samples = queries.read_samples(open_shown_store(), _artifact)[:most]
    return encode_png(arrange(samples, width)), bool((samples == NAN).all())


def _is_broken(artifact: queries.ArtifactRecord) -> bool:
    """Whether an incident says that values were not finite at that step; the grey alone may be the generator's own."""
    return any(
        one.code in NUMERICS and one.onset <= artifact.step and (one.resolved is None or artifact.step <= one.resolved)
        for one in queries.incidents(open_shown_store(), artifact.run)
    )
