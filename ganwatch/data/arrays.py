"""Arrays and tensors, in memory or in NumPy files without pickled objects."""

from __future__ import annotations

from pathlib import Path
from typing import IO, Any

import numpy as np

from ganwatch.core.errors import UserError
from ganwatch.data.source import ITEM_KEYS, LABEL_KEYS, Item, Source, as_label, to_array

SUFFIXES = (".npy", ".npz")


def open_arrays(items: Any, labels: Any, name: str, argument: str, *, values: tuple[float, float] | None = None) -> Source:
    """The rows of an array or a tensor, with one label a row where there are labels."""
    if items.ndim == 0:
        raise UserError(f"{argument} must have a first axis that counts items, got a single number")
    if isinstance(items, np.ndarray) and items.dtype.kind not in "biuf":
        raise UserError(f"{argument} must hold real numbers, got dtype {items.dtype}")
    known: list[int | str] | None = None
    if labels is not None:
        if len(labels) != len(items):
            raise UserError(f"{argument} must have one label an item, got {len(items)} items and {len(labels)} labels")
        plain = [as_label(label) for label in labels]
        known = None if any(label is None for label in plain) else [label for label in plain if label is not None]

    def read(index: int) -> Item:
        return Item(to_array(items[index]), known[index] if known else None)

    return Source(name, len(items), read, labels=known, values=values)


def open_file(file: Path | IO[bytes], name: str, argument: str) -> Source:
    """The array of an ``.npy`` file, which stays on disk where it is given by its path, or the array and labels of an ``.npz`` file.

    Raises
    ------
    UserError
        It is no NumPy file, holds pickled objects, or no array under a name that says that it holds the items.
    """
    mapped = isinstance(file, Path) and file.suffix == ".npy"
    try:
        loaded = np.load(file, mmap_mode="r" if mapped else None, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return open_arrays(loaded, None, name, argument)
        with loaded as archive:
            arrays = {key: archive[key] for key in archive.files}
    except UserError:
        raise
    except (OSError, ValueError, EOFError) as error:
        raise UserError(f"{argument} must be a readable NumPy file without pickled objects, got {name!r}: {error}") from error
    key = next((key for key in ITEM_KEYS if key in arrays), None)
    if key is None:
        raise UserError(f"{argument} must hold an array named one of {', '.join(ITEM_KEYS)}, got {', '.join(arrays) or 'none'}")
    labels = next((arrays[key] for key in LABEL_KEYS if key in arrays), None)
    return open_arrays(arrays[key], labels, name, argument)
