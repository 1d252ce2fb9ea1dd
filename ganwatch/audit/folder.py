"""Image files below a folder."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np

from ganwatch.audit.source import Item, Source
from ganwatch.errors import UserError

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm"})
_AS_THEY_ARE = frozenset({"L", "RGB", "RGBA", "I;16", "I", "F"})


def open_folder(path: Path, argument: str = "data") -> Source:
    """The images below a folder, sorted by path. Where each lies in a subfolder, the first subfolder's name is its label.

    Raises
    ------
    UserError
        There is no image below the folder.
    """
    files = sorted(file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES and file.is_file() and not file.name.startswith("."))
    if not files:
        raise UserError(f"{argument} must be a folder with images ({', '.join(sorted(SUFFIXES))}), got none below {str(path)!r}")
    parts = [file.relative_to(path).parts for file in files]
    grouped = all(len(part) > 1 for part in parts) and len({part[0] for part in parts}) > 1
    labels = [part[0] for part in parts] if grouped else None
    classes = tuple(sorted(child.name for child in path.iterdir() if child.is_dir() and not child.name.startswith("."))) if grouped else ()

    def read(index: int) -> Item:
        from PIL import Image

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what Pillow remarks about metadata is not about pixels
            with Image.open(files[index]) as image:
                image.load()
                mode = image.mode
                pixels = image if mode in _AS_THEY_ARE else image.convert("L" if mode == "1" else "RGBA" if mode == "LA" else "RGB")
                return Item(np.asarray(pixels), labels[index] if labels else None, mode)

    return Source(str(path), len(files), read, lambda index: str(files[index]), labels, classes, files=True)
