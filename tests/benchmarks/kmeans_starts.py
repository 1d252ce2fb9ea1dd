"""Seeds with which k-means ends in a bad optimum, by the number of its starts, and the time that it takes.

``python tests/benchmarks/kmeans_starts.py`` prints one line for each data set and number of starts. An optimum is bad when its inertia is
more than 1.1 times the lowest that any seed and any number of starts found. Mixtures have Gaussian modes of unit variance, whose centres
are drawn from a wider Gaussian.
"""

from __future__ import annotations

import os
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from sklearn.datasets import load_digits
from torch import Tensor

from ganwatch.metrics.kmeans import assign, kmeans

SEEDS = 40
STARTS = (1, 3, 5, 10)
BAD = 1.1
"""Inertia of a bad optimum, at least, over the lowest that was found."""


def mixture(modes: int, d: int, width: float, n: int = 500) -> Tensor:
    """Draw samples from Gaussians of unit variance whose centres are drawn with standard deviation ``width``: shape (n, d).

    >>> tuple(mixture(10, 6, 8.0).shape)
    (500, 6)
    """
    generator = torch.Generator().manual_seed(0)
    centres = width * torch.randn(modes, d, generator=generator)
    return centres[torch.arange(n) % modes] + torch.randn(n, d, generator=generator)


def grid(n: int = 500) -> Tensor:
    """Draw samples from 25 narrow Gaussians on a square grid: shape (n, 2)."""
    place = torch.arange(n) % 25
    noise = torch.randn(n, 2, generator=torch.Generator().manual_seed(0))
    return 2.0 * torch.stack([place // 5, place % 5], 1) + 0.05 * noise


def data() -> dict[str, tuple[Tensor, int]]:
    """Return samples and the number of clusters, by name."""
    digits = torch.from_numpy(load_digits(return_X_y=True)[0]).float()
    return {
        "digits, 10 clusters": (digits, 10),
        "digits, 50 clusters": (digits[:1000], 50),
        "grid of 25": (grid(), 25),
        "mixture of 10 in 6 dimensions": (mixture(10, 6, 8.0), 10),
        "mixture of 10 in 8 dimensions, overlapping": (mixture(10, 8, 2.0), 10),
        "mixture of 20 in 64 dimensions": (mixture(20, 64, 3.0), 20),
    }


def inertia(samples: Tensor, centres: Tensor) -> float:
    """Return the sum of squared distances to the nearest centre.

    >>> inertia(torch.tensor([[0.0], [2.0]]), torch.tensor([[1.0]]))
    2.0
    """
    return float((samples - centres[assign(samples, centres)]).square().sum(dtype=torch.float64))


def main() -> None:
    for name, (samples, k) in data().items():
        found: dict[int, list[float]] = {}
        milliseconds: dict[int, float] = {}
        for starts in STARTS:
            began = time.process_time()
            centres = [kmeans(samples, k, seed=seed, starts=starts) for seed in range(SEEDS)]
            milliseconds[starts] = 1000.0 * (time.process_time() - began) / SEEDS
            found[starts] = [inertia(samples, each) for each in centres]
        lowest = min(map(min, found.values()))
        for starts, values in found.items():
            bad = sum(value > BAD * lowest for value in values)
            print(
                f"{name}, {starts} starts: {bad} of {SEEDS} seeds bad, worst {max(values) / lowest:.2f} times the lowest inertia, "
                f"{milliseconds[starts]:.0f} ms",
                flush=True,
            )


if __name__ == "__main__":
    main()
