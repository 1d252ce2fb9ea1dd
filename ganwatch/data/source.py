"""Items by index, whatever the data are: never through an iterator of the user's."""

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
    """The data can only be iterated, which would consume them or move random state."""


@dataclass(frozen=True, slots=True)
class Item:
    """One item as an array, with its label and, for an image file, the mode of its pixels and how many frames it has."""

    array: NDArray[Any]
    label: int | str | None = None
    mode: str = ""
    frames: int = 1


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
    batch_size : int or None
        Of the DataLoader that was given.
    files : bool
        Items are image files, whose 8-bit pixels a loader will rescale.
    weighted : bool
        A sampler draws with weights, so that labels do not come as often as they are stored.
    values : (low, high) or None
        Range that values are known to lie in; None where the data do not say.
    """

    name: str
    size: int
    read: Callable[[int], Item]
    where: Callable[[int], int | str] = int
    labels: Sequence[int | str] | None = None
    classes: tuple[int | str, ...] = ()
    batch_size: int | None = None
    files: bool = False
    weighted: bool = False
    values: tuple[float, float] | None = None


def to_array(value: Any) -> NDArray[Any]:
    """An item as an array of at least one axis; 16-bit floats become 32-bit.

    Raises
    ------
    TypeError
        It does not hold real numbers.
    """
    if is_tensor(value):
        value = value.detach().cpu()
        array: NDArray[Any] = (value.float() if value.dtype.itemsize == 2 and value.is_floating_point() else value).numpy()
    else:
        array = np.asarray(value)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"an item must hold real numbers, got {type(value).__name__} of dtype {array.dtype}")
    return array.reshape(1) if array.ndim == 0 else array


def channels_first(item: NDArray[Any]) -> NDArray[Any] | None:
    """An image as (C, H, W), or None where the item is not an image: fewer than two axes, more than three, or no channel axis.

    >>> channels_first(np.zeros((8, 8))).shape, channels_first(np.zeros((8, 8, 3))).shape, channels_first(np.zeros(2))
    ((1, 8, 8), (3, 8, 8), None)
    """
    if item.ndim == 2:  # height and width
        return item[None]
    if item.ndim != 3:  # with channels
        return None
    if item.shape[0] in _CHANNELS:
        return item
    return np.moveaxis(item, -1, 0) if item.shape[-1] in _CHANNELS else None


def as_label(value: Any) -> int | str | None:
    """A class as an int or a string; None for what is no class, such as a second image or a real number."""
    if value is None or isinstance(value, str):
        return value
    if getattr(value, "ndim", 0) or getattr(value, "size", 1) == 0 or not hasattr(value, "__int__"):
        return None
    return int(value) if float(value).is_integer() else None


def is_tensor(value: Any) -> bool:
    """Whether it is a tensor of torch, which is not imported for the answer."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)
