"""Arrays and tensors, in memory or in NumPy files without pickled objects."""

from __future__ import annotations

from pathlib import Path
from typing import IO, Any

import numpy as np

from ganwatch.core.errors import UserError
from ganwatch.data.source import ITEM_KEYS, LABEL_KEYS, Item, Source, to_array, to_label

SUFFIXES = (".npy", ".npz")


def open_arrays(items: Any, labels: Any, name: str, argument: str, *, value_range: tuple[float, float] | None = None) -> Source:
    """Open the rows of an array or a tensor as items, with one label each where there are labels."""
    if items.ndim == 0:
        raise UserError(f"{argument} must have a first axis that counts items, got a single number")
    if isinstance(items, np.ndarray) and items.dtype.kind not in "biuf":
        raise UserError(f"{argument} must hold real numbers, got dtype {items.dtype}")
    classes: list[int | str] | None = None
    if labels is not None:
        if len(labels) != len(items):
            raise UserError(f"{argument} must have one label an item, got {len(items)} items and {len(labels)} labels")
        plain = [to_label(label) for label in labels]
        classes = None if any(label is None for label in plain) else [label for label in plain if label is not None]

    def read(index: int) -> Item:
        return Item(to_array(items[index]), classes[index] if classes else None)

    return Source(name, len(items), read, labels=classes, value_range=value_range)


def open_file(file: Path | IO[bytes], name: str, argument: str) -> Source:
    """Open the array of an ``.npy`` file, or the array and labels of an ``.npz`` file.

    An ``.npy`` file that is given by its path is mapped into memory, so its values stay on disk.

    Raises
    ------
    UserError
        The file is no NumPy file, holds pickled objects, or has no array under a name of ``ITEM_KEYS``.
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
