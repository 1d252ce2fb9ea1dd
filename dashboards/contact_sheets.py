"""Contact sheets on the screen: enlarged by an integer factor, every pixel as it was stored."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
import streamlit as st
from PIL import Image

from ganwatch.store import queries
from ganwatch.store.artifacts import Pixels

from .current_store import MALFORMED, open_current_store
from .escaping import code_span, escape_name, plain_text

GAP = 2
"""Pixels between tiles."""
GAP_COLOUR = (110, 150, 190)
"""Colour between tiles. No grey sample has it."""
NAN_GREY = 128
"""Grey value of NaN in a stored sample."""
NONFINITE_CODES = {"GW303", "GW502"}
"""Codes of incidents about values that are not finite."""
MAX_FACTOR = 16
"""Largest factor of enlargement."""
MAX_STRIP_SAMPLES = 36
"""Number of samples per sheet in a strip."""


def enlarge_tiles(pixels: Pixels, width: int) -> Pixels:
    """Arrange tiles in a square, enlarged by the largest integer factor that fits, with lines between them.

    Parameters
    ----------
    pixels : uint8 array of shape (N, H, W, C)
    width : int, pixels
        Width on the screen. Tiles are never shrunk: the result is wider if a single tile is.

    Returns
    -------
    uint8 array of shape (H', W', 3)

    Examples
    --------
    >>> tiles = np.arange(4, dtype=np.uint8).reshape(4, 1, 1, 1)
    >>> enlarge_tiles(tiles, width=4)[..., 0].tolist()
    [[0, 110, 110, 1], [110, 110, 110, 110], [110, 110, 110, 110], [2, 110, 110, 3]]
    """
    count, height, tile, _ = pixels.shape
    columns = max(1, min(int(np.ceil(np.sqrt(count))), (width + GAP) // (tile + GAP)))
    factor = min(MAX_FACTOR, max(1, (width - GAP * (columns - 1)) // (columns * tile)))
    rows = -(-count // columns)
    down, across = height * factor + GAP, tile * factor + GAP
    sheet = np.empty((rows * down - GAP, columns * across - GAP, 3), dtype=np.uint8)
    sheet[:] = GAP_COLOUR
    for place in range(count):
        top, left = place // columns * down, place % columns * across
        sheet[top : top + height * factor, left : left + tile * factor] = pixels[place].repeat(factor, axis=0).repeat(factor, axis=1)
    return sheet


def encode_png(pixels: Pixels) -> bytes:
    """Encode uint8 pixels (H, W, 3) as a PNG file."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    return buffer.getvalue()


def show_contact_sheet(artifact: queries.ArtifactRecord, caption: str, *, width: int, max_samples: int | None = None) -> None:
    """Draw a contact sheet, or its first ``max_samples`` samples."""
    try:
        png, grey = _enlarged_png(artifact.sha256, width, max_samples, artifact)
    except FileNotFoundError:
        st.caption(f"{escape_name(caption)}: the file {code_span(artifact.path)} is gone.")
        return
    except (OSError, Image.DecompressionBombError, *MALFORMED) as error:
        reason = escape_name(f"{type(error).__name__}: {error}")
        st.caption(f"{escape_name(caption)}: the file {code_span(artifact.path)} cannot be read as samples ({reason}).")
        return
    if grey and _is_nonfinite(artifact):
        caption += ": not finite (NaN), drawn in grey"
    part = f" ({max_samples} of {artifact.shape[0]})" if max_samples and artifact.shape[0] > max_samples else ""
    alt = plain_text(f"{artifact.kind} samples of step {artifact.step}")
    st.image(png, caption=escape_name(caption + part), output_format="PNG", width="content", alt=alt)


def show_strip(artifacts: Sequence[queries.ArtifactRecord], *, width: int) -> None:
    """Draw small sheets side by side, as many as fit."""
    with st.container(horizontal=True, gap="medium"):
        for artifact in artifacts:
            prefix = "real, missing, " if artifact.kind == "missing" else ""
            show_contact_sheet(artifact, f"{prefix}step {artifact.step:,}", width=width, max_samples=MAX_STRIP_SAMPLES)


@st.cache_data(max_entries=400, show_spinner=False)
def _enlarged_png(sha256: str, width: int, max_samples: int | None, _artifact: queries.ArtifactRecord) -> tuple[bytes, bool]:  # noqa: ARG001  # the key of the cache
    samples = queries.read_samples(open_current_store(), _artifact)[:max_samples]
    return encode_png(enlarge_tiles(samples, width)), bool((samples == NAN_GREY).all())


def _is_nonfinite(artifact: queries.ArtifactRecord) -> bool:
    """Return True if an incident reports non-finite values at that step. Grey alone may be the generator's own output."""
    return any(
        one.code in NONFINITE_CODES and one.onset <= artifact.step and (one.resolved is None or artifact.step <= one.resolved)
        for one in queries.incidents(open_current_store(), artifact.run)
    )
