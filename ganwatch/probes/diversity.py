"""Diversity and distance of the loop's own fakes, always against real data of the same sample size."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ganwatch.capture.step import Step
from ganwatch.core.probe import Probe
from ganwatch.evaluation.tensor_state import packed, unpacked

SAMPLES = 64
"""Samples per side."""
APART = 20
"""Steps between two means of fakes that are compared, however often is looked."""
SIDE = 16
"""Images are averaged down to at most this many pixels a side before distances are taken."""


class Diversity(Probe):
    """Pairwise distance and Vendi score of fakes against reals, and the energy distance between the two, from one distance matrix.

    The energy distance is Székely and Rizzo's (2013), divided by twice the mean distance between the two sides, so it lies in
    [0, 1] up to sampling noise, 0 for equal distributions, and does not depend on the scale of the data. The Vendi score (Friedman
    and Dieng, 2023, arXiv:2210.02410), the effective number of distinct samples, has a Gaussian kernel whose width is half the mean
    distance between reals, the same on both sides.

    The shift is the distance of the mean of the fakes from that of the look before, in units of the spread of the reals: about 0.2 between
    two batches of 64 that are alike, 1 for a generator that has gone elsewhere.
    """

    name = "diversity"
    signals = ("pairwise_ratio", "energy_distance", "vendi_ratio", "fake_shift")
    every = 20

    def __init__(self) -> None:
        self._mean: tuple[int, Tensor] | None = None

    def read(self, step: Step) -> dict[str, Tensor]:
        sides = pair(step)
        if sides is None:
            return {}
        n = len(sides[0])
        apart = distances(*sides)
        within_real, within_fake, between = mean_distances(apart)
        values = {
            "pairwise_ratio": within_fake / within_real.clamp_min(1e-38),
            "energy_distance": 1.0 - (within_real + within_fake) / (2.0 * between).clamp_min(1e-38),
        }
        if step.tick % APART == 0:
            before, self._mean = self._mean, (step.tick, sides[1].mean(0))
            if before is not None and before[0] == step.tick - APART and before[1].shape == self._mean[1].shape:
                spread = sides[0].var(0).sum().sqrt().clamp_min(1e-38)
                values["fake_shift"] = torch.linalg.vector_norm(self._mean[1] - before[1].to(self._mean[1])) / spread
        values["vendi_ratio"] = vendi_ratio(apart[:n, :n], apart[n:, n:], within_real / 2.0)
        return values

    def state_dict(self) -> dict[str, Any]:
        """Where the fakes were when last compared."""
        return {} if self._mean is None else {"tick": self._mean[0], "mean": packed(self._mean[1])}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from there."""
        self._mean = (state["tick"], unpacked(state["mean"]))


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


def mean_distances(apart: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mean distance among reals, among fakes (both without the diagonal), and between the sides, from a matrix of shape (2N, 2N)."""
    n = len(apart) // 2
    (real, between), (_, fake) = apart.view(2 * n, 2, n).sum(2).view(2, n, 2).sum(1)
    return real / (n * (n - 1)), fake / (n * (n - 1)), between / n**2


def vendi_ratio(real: Tensor, fake: Tensor, width: Tensor) -> Tensor:
    """Vendi score of fakes against that of reals from distances within each side, shapes (N, N); NaN where one is not finite."""
    kernels = torch.exp(torch.stack([fake, real]).double().square() / (-2.0 * width.double() ** 2).clamp_max(-1e-38))
    known = torch.isfinite(kernels)
    scores = vendi(kernels.where(known, 0.0))  # eigenvalues of NaN are an error; the ratio is unknown then
    return (scores[0] / scores[1]).where(known.all(), torch.nan)


def vendi(kernel: Tensor) -> Tensor:
    """Vendi score of kernel matrices with unit diagonal, shape (…, N, N): exponential of the entropy of the eigenvalues over N.

    >>> round(float(vendi(torch.eye(4, dtype=torch.float64))), 4)
    4.0
    """
    share = torch.linalg.eigvalsh(kernel / kernel.shape[-1]).clamp_min(0.0)
    return torch.exp(-torch.xlogy(share, share).sum(-1))
