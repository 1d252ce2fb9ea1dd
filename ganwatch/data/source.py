"""Access to the items of any data by index, never through an iterator of the user's."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

ITEM_KEYS = ("image", "images", "pixel_values", "img", "x", "X", "data", "input", "inputs", "arr_0")
LABEL_KEYS = ("label", "labels", "y", "target", "targets", "class")
_CHANNELS = (1, 2, 3, 4)


class NotIndexableError(Exception):
    """The data can only be iterated, which would consume them or change random state."""


@dataclass(frozen=True, slots=True)
class Item:
    """One item as an array, with its label and, for an image file, Pillow's mode of its pixels and if it has several frames."""

    array: NDArray[Any]
    label: int | str | None = None
    pixel_mode: str = ""
    is_animated: bool = False


@dataclass(frozen=True, slots=True)
class Source:
    """Items by index.

    Parameters
    ----------
    name : str
        Name of the data, for people.
    size : int
        Items in the data.
    read : callable
        Index to ``Item``; any exception means that the item is unreadable.
    locate : callable
        Index to the location that a person knows: the index itself, or a path.
    labels : sequence or None
        Every label, if they are known without reading the items.
    classes : tuple of int or str
        Declared labels, which may have no items.
    batch_size : int or None
        Batch size of the DataLoader, if the data came as one.
    files : bool
        True if items are image files, whose 8-bit pixels a loader will rescale.
    weighted : bool
        True if a sampler draws with weights, so that labels come more or less often than they are stored.
    value_range : (low, high) or None
        Range that values are known to lie in; None where the data give none.
    """

    name: str
    size: int
    read: Callable[[int], Item]
    locate: Callable[[int], int | str] = int
    labels: Sequence[int | str] | None = None
    classes: tuple[int | str, ...] = ()
    batch_size: int | None = None
    files: bool = False
    weighted: bool = False
    value_range: tuple[float, float] | None = None


def to_array(value: Any) -> NDArray[Any]:
    """Return an item as an array of at least one axis; 16-bit floats become 32-bit.

    Raises
    ------
    TypeError
        The item does not hold real numbers.
    """
    if is_tensor(value):
        value = value.detach().cpu()
        array: NDArray[Any] = (value.float() if value.dtype.itemsize == 2 and value.is_floating_point() else value).numpy()
    else:
        array = np.asarray(value)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"an item must hold real numbers, got {type(value).__name__} of dtype {array.dtype}")
    return array.reshape(1) if array.ndim == 0 else array


def to_channels_first(item: NDArray[Any]) -> NDArray[Any] | None:
    """Return an image as (C, H, W), or None if the item is no image: fewer than two axes, more than three, or no channel axis.

    >>> to_channels_first(np.zeros((8, 8))).shape, to_channels_first(np.zeros((8, 8, 3))).shape, to_channels_first(np.zeros(2))
    ((1, 8, 8), (3, 8, 8), None)
    """
    if item.ndim == 2:  # height and width
        return item[None]
    if item.ndim != 3:  # with channels
        return None
    if item.shape[0] in _CHANNELS:
        return item
    return np.moveaxis(item, -1, 0) if item.shape[-1] in _CHANNELS else None


def to_label(value: Any) -> int | str | None:
    """Return a class as an int or a string; None for a value that is no class, such as a second image or a real number."""
    if value is None or isinstance(value, str):
        return value
    if getattr(value, "ndim", 0) or getattr(value, "size", 1) == 0 or not hasattr(value, "__int__"):
        return None
    return int(value) if float(value).is_integer() else None


def is_tensor(value: Any) -> bool:
    """Return True if the value is a tensor; torch is not imported to find out."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)
