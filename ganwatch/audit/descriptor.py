"""Short description vectors of items, close together for near copies."""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ganwatch.data.source import to_channels_first

IMAGE_SIDE = 12
"""Side, in pixels, to which images are averaged down."""
MAX_LENGTH = 512
"""Length above which vectors are summed in groups."""


def describe(item: NDArray[Any], *, channels: int, side: int) -> NDArray[np.float32]:
    """Describe an item.

    An image is averaged over areas to ``side`` by ``side`` pixels. Its mean is then subtracted and its norm brought to 1, so that
    brightness, contrast, size and compression do not count. Any other item keeps its values, up to 512; longer vectors are summed in 512
    consecutive groups with random signs, which preserves distances in expectation (feature hashing, Weinberger et al. 2009,
    arXiv:0902.2206).

    Parameters
    ----------
    item : (H, W), (C, H, W), (H, W, C) or any other shape
        Finite numbers.
    channels, side : int
        Shape of the description of an image; ``channels`` is 1 or 3.

    Returns
    -------
    ndarray of float32
        ``channels * side * side`` long for an image.
    """
    image = to_channels_first(item)
    if image is None:
        return _hash(item.reshape(-1).astype(np.float64))
    averaged = _resize(_resize(image[:3] if image.shape[0] >= 3 else image[:1], side, 1), side, 2)  # red, green, blue
    colours = averaged.repeat(3, axis=0) if len(averaged) < channels else averaged
    small = (colours if channels > 1 else colours.mean(0)).reshape(-1)
    small = small - small.mean()
    unit: NDArray[np.float32] = (small / max(float(np.linalg.norm(small)), 1e-12)).astype(np.float32)
    return unit


def _resize(image: NDArray[Any], size: int, axis: int) -> NDArray[np.float64]:
    """Average an image along an axis, in double precision; a large one is not converted as a whole."""
    length = image.shape[axis]
    ends = np.arange(size + 1) * length // size
    if length <= size:
        repeated: NDArray[np.float64] = image.take(ends[:-1], axis=axis).astype(np.float64)
        return repeated
    before = (slice(None),) * axis
    return np.stack([image[(*before, slice(low, high))].mean(axis, dtype=np.float64) for low, high in pairwise(ends.tolist())], axis)


def _hash(vector: NDArray[np.float64]) -> NDArray[np.float32]:
    if len(vector) <= MAX_LENGTH:
        return vector.astype(np.float32)
    sums: NDArray[np.float64] = np.add.reduceat(vector * _signs(len(vector)), np.arange(MAX_LENGTH) * len(vector) // MAX_LENGTH)
    return sums.astype(np.float32)


@lru_cache(maxsize=4)
def _signs(length: int) -> NDArray[np.float64]:
    return np.random.default_rng(0).choice(np.array([-1.0, 1.0]), length)
