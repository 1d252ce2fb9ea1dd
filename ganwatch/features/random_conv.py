"""A small convolutional network with random weights, the same on every machine."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, avg_pool2d, conv2d

from ganwatch.features.extractor import Batch, weights_hash
from ganwatch.features.preprocessing import Preprocessing

WIDTHS = (3, 32, 32, 32)
QUARTERS = 2
COLOUR = 0.3
"""Weight of the colours, without which a shift of brightness would hardly show, and with more of which little else would."""
BITS = 24
PREPROCESSING = Preprocessing(size=32, channels=3)


class RandomConv:
    """Random features: how strongly filters of an untrained network respond, averaged over the four quarters of an image.

    Three 3x3 convolutions whose filters sum to zero, each followed by the absolute value and by averaging over 2x2 places, as in a
    scattering transform, but random. Features are the means over each quarter of the last layer and, with a weight of 0.3, of the image
    itself: few enough for small samples, and enough to tell where things are.

    Parameters
    ----------
    seed : int
        Decides the weights.
    preprocessing : Preprocessing
        Of images; size and channels default to 32 and 3.

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
    dim: int | None = (WIDTHS[0] + WIDTHS[-1]) * QUARTERS * QUARTERS

    def __init__(self, seed: int = 0, preprocessing: Preprocessing = PREPROCESSING) -> None:
        self.seed = seed
        self.preprocessing = replace(preprocessing, size=preprocessing.size or PREPROCESSING.size, channels=PREPROCESSING.channels)
        self.weights = draw_weights(seed)

    @torch.no_grad()
    def __call__(self, samples: Batch) -> Tensor:
        """Features ``(N, 140)`` of images."""
        images = self.preprocessing(samples)
        colours = COLOUR * adaptive_avg_pool2d(images, QUARTERS)
        for weight, bias in self.weights:
            images = avg_pool2d(conv2d(images, weight.to(images.device), bias.to(images.device), padding=1).abs(), 2)
        return torch.cat((colours, adaptive_avg_pool2d(images, QUARTERS)), 1).flatten(1)

    def provenance(self) -> dict[str, Any]:
        """Name, seed, hash of the weights, and preprocessing."""
        named = ((f"{layer}.{place}", tensor) for layer, pair in enumerate(self.weights) for place, tensor in enumerate(pair))
        return {
            "name": self.name,
            "seed": self.seed,
            "weights": weights_hash(named),
            "preprocessing": self.preprocessing.as_dict(),
            "torch": torch.__version__,
        }


def draw_weights(seed: int) -> list[tuple[Tensor, Tensor]]:
    """Uniform weights, less the mean of each filter, and biases in [-0.5, 0.5), the same to the last bit on every machine.

    From whole numbers of a counter-based generator (Philox), which are the same in all versions of NumPy, as its distributions are not;
    sums of whole numbers do not depend on their order.
    """
    stream = np.random.Philox(key=seed)

    def whole(count: int) -> NDArray[np.int64]:
        raw: NDArray[np.uint64] = stream.random_raw(count)
        drawn: NDArray[np.int64] = (raw >> np.uint64(64 - BITS)).astype(np.int64) - 2 ** (BITS - 1)
        return drawn

    layers = []
    for width, wider in itertools.pairwise(WIDTHS):
        size = width * 9
        filters = whole(wider * size).reshape(wider, size)
        centred = filters * size - filters.sum(1, keepdims=True)
        scale = math.sqrt(3.0 * 2.0 / size) / (size * 2.0 ** (BITS - 1))
        weight = torch.from_numpy((centred * scale).astype(np.float32)).reshape(wider, width, 3, 3)
        layers.append((weight, torch.from_numpy((whole(wider) * 2.0**-BITS).astype(np.float32))))
    return layers
