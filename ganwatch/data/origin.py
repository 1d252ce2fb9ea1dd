"""Origin of exported samples in the text of a PNG file: which run or checkpoint made them, and that they are generated."""

from __future__ import annotations

import io
from collections.abc import Mapping

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from ganwatch.core.clean_text import terminal_text

GENERATED, MEASURED = "trainedAlgorithmicMedia", "digitalCapture"
"""Digital source types of the IPTC for samples of a trained model, and for real ones."""
PREFIX = "ganwatch."
"""Beginning of the keywords that are ganwatch's own: run, step, checkpoint."""


def encode_png(image: Image.Image, *, is_generated: bool, **facts: object) -> bytes:
    """Return an image as a PNG file that says where it comes from.

    Parameters
    ----------
    image : Image
    is_generated : bool
        True for samples of a model, False for real ones.
    **facts
        ``run``, ``step`` or ``checkpoint``; None is left out.

    Examples
    --------
    >>> read_origin(encode_png(Image.new("L", (1, 1)), is_generated=True, run="a1", step=3, checkpoint=None))
    {'Source': 'trainedAlgorithmicMedia', 'run': 'a1', 'step': '3'}
    """
    text, buffer = PngInfo(), io.BytesIO()
    text.add_text("Source", GENERATED if is_generated else MEASURED)
    for name, value in facts.items():
        if value is not None:
            text.add_itxt(PREFIX + name, terminal_text(value))
    image.save(buffer, format="PNG", pnginfo=text)
    return buffer.getvalue()


def read_origin(png: bytes) -> Mapping[str, str]:
    """Return what ``encode_png`` wrote: ``Source``, and the other facts by their names."""
    with Image.open(io.BytesIO(png)) as image:
        texts = getattr(image, "text", {})
    return {name.removeprefix(PREFIX): str(value) for name, value in texts.items() if name == "Source" or name.startswith(PREFIX)}
