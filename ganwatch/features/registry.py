"""Extractors by name."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable
from pathlib import Path

from ganwatch.core.errors import UserError
from ganwatch.features.extractor import Extractor
from ganwatch.features.preprocessing import Preprocessing

NAMES = ("random-conv", "pretrained", "identity")
DEFAULT = "random-conv"
"""For images, by the table in docs/feature-extractors.md; vectors are their own features."""
RULE = f"{', '.join(NAMES)}, a program as FILE.pt2@SHA256 or URL@SHA256, or package.module:attribute"
_PROGRAMS = (".pt2", ".pt", ".ts", ".pth", ".jit")


ExtractorSpec = str | Callable[[tuple[float, float]], Extractor] | None
"""A name, or what makes an extractor for the range of floating-point samples."""


def extractor(
    name: ExtractorSpec = None, *, vectors: bool = False, size: int | None = None, given: tuple[float, float] = (-1.0, 1.0), seed: int = 0
) -> Extractor:
    """The extractor of that name.

    Parameters
    ----------
    name : str, callable or None
        ``random-conv``, ``pretrained``, ``identity``, ``FILE@SHA256`` or ``URL@SHA256`` (an exported program), or
        ``package.module:attribute`` (a callable or module that takes images in [0, 1]). A callable is given the range of floating-point
        samples and makes the extractor. None takes the default.
    vectors : bool
        Whether samples are vectors, for which networks for images are refused.
    size : int or None, pixels
        Side to which images are resized; None takes the extractor's own.
    given : (low, high)
        Range of floating-point samples.
    seed : int
        Of random weights.

    Raises
    ------
    UserError
        There is no such extractor, or it does not fit the samples.

    Examples
    --------
    >>> extractor("random-conv", size=16).provenance()["preprocessing"]["size"]
    16
    >>> extractor(vectors=True).name
    'identity'
    """
    if callable(name):
        return name(given)
    name = name or ("identity" if vectors else DEFAULT)
    if vectors and name in NAMES and name != "identity":
        raise UserError(f"features must be identity, a program or a callable for vectors, got {name!r}, which needs images")
    if name == "identity":
        from ganwatch.features.identity import Identity

        return Identity(Preprocessing(size=size, given=given))
    if name == "random-conv":
        from ganwatch.features.random_conv import RandomConv

        return RandomConv(seed, Preprocessing(size=size, given=given))
    if name == "pretrained":
        from ganwatch.features.pretrained import PretrainedNetwork

        return PretrainedNetwork(Preprocessing(size=size, given=given))
    location, _, sha256 = name.rpartition("@")
    location, sha256 = (location, sha256) if location else (name, "")
    if "://" in location or location.endswith(_PROGRAMS) or Path(location).is_file():
        from ganwatch.features.exported import ExportedNetwork

        return ExportedNetwork(location, sha256 or None, Preprocessing(size=size, given=given, wanted=(0.0, 255.0), channels=3))
    if re.fullmatch(r"[\w.]+:[\w.]+", name):
        return _imported(name, None if vectors else Preprocessing(size=size, given=given, wanted=(0.0, 1.0)))
    raise UserError(f"features must be {RULE}, got {name!r}")


def _imported(name: str, preprocessing: Preprocessing | None) -> Extractor:
    from ganwatch.features.function import CallableExtractor

    module, _, attribute = name.partition(":")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise UserError(f"features must name an importable package.module:attribute, got {name!r}: {error}") from error
    found = found() if isinstance(found, type) else found
    if isinstance(found, Extractor):
        return found
    if not callable(found):
        raise UserError(f"features must name a callable, got {type(found).__name__} at {name!r}")
    return CallableExtractor(found, preprocessing=preprocessing, name=name)
