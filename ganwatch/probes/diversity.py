"""Diversity and distance of the loop's own fakes, always against real data of the same sample size."""

from __future__ import annotations

import torch
from torch import Tensor

from ganwatch.capture.step import Step
from ganwatch.contracts import Probe

SAMPLES = 64
"""Samples per side."""
SIDE = 16
"""Images are averaged down to at most this many pixels a side before distances are taken."""


class Diversity(Probe):
    """Pairwise distance of fakes against reals, and the energy distance between the two, from one distance matrix.

    The energy distance is Székely and Rizzo's (2013), divided by twice the mean distance between the two sides, so it lies in
    [0, 1] up to sampling noise, 0 for equal distributions, and does not depend on the scale of the data.
    """

    name = "diversity"
    signals = ("pairwise_ratio", "energy_distance")
    every = 5

    def read(self, step: Step) -> dict[str, Tensor]:
        sides = pair(step)
        if sides is None:
            return {}
        within_real, within_fake, between = mean_distances(distances(*sides), len(sides[0]))
        return {
            "pairwise_ratio": within_fake / within_real.clamp_min(1e-38),
            "energy_distance": 1.0 - (within_real + within_fake) / (2.0 * between).clamp_min(1e-38),
        }


class Vendi(Probe):
    """Vendi score (Friedman and Dieng, 2023, arXiv:2210.02410) of fakes against that of reals: effective number of distinct samples.

    A Gaussian kernel whose width is half the mean distance between reals, the same on both sides.
    """

    name = "vendi"
    signals = ("vendi_ratio",)
    every = 20

    def read(self, step: Step) -> dict[str, Tensor]:
        sides = pair(step)
        if sides is None:
            return {}
        n = len(sides[0])
        apart = distances(*sides).double()
        width = apart[:n, :n].sum() / (n * (n - 1)) / 2.0
        kernel = torch.exp(-(apart**2) / (2.0 * width**2).clamp_min(1e-38))
        known = torch.isfinite(kernel)
        kernel = kernel.where(known, 0.0)  # eigenvalues of NaN are an error; the ratio is unknown then
        ratio = vendi(kernel[n:, n:]) / vendi(kernel[:n, :n])
        return {"vendi_ratio": ratio.where(known.all(), torch.nan)}


def pair(step: Step) -> tuple[Tensor, Tensor] | None:
    """Real and fake samples of one step, equally many and flattened: shapes (N, F), float32. None where one side is missing."""
    real, fake = step.batch("real"), step.batch("fake")
    if real is None or fake is None or real.shape[1:] != fake.shape[1:]:
        return None
    n = min(len(real), len(fake), SAMPLES)
    return None if n < 2 else (small(real[:n]), small(fake[:n]))


def small(samples: Tensor) -> Tensor:
    """Samples as rows; images are averaged down first."""
    samples = samples.float()
    if samples.ndim == 4 and max(samples.shape[2:]) > SIDE:
        samples = torch.nn.functional.adaptive_avg_pool2d(samples, (min(SIDE, samples.shape[2]), min(SIDE, samples.shape[3])))
    return samples.flatten(1)


def distances(real: Tensor, fake: Tensor) -> Tensor:
    """Euclidean distances among all samples, reals first: shape (2N, 2N)."""
    both = torch.cat([real, fake])
    return torch.cdist(both, both)


def mean_distances(apart: Tensor, n: int) -> tuple[Tensor, Tensor, Tensor]:
    """Mean distance among reals, among fakes (both without the diagonal), and between the sides."""
    pairs = n * (n - 1)
    return apart[:n, :n].sum() / pairs, apart[n:, n:].sum() / pairs, apart[:n, n:].mean()


def vendi(kernel: Tensor) -> Tensor:
    """Vendi score of a kernel matrix with unit diagonal: exponential of the entropy of its eigenvalues over N.

    >>> round(float(vendi(torch.eye(4, dtype=torch.float64))), 4)
    4.0
    """
    share = torch.linalg.eigvalsh(kernel / len(kernel)).clamp_min(0.0)
    return torch.exp(-torch.xlogy(share, share).sum())
