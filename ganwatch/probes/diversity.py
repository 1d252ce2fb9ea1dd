"""Diversity and distance of the loop's own fakes, always against real data of the same sample size."""

from __future__ import annotations

import torch
from torch import Tensor

from ganwatch.capture.step import StepView
from ganwatch.core.probe import Probe
from ganwatch.probes.precision import to_double

MIN_SAMPLES, MAX_SAMPLES = 2, 64
"""Samples of each side."""
MAX_SIDE = 16
"""Side, in pixels, to which larger images are averaged down before distances are measured."""


class Diversity(Probe):
    """Pairwise distance and Vendi score of fakes against reals, and the energy distance between the two, from one distance matrix.

    The energy distance (Székely and Rizzo, 2013) is divided by twice the mean distance between the two sides. It therefore lies in [0, 1]
    up to sampling noise, is 0 for equal distributions, and does not depend on the scale of the data. The Vendi score (Friedman and Dieng,
    2023, arXiv:2210.02410), the effective number of distinct samples, has a Gaussian kernel whose width is half the mean distance between
    reals, the same on both sides.
    """

    name = "diversity"
    signals = ("pairwise_ratio", "energy_distance", "vendi_ratio", "real_distance")
    every = 20
    is_paced = True

    def read(self, step: StepView) -> dict[str, Tensor]:
        sides = pair_batches(step)
        if sides is None:
            return {}
        n = len(sides[0])
        distances = pairwise_distances(*sides)
        within_real, within_fake, between = mean_distances(distances)
        values = {
            "pairwise_ratio": within_fake / within_real.clamp_min(1e-38),
            "real_distance": within_real,
            "energy_distance": 1.0 - (within_real + within_fake) / (2.0 * between).clamp_min(1e-38),
        }
        values["vendi_ratio"] = vendi_ratio(distances[:n, :n], distances[n:, n:], within_real / 2.0)
        return values


def pair_batches(step: StepView) -> tuple[Tensor, Tensor] | None:
    """Return as many real as fake samples of a step, flattened: shapes (N, F), float32. None if one side is missing."""
    real, fake = step.batch("real"), step.batch("fake")
    if real is None or fake is None or real.shape[1:] != fake.shape[1:]:
        return None
    n = min(len(real), len(fake), MAX_SAMPLES)
    return None if n < MIN_SAMPLES else (downsample(real[:n]), downsample(fake[:n]))


def downsample(samples: Tensor) -> Tensor:
    """Return samples as rows; larger images are averaged down first."""
    samples = samples.float()
    if samples.ndim == 4 and max(samples.shape[2:]) > MAX_SIDE:
        samples = torch.nn.functional.adaptive_avg_pool2d(samples, (min(MAX_SIDE, samples.shape[2]), min(MAX_SIDE, samples.shape[3])))
    return samples.flatten(1)


def pairwise_distances(real: Tensor, fake: Tensor) -> Tensor:
    """Return the Euclidean distances among all samples, reals first: shape (2N, 2N)."""
    both = torch.cat([real, fake])
    return torch.cdist(both, both)


def mean_distances(distances: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return mean distances among reals, among fakes (both without the diagonal), and between the sides, from a matrix (2N, 2N)."""
    n = len(distances) // 2
    (real, between), (_, fake) = distances.view(2 * n, 2, n).sum(2).view(2, n, 2).sum(1)
    return real / (n * (n - 1)), fake / (n * (n - 1)), between / n**2


def vendi_ratio(real: Tensor, fake: Tensor, width: Tensor) -> Tensor:
    """Return the ratio of Vendi scores, fakes to reals, from the distances within each side, shapes (N, N); NaN if one is not finite."""
    kernels = torch.exp(to_double(torch.stack([fake, real])).square() / (-2.0 * to_double(width) ** 2).clamp_max(-1e-38))
    known = torch.isfinite(kernels)
    scores = vendi_score(kernels.where(known, 0.0))  # eigvalsh fails on NaN; the ratio is then unknown
    return (scores[0] / scores[1]).where(known.all(), torch.nan)


def vendi_score(kernel: Tensor) -> Tensor:
    """Return the Vendi score of kernel matrices (…, N, N) with unit diagonal: exponential of the entropy of the eigenvalues over N.

    >>> round(float(vendi_score(torch.eye(4, dtype=torch.float64))), 4)
    4.0
    """
    share = torch.linalg.eigvalsh(kernel / kernel.shape[-1]).clamp_min(0.0)
    return torch.exp(-torch.xlogy(share, share).sum(-1))
