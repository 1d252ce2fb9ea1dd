"""A small convolutional network with random weights, the same on every machine."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, avg_pool2d, conv2d, relu

from ganwatch.features.extractor import Batch, weights_hash
from ganwatch.features.preprocessing import Preprocessing

WIDTHS = (3, 32, 32, 32)
GRID = 2
PREPROCESSING = Preprocessing(size=32, channels=3)


class RandomConv:
    """Random features: what the filters of an untrained network see, averaged over places.

    Three 3x3 convolutions with rectifiers, each followed by averaging over 2x2 places. Features are the means of the last layer over the
    four quarters of the image: few enough for small samples, and enough to tell where things are. Wider layers and the means of earlier
    ones were no better.

    Parameters
    ----------
    seed : int
        Decides the weights.
    preprocessing : Preprocessing
        Of images; size and channels default to 32 and 3.

    References
    ----------
    Naeem et al., "Reliable Fidelity and Diversity Metrics for Generative Models", 2020, arXiv 2002.09797, use networks with random
    weights where data are far from ImageNet.

    Examples
    --------
    >>> tuple(RandomConv()(torch.zeros(5, 1, 8, 8)).shape)
    (5, 128)
    """

    name = "random-conv"
    dim: int | None = WIDTHS[-1] * GRID * GRID

    def __init__(self, seed: int = 0, preprocessing: Preprocessing = PREPROCESSING) -> None:
        self.seed = seed
        self.preprocessing = replace(preprocessing, size=preprocessing.size or PREPROCESSING.size, channels=PREPROCESSING.channels)
        self.weights = draw_weights(seed)

    @torch.no_grad()
    def __call__(self, samples: Batch) -> Tensor:
        """Features ``(N, 128)`` of images."""
        images = self.preprocessing(samples)
        for weight, bias in self.weights:
            images = avg_pool2d(relu(conv2d(images, weight.to(images.device), bias.to(images.device), padding=1)), 2)
        return adaptive_avg_pool2d(images, GRID).flatten(1)

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
    """Uniform weights and biases that keep the scale of the signal, from the raw numbers of a counter-based generator (Philox).

    Raw numbers are the same in all versions of NumPy, which its distributions are not.
    """
    stream = np.random.Philox(key=seed)

    def uniform(count: int) -> Tensor:
        raw = stream.random_raw(count) >> np.uint64(11)
        return torch.from_numpy((raw * 2.0**-52 - 1.0).astype(np.float32))  # in [-1, 1)

    layers = []
    for width, wider in itertools.pairwise(WIDTHS):
        weight = uniform(wider * width * 9).reshape(wider, width, 3, 3) * math.sqrt(3.0 * 2.0 / (width * 9))
        layers.append((weight, uniform(wider) * 0.5))
    return layers
