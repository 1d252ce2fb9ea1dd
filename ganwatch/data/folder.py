"""Image files below a folder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any

from ganwatch.core.errors import UserError
from ganwatch.core.files import walk_files
from ganwatch.data.images import read_image
from ganwatch.data.source import Item, Source

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm"})


def open_folder(path: Path, argument: str = "data") -> Source:
    """Open the images below a folder, sorted by path; if all lie in subfolders, the first subfolder's name is the label.

    Links to folders are followed.

    Raises
    ------
    UserError
        The folder has no image below it, or a folder cannot be read.
    """
    files = [file for file in walk_files(path, argument) if file.suffix.lower() in SUFFIXES and not file.name.startswith(".")]
    parts = [file.relative_to(path).parts for file in files]
    children = sorted(child.name for child in path.iterdir() if child.is_dir() and not child.name.startswith("."))
    return open_files(files, parts, Path, str(path), argument, folders=tuple(children))


def open_files(
    files: Sequence[Any],
    parts: Sequence[tuple[str, ...]],
    open_one: Callable[[Any], Path | IO[bytes]],
    name: str,
    argument: str,
    *,
    folders: tuple[str, ...] = (),
) -> Source:
    """Open image files, given with the parts of their paths below the folder; ``folders`` are its subfolders, which may be empty."""
    if not files:
        raise UserError(f"{argument} must be a folder with images ({', '.join(sorted(SUFFIXES))}), got none below {name!r}")
    grouped = all(len(part) > 1 for part in parts) and len({part[0] for part in parts}) > 1
    labels = [part[0] for part in parts] if grouped else None

    def read(index: int) -> Item:
        return read_image(open_one(files[index]), labels[index] if labels else None)

    return Source(name, len(files), read, lambda index: str(files[index]), labels, folders if grouped else (), files=True)
