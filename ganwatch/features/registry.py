"""Extractors by name."""

from __future__ import annotations

import re
from collections.abc import Callable

from ganwatch.core.discovery import discover
from ganwatch.core.errors import UserError
from ganwatch.core.files import exists
from ganwatch.core.import_path import call_attribute, import_attribute
from ganwatch.features.extractor import Extractor, NamedExtractor
from ganwatch.features.preprocessing import Preprocessing

_classes = discover("ganwatch.features", NamedExtractor)  # type: ignore[type-abstract]  # the base is only compared with
NAMED_EXTRACTORS: dict[str, type[NamedExtractor]] = {cls.name: cls for cls in _classes}
"""Extractors that are built by name; every module of ``ganwatch.features`` may define some."""
DEFAULT = "random-conv"
"""Extractor of images, by the table in docs/feature-extractors.md; vectors are their own features."""
RULE = f"{', '.join(NAMED_EXTRACTORS)}, a program as FILE.pt2@SHA256 or URL@SHA256, or package.module:attribute"
_PROGRAM_SUFFIXES = (".pt2", ".pt", ".ts", ".pth", ".jit")


ExtractorSpec = str | Callable[[tuple[float, float]], Extractor] | None
"""A name, or a function that builds an extractor for the range of floating-point samples."""


def make_extractor(
    spec: ExtractorSpec = None,
    *,
    vectors: bool = False,
    size: int | None = None,
    input_range: tuple[float, float] = (-1.0, 1.0),
    seed: int = 0,
    trust: bool = False,
) -> Extractor:
    """Build an extractor by its name.

    Parameters
    ----------
    spec : str, callable or None
        ``random-conv``, ``pretrained``, ``identity``, ``FILE@SHA256`` or ``URL@SHA256`` (an exported program), or
        ``package.module:attribute`` (a callable or module that takes images in [0, 1]). A callable gets the range of floating-point
        samples and returns the extractor. None means the default.
    vectors : bool
        True if samples are vectors; networks for images are then refused.
    size : int or None, pixels
        Side to which images are resized; None takes that of the extractor.
    input_range : (low, high)
        Range of floating-point samples.
    seed : int
        Seed of random weights.
    trust : bool
        True loads a local program without its hash. Loading a program may run code.

    Raises
    ------
    UserError
        There is no such extractor, or it does not fit the samples.

    Examples
    --------
    >>> make_extractor("random-conv", size=16).provenance()["preprocessing"]["size"]
    16
    >>> make_extractor(vectors=True).name
    'identity'
    """
    if callable(spec):
        return spec(input_range)
    name = spec or ("identity" if vectors else DEFAULT)
    if name in NAMED_EXTRACTORS:
        cls = NAMED_EXTRACTORS[name]
        if vectors and not cls.takes_vectors:
            names = ", ".join(name for name, each in NAMED_EXTRACTORS.items() if each.takes_vectors)
            raise UserError(f"features must be {names}, a program or a callable for vectors, got {name!r}, which needs images")
        return cls.build(Preprocessing(size=size, input_range=input_range), seed)
    location, _, sha256 = name.rpartition("@")
    location, sha256 = (location, sha256) if location else (name, "")
    if is_program(location):
        from ganwatch.features.exported import ExportedNetwork

        preprocessing = Preprocessing(size=size, input_range=input_range, output_range=(0.0, 255.0), channels=3)
        return ExportedNetwork(location, sha256 or None, preprocessing, trust=trust)
    if re.fullmatch(r"[\w.]+:[\w.]+", name):
        return _import_extractor(name, None if vectors else Preprocessing(size=size, input_range=input_range, output_range=(0.0, 1.0)))
    raise UserError(f"features must be {RULE}, got {name!r}")


def is_program(location: str) -> bool:
    """Return True if a name, without a hash, is the location of an exported program."""
    return "://" in location or location.endswith(_PROGRAM_SUFFIXES) or exists(location)


def _import_extractor(name: str, preprocessing: Preprocessing | None) -> Extractor:
    from ganwatch.features.function import CallableExtractor

    imported = import_attribute(name, "features")
    imported = call_attribute(imported, name, "features") if isinstance(imported, type) else imported
    if isinstance(imported, Extractor):
        return imported
    if not callable(imported):
        raise UserError(f"features must name a callable, got {type(imported).__name__} at {name!r}")
    return CallableExtractor(imported, preprocessing=preprocessing, name=name)
