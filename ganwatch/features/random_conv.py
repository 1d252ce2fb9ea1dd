"""A small convolutional network with random weights, the same on every machine."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, avg_pool2d, conv2d

from ganwatch.features.extractor import Batch, NamedExtractor, weights_hash
from ganwatch.features.preprocessing import Preprocessing

WIDTHS = (3, 32, 32, 32)
PARTS_PER_SIDE = 2
"""Parts of each side of an image over which responses are averaged."""
COLOUR_WEIGHT = 0.3
"""Weight of the colours: without them a shift of brightness hardly shows, with more of them little else does."""
BITS = 24
"""Bits of each random number."""
PREPROCESSING = Preprocessing(size=32, channels=3)


class RandomConv(NamedExtractor):
    """Random features: responses of the filters of an untrained network, averaged over the four quarters of an image.

    Three 3x3 convolutions whose filters sum to zero, each followed by the absolute value and by averaging over 2x2 pixels, as in a
    scattering transform, but random. Features are the means over each quarter of the last layer and, with a weight of 0.3, of the image
    itself: few enough for small samples, and enough to show where things are.

    Parameters
    ----------
    seed : int
        Seed of the weights.
    preprocessing : Preprocessing
        Preprocessing of images; size and channels default to 32 and 3.

    References
    ----------
    Bruna and Mallat, "Invariant Scattering Convolution Networks", 2013, arXiv 1203.1513; Naeem et al., "Reliable Fidelity and Diversity
    Metrics for Generative Models", 2020, arXiv 2002.09797, use networks with random weights where data are far from ImageNet.

    Examples
    --------
    >>> tuple(RandomConv()(torch.zeros(5, 1, 8, 8)).shape)
    (5, 140)
    """

    name = "random-conv"
    dim: int | None = (WIDTHS[0] + WIDTHS[-1]) * PARTS_PER_SIDE * PARTS_PER_SIDE

    def __init__(self, seed: int = 0, preprocessing: Preprocessing = PREPROCESSING) -> None:
        self.seed = seed
        self.preprocessing = replace(preprocessing, size=preprocessing.size or PREPROCESSING.size, channels=PREPROCESSING.channels)
        self.weights = draw_weights(seed)

    @classmethod
    def build(cls, preprocessing: Preprocessing, seed: int) -> Self:
        return cls(seed, preprocessing)

    @torch.no_grad()
    def __call__(self, samples: Batch) -> Tensor:
        """Return features ``(N, 140)`` of images."""
        images = self.preprocessing(samples)
        colours = COLOUR_WEIGHT * adaptive_avg_pool2d(images, PARTS_PER_SIDE)
        for weight, bias in self.weights:
            images = avg_pool2d(conv2d(images, weight.to(images.device), bias.to(images.device), padding=1).abs(), 2)
        return torch.cat((colours, adaptive_avg_pool2d(images, PARTS_PER_SIDE)), 1).flatten(1)

    def provenance(self) -> dict[str, Any]:
        """Return the name, seed, hash of the weights, and preprocessing."""
        named = ((f"{layer}.{index}", tensor) for layer, pair in enumerate(self.weights) for index, tensor in enumerate(pair))
        return {
            "name": self.name,
            "seed": self.seed,
            "weights": weights_hash(named),
            "preprocessing": self.preprocessing.as_dict(),
            "torch": torch.__version__,
        }


def draw_weights(seed: int) -> list[tuple[Tensor, Tensor]]:
    """Draw uniform weights, less the mean of each filter, and biases in [-0.5, 0.5), the same to the last bit on every machine.

    They come from integers of a counter-based generator (Philox), which are the same in all versions of NumPy; its distributions are not.
    Sums of integers do not depend on their order.
    """
    stream = np.random.Philox(key=seed)

    def draw_integers(count: int) -> NDArray[np.int64]:
        raw: NDArray[np.uint64] = stream.random_raw(count)
        drawn: NDArray[np.int64] = (raw >> np.uint64(64 - BITS)).astype(np.int64) - 2 ** (BITS - 1)
        return drawn

    layers = []
    for width, wider in itertools.pairwise(WIDTHS):
        size = width * 9
        filters = draw_integers(wider * size).reshape(wider, size)
        centred = filters * size - filters.sum(1, keepdims=True)
        scale = math.sqrt(3.0 * 2.0 / size) / (size * 2.0 ** (BITS - 1))
        weight = torch.from_numpy((centred * scale).astype(np.float32)).reshape(wider, width, 3, 3)
        layers.append((weight, torch.from_numpy((draw_integers(wider) * 2.0**-BITS).astype(np.float32))))
    return layers
