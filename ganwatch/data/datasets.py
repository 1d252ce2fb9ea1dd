"""Data sets and loaders of torch, sequences, and what is importable by name."""

from __future__ import annotations

import copy
import importlib
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ganwatch.core.errors import UserError
from ganwatch.data.arrays import open_arrays
from ganwatch.data.images import of_pillow
from ganwatch.data.source import ITEM_KEYS, LABEL_KEYS, Item, NotIndexableError, Source, as_label, is_tensor, to_array

_ACCEPTED = "a torch Dataset, DataLoader or tensor, a NumPy array, a folder of images, an .npy or .npz file, or 'digits'"


def open_loader(loader: Any, argument: str) -> Source:
    """The data set of a loader. ``prepare``, where a loader has it, is applied to samples as the loader does (``trainer.data.Batches``)."""
    source = open_dataset(loader.dataset, argument)
    sampler: Any = getattr(loader, "sampler", None)
    kind = type(sampler).__name__
    rows = [int(row) for row in sampler.indices] if kind == "SubsetRandomSampler" else range(source.size)
    prepare = getattr(loader, "prepare", None)

    def read(index: int) -> Item:
        item = source.read(rows[index])
        return item if prepare is None else replace(item, array=_prepared(prepare, item.array))

    weighted = kind == "WeightedRandomSampler"
    return replace(
        source,
        size=len(rows),
        read=read,
        where=lambda index: source.where(rows[index]),
        labels=None,
        batch_size=loader.batch_size,
        weighted=weighted,
    )


def _prepared(prepare: Callable[[Any], Any], array: NDArray[Any]) -> NDArray[Any]:
    import torch

    return to_array(prepare(torch.from_numpy(array.copy())[None])[0])


def open_dataset(dataset: Any, argument: str) -> Source:
    """A data set or a sequence of known length, read on a shallow copy."""
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
    if isinstance(dataset, np.ndarray) or is_tensor(dataset):
        return open_arrays(dataset, None, type(dataset).__name__, argument)
    view = _detached(dataset)
    classes = getattr(dataset, "classes", None)
    declared = tuple(range(len(classes))) if isinstance(classes, list | tuple) else ()
    return Source(type(dataset).__name__, size, lambda index: split(view[index]), classes=declared)


def _detached(dataset: Any) -> Any:
    """A shallow copy, so that handles and counters which reading sets up (an HDF5 file, opened by each worker) stay off the original."""
    if isinstance(dataset, list | tuple) or hasattr(type(dataset), "__del__"):
        return dataset
    try:
        view = copy.copy(dataset)
        inner = vars(view).get("dataset")
        if inner is not None:
            view.dataset = _detached(inner)
        several = vars(view).get("datasets")
        if isinstance(several, list):
            view.datasets = [_detached(part) for part in several]
    except Exception:  # noqa: BLE001  # a data set that cannot be copied is read as it is
        return dataset
    return view


def split(value: Any) -> Item:
    """The item and the label in what a data set returned: an array, an image, a pair or a mapping.

    Of several arrays the one with the most values is the item, because what stands beside a sample (a label, a condition, a mask) is
    smaller; of equally large ones the last, because the target follows its condition.

    Raises
    ------
    TypeError
        There is no array in it.

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
        chosen = max(range(len(value)), key=lambda place: (_values(value[place]), place if _values(value[place]) else -place))
        others = (part for place, part in enumerate(value) if place != chosen)
        label = next((part for part in others if as_label(part) is not None), None)
        value = value[chosen]
    if hasattr(value, "convert") and hasattr(value, "mode"):
        return of_pillow(value, as_label(label))
    return Item(to_array(value), as_label(label))


def _values(part: Any) -> int:
    """How many an array or an image holds."""
    if hasattr(part, "convert") and hasattr(part, "mode"):
        return int(part.width * part.height * len(part.getbands()))
    return math.prod(part.shape) if getattr(part, "ndim", 0) else 0


def import_dataset(target: str, argument: str = "source") -> Any:
    """The data set at ``package.module:attribute``, called first where it is a callable.

    Raises
    ------
    UserError
        Nothing can be imported from there, or it is no data set that can be read by index.
    """
    module, _, attribute = target.partition(":")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise UserError(f"{argument} must name an importable package.module:attribute, got {target!r}: {error}") from error
    kind = _torch_data("Dataset")
    ready = isinstance(found, Sequence | np.ndarray) or (kind is not None and isinstance(found, kind))
    dataset = found if ready or not callable(found) else found()
    if not hasattr(dataset, "__len__") or not hasattr(dataset, "__getitem__"):
        raise UserError(f"{argument} must give a dataset with __len__ and __getitem__, got {type(dataset).__name__} from {target!r}")
    return dataset


def _torch_data(name: str) -> Any:
    torch = sys.modules.get("torch")
    return getattr(torch.utils.data, name) if torch is not None else None
