"""Data sets and loaders of torch, sequences, and data sets by import path."""

from __future__ import annotations

import copy
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ganwatch.core.errors import UserError, show_error
from ganwatch.core.import_path import call_attribute, import_attribute
from ganwatch.data.arrays import open_arrays
from ganwatch.data.images import from_pillow
from ganwatch.data.source import ITEM_KEYS, LABEL_KEYS, Item, NotIndexableError, Source, is_tensor, to_array, to_label

_ACCEPTED = "a torch Dataset, DataLoader or tensor, a NumPy array, a folder of images, an .npy or .npz file, or 'digits'"


def open_loader(loader: Any, argument: str) -> Source:
    """Open the data set of a loader; a loader's ``prepare`` is applied to its samples (``trainer.data.Batches``)."""
    source = open_dataset(loader.dataset, argument)
    sampler: Any = getattr(loader, "sampler", None)
    sampler_name = type(sampler).__name__
    rows = [int(row) for row in sampler.indices] if sampler_name == "SubsetRandomSampler" else range(source.size)
    prepare = getattr(loader, "prepare", None)

    def read(index: int) -> Item:
        item = source.read(rows[index])
        return item if prepare is None else replace(item, array=_apply(prepare, item.array))

    return replace(
        source,
        size=len(rows),
        read=read,
        locate=lambda index: source.locate(rows[index]),
        labels=None,
        batch_size=loader.batch_size,
        weighted=sampler_name == "WeightedRandomSampler",
    )


def _apply(prepare: Callable[[Any], Any], array: NDArray[Any]) -> NDArray[Any]:
    import torch

    return to_array(prepare(torch.from_numpy(array.copy())[None])[0])


def open_dataset(dataset: Any, argument: str) -> Source:
    """Open a data set or a sequence of known length; it is read on a shallow copy."""
    iterable = _torch_data("IterableDataset")
    if iterable is not None and isinstance(dataset, iterable):
        raise NotIndexableError(f"{type(dataset).__name__} can only be iterated, and reading it would consume it")
    if isinstance(dataset, Mapping) or not hasattr(dataset, "__getitem__"):
        if hasattr(dataset, "__iter__") and not isinstance(dataset, Mapping):
            raise NotIndexableError(f"{type(dataset).__name__} can only be iterated, and reading it would consume it")
        raise UserError(f"{argument} must be {_ACCEPTED}, got {type(dataset).__name__}")
    try:
        size = len(dataset)
    except TypeError as error:
        raise NotIndexableError(f"{type(dataset).__name__} has no length") from error
    except Exception as error:
        raise UserError(f"{argument} must have a length, got {type(dataset).__name__}, whose length raises {show_error(error)}") from error
    if isinstance(dataset, np.ndarray) or is_tensor(dataset):
        return open_arrays(dataset, None, type(dataset).__name__, argument)
    view = _shallow_copy(dataset)
    classes = getattr(dataset, "classes", None)
    declared = tuple(range(len(classes))) if isinstance(classes, list | tuple) else ()
    return Source(type(dataset).__name__, size, lambda index: split(view[index]), classes=declared)


def _shallow_copy(dataset: Any) -> Any:
    """Copy a data set, so that reading changes no handle or counter of the original, such as an HDF5 file that each worker opens."""
    if isinstance(dataset, list | tuple) or hasattr(type(dataset), "__del__"):
        return dataset
    try:
        view = copy.copy(dataset)
        inner = vars(view).get("dataset")
        if inner is not None:
            view.dataset = _shallow_copy(inner)
        several = vars(view).get("datasets")
        if isinstance(several, list):
            view.datasets = [_shallow_copy(part) for part in several]
    except Exception:  # noqa: BLE001  # a data set that cannot be copied is read as it is
        return dataset
    return view


def split(value: Any) -> Item:
    """Split the value that a data set returned, an array, an image, a pair or a mapping, into item and label.

    The array with the most values is the item, because a label, a condition or a mask is smaller than its sample. The last one is taken of
    several equally large ones, because the target follows its condition.

    Raises
    ------
    TypeError
        The value holds no array.

    Examples
    --------
    >>> split((np.zeros(4), np.zeros((3, 8, 8)))).array.shape, split((np.zeros((8, 8)), 3)).label
    ((3, 8, 8), 3)
    """
    label: Any = None
    if isinstance(value, Mapping):
        label = next((value[key] for key in LABEL_KEYS if key in value), None)
        names = [*(key for key in ITEM_KEYS if key in value), *value]
        value = next((value[key] for key in names if hasattr(value[key], "shape") or hasattr(value[key], "convert")), None)
    elif isinstance(value, tuple | list) and value and not isinstance(value[0], int | float):
        chosen = max(range(len(value)), key=lambda place: (_count_values(value[place]), place if _count_values(value[place]) else -place))
        others = (part for place, part in enumerate(value) if place != chosen)
        label = next((part for part in others if to_label(part) is not None), None)
        value = value[chosen]
    if hasattr(value, "convert") and hasattr(value, "mode"):
        return from_pillow(value, to_label(label))
    return Item(to_array(value), to_label(label))


def _count_values(part: Any) -> int:
    """Count the values of an array or an image; 0 for anything else."""
    if hasattr(part, "convert") and hasattr(part, "mode"):
        return int(part.width * part.height * len(part.getbands()))
    return math.prod(part.shape) if getattr(part, "ndim", 0) else 0


def import_dataset(target: str, argument: str = "source") -> Any:
    """Import the data set at ``package.module:attribute``; a callable is called first.

    Raises
    ------
    UserError
        The import fails, or gives no data set that can be read by index.
    """
    imported = import_attribute(target, argument)
    base = _torch_data("Dataset")
    is_data = isinstance(imported, Sequence | np.ndarray) or (base is not None and isinstance(imported, base))
    dataset = imported if is_data or not callable(imported) else call_attribute(imported, target, argument)
    if not hasattr(dataset, "__len__") or not hasattr(dataset, "__getitem__"):
        raise UserError(f"{argument} must give a dataset with __len__ and __getitem__, got {type(dataset).__name__} from {target!r}")
    return dataset


def _torch_data(name: str) -> Any:
    torch = sys.modules.get("torch")
    return getattr(torch.utils.data, name) if torch is not None else None
