"""One way to read items, whatever the data are: by index, never through an iterator of the user's."""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ganwatch.audit.chance import module_generators
from ganwatch.errors import UserError

_ITEM_KEYS = ("image", "images", "pixel_values", "img", "x", "X", "data", "input", "inputs", "arr_0")
_LABEL_KEYS = ("label", "labels", "y", "target", "targets", "class")
_ACCEPTED = "a torch Dataset, DataLoader or tensor, a NumPy array, a folder of images, an .npy or .npz file, or 'digits'"


class NotIndexableError(Exception):
    """The data can only be iterated, which would consume them or move random state."""


@dataclass(frozen=True, slots=True)
class Item:
    """One item as an array, with its label and, for an image file, the mode of its pixels."""

    array: NDArray[Any]
    label: int | str | None = None
    mode: str = ""


@dataclass(frozen=True, slots=True)
class Source:
    """Items by index.

    Parameters
    ----------
    name : str
        For people.
    size : int
        Items there are.
    read : callable
        Index to ``Item``; whatever it raises means that the item is unreadable.
    where : callable
        Index to what a person knows the item by: the index itself, or a path.
    labels : sequence or None
        Every label, where they are known without reading the items.
    classes : tuple of int or str
        Declared labels, which may have no items.
    owners : tuple of object
        What may keep random generators of its own.
    batch_size : int or None
        Of the DataLoader that was given.
    files : bool
        Items are image files, whose 8-bit pixels a loader will rescale.
    weighted : bool
        A sampler draws with weights, so that labels do not come as often as they are stored.
    """

    name: str
    size: int
    read: Callable[[int], Item]
    where: Callable[[int], int | str] = int
    labels: Sequence[int | str] | None = None
    classes: tuple[int | str, ...] = ()
    owners: tuple[object, ...] = ()
    batch_size: int | None = None
    files: bool = False
    weighted: bool = False


def open_source(data: Any, argument: str = "data") -> Source:
    """Make any supported data readable by index.

    Raises
    ------
    UserError
        The data are empty, do not exist, or are of a kind that cannot be read.
    NotIndexableError
        The data can only be iterated.
    """
    source = _open(data, argument)
    if source.size == 0:
        raise UserError(f"{argument} must hold at least one item, got an empty {source.name}")
    return source


def _open(data: Any, argument: str) -> Source:
    if isinstance(data, str | Path):
        return _open_name(data, argument)
    if isinstance(data, np.ndarray) or _is_tensor(data):
        return _open_arrays(data, None, type(data).__name__, argument)
    if isinstance(data, tuple) and len(data) == 2 and all(isinstance(part, np.ndarray) or _is_tensor(part) for part in data):
        return _open_arrays(data[0], data[1], "arrays", argument)
    if hasattr(data, "dataset") and hasattr(data, "batch_size") and not hasattr(data, "__getitem__"):
        return _open_loader(data, argument)
    return _open_dataset(data, argument)


def _open_name(data: str | Path, argument: str) -> Source:
    if data == "digits":
        return _open_digits()
    path = Path(data)
    if not path.exists():
        raise UserError(f"{argument} must be an existing path or 'digits', got {str(data)!r}")
    if path.is_dir():
        from ganwatch.audit.folder import open_folder

        return open_folder(path, argument)
    if path.suffix not in {".npy", ".npz"}:
        raise UserError(f"{argument} must be a folder of images or an .npy or .npz file, got {str(data)!r}")
    try:
        loaded = np.load(path, mmap_mode="r" if path.suffix == ".npy" else None, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return _open_arrays(loaded, None, path.name, argument)
        with loaded as archive:
            arrays = {name: archive[name] for name in archive.files}
    except (OSError, ValueError, EOFError) as error:
        raise UserError(f"{argument} must be a readable NumPy file without pickled objects, got {str(data)!r}: {error}") from error
    name = next((key for key in _ITEM_KEYS if key in arrays), None)
    if name is None:
        raise UserError(f"{argument} must hold an array named one of {', '.join(_ITEM_KEYS)}, got {', '.join(arrays) or 'none'}")
    labels = next((arrays[key] for key in _LABEL_KEYS if key in arrays), None)
    return _open_arrays(arrays[name], labels, path.name, argument)


def _open_digits() -> Source:
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise UserError("data 'digits' needs scikit-learn: pip install 'ganwatch[lightning]'") from error
    digits = load_digits()
    return _open_arrays((digits.images / 8.0 - 1.0).astype(np.float32), digits.target, "digits", "data")


def _open_arrays(items: Any, labels: Any, name: str, argument: str) -> Source:
    if items.ndim == 0:
        raise UserError(f"{argument} must have a first axis that counts items, got a single number")
    if isinstance(items, np.ndarray) and items.dtype.kind not in "biuf":
        raise UserError(f"{argument} must hold real numbers, got dtype {items.dtype}")
    known: list[int | str] | None = None
    if labels is not None:
        if len(labels) != len(items):
            raise UserError(f"{argument} must have one label an item, got {len(items)} items and {len(labels)} labels")
        plain = [_label(label) for label in labels]
        known = None if any(label is None for label in plain) else [label for label in plain if label is not None]

    def read(index: int) -> Item:
        return Item(to_array(items[index]), known[index] if known else None)

    return Source(name, len(items), read, labels=known)


def _open_loader(loader: Any, argument: str) -> Source:
    """The data set of a loader. ``prepare``, where a loader has it, is applied to samples as the loader does (``trainer.data.Batches``)."""
    source = _open_dataset(loader.dataset, argument)
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
        owners=(*source.owners, prepare),
    )


def _prepared(prepare: Callable[[Any], Any], array: NDArray[Any]) -> NDArray[Any]:
    import torch

    return to_array(prepare(torch.from_numpy(array.copy())[None])[0])


def _open_dataset(dataset: Any, argument: str) -> Source:
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
    if isinstance(dataset, np.ndarray) or _is_tensor(dataset):
        return _open_arrays(dataset, None, type(dataset).__name__, argument)
    view = _detached(dataset)
    classes = getattr(dataset, "classes", None)
    declared = tuple(range(len(classes))) if isinstance(classes, list | tuple) else ()
    owners = (dataset, *module_generators(dataset))
    return Source(type(dataset).__name__, size, lambda index: split(view[index]), classes=declared, owners=owners)


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

    Raises
    ------
    TypeError
        There is no array in it.
    """
    label: Any = None
    if isinstance(value, Mapping):
        label = next((value[key] for key in _LABEL_KEYS if key in value), None)
        names = [*(key for key in _ITEM_KEYS if key in value), *value]
        value = next((value[key] for key in names if hasattr(value[key], "shape") or hasattr(value[key], "convert")), None)
    elif isinstance(value, tuple | list) and value and not isinstance(value[0], int | float):
        label = value[1] if len(value) > 1 else None
        value = value[0]
    mode = value.mode if hasattr(value, "convert") and hasattr(value, "mode") else ""
    return Item(to_array(value), _label(label), mode)


def to_array(value: Any) -> NDArray[Any]:
    """An item as an array of at least one axis; 16-bit floats become 32-bit.

    Raises
    ------
    TypeError
        It does not hold real numbers.
    """
    if _is_tensor(value):
        value = value.detach().cpu()
        array: NDArray[Any] = (value.float() if value.dtype.itemsize == 2 and value.is_floating_point() else value).numpy()
    else:
        array = np.asarray(value)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"an item must hold real numbers, got {type(value).__name__} of dtype {array.dtype}")
    return array.reshape(1) if array.ndim == 0 else array


def _label(value: Any) -> int | str | None:
    """A class as an int or a string; None for what is no class, such as a second image or a real number."""
    if value is None or isinstance(value, str):
        return value
    if getattr(value, "ndim", 0) or getattr(value, "size", 1) == 0 or not hasattr(value, "__int__"):
        return None
    return int(value) if float(value).is_integer() else None


def _is_tensor(value: Any) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def _torch_data(name: str) -> Any:
    torch = sys.modules.get("torch")
    return getattr(torch.utils.data, name) if torch is not None else None
