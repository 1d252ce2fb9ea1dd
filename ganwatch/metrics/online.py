"""Comparison of sums over batches: Fréchet distance without its bias, and modes that are missing."""

from __future__ import annotations

import torch
from torch import Tensor

MAX_REMAINING = 0.25
"""Share of the latest samples against that of the first reals above which a mode is not missing, however certain the difference is."""
MIN_SIGMAS = 3.0
"""Standard errors by which the count of a missing mode is too low."""


def unbiased_frechet(real: tuple[Tensor, Tensor, Tensor], fake: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    """Return Fréchet distances of Gaussians, less what equal distributions would have, in units of the variance of the real one.

    Parameters
    ----------
    real : (Tensor, Tensor, Tensor)
        Number of samples ``()``, mean ``(D,)`` and covariance ``(D, D)``, in float64.
    fake : (Tensor, Tensor, Tensor)
        The same of P sets: shapes ``(P,)``, ``(P, D)`` and ``(P, D, D)``.

    Returns
    -------
    Tensor, shape (P,)
        About 0 for equal distributions, and 1 for a constant at the mean of the real samples; NaN if something is not finite.

    References
    ----------
    Heusel et al., 2017, arXiv:1706.08500 (the distance); Chong and Forsyth, 2020, arXiv:1911.07023 (its bias).

    Examples
    --------
    >>> one, eye = torch.ones(1, 2, dtype=torch.float64), torch.eye(2, dtype=torch.float64)
    >>> real = (torch.tensor(10**9), 0.0 * one[0], eye)
    >>> unbiased_frechet(real, (torch.tensor([10**9] * 2), torch.cat([one, 2.0 * one]), torch.stack([eye, eye]))).round(decimals=6)
    tensor([1., 4.], dtype=torch.float64)
    """
    n, mean, covariance = real
    m, means, covariances = fake
    known = torch.isfinite(covariances).flatten(1).all(1)
    values, vectors = torch.linalg.eigh(covariance)
    spectrum = values.clamp_min(0.0)
    root = vectors * spectrum.sqrt()
    inner = root.T @ covariances.where(known[:, None, None], 0.0) @ root
    trace = torch.linalg.eigvalsh(inner).clamp_min(0.0).sqrt().sum(1)
    distance = (means - mean).square().sum(1) + spectrum.sum() + covariances.diagonal(dim1=1, dim2=2).sum(1) - 2.0 * trace
    bias = (1.0 / n + 1.0 / m) * _bias_factor(spectrum)
    relative: Tensor = (distance - bias) / spectrum.sum().clamp_min(1e-30)
    return relative.where(known, torch.nan)


def _bias_factor(spectrum: Tensor) -> Tensor:
    """Return the expected distance of two samples of one Gaussian times their harmonic size; see ``expected_frechet``."""
    sums = (spectrum[:, None] + spectrum).clamp_min(1e-30)
    pairs = spectrum[:, None] * spectrum / sums
    return spectrum.sum() + (pairs.sum() + pairs.trace()) / 2.0


def find_missing(real: Tensor, fake: Tensor, min_sigmas: float = MIN_SIGMAS) -> Tensor:
    """Return for each mode whether it is missing, from the counts of real and generated samples: shape (K,), bool.

    The difference of the counts' square roots (Anscombe, 1948) must be so many standard errors, and a quarter of the share or less be left.

    >>> find_missing(torch.tensor([100, 100, 100]), torch.tensor([50, 30, 3])).tolist()
    [False, False, True]
    """
    n, m = real.sum().clamp_min(1), fake.sum()
    expected = real * (m / n)
    sigmas = 2.0 * ((fake + 0.375).sqrt() - (expected + 0.375).sqrt()) / (1.0 + m / n).sqrt()
    return (sigmas < -min_sigmas) & (fake <= MAX_REMAINING * expected)


def limit_expected(first: Tensor, latest: Tensor) -> Tensor:
    """Return how many fakes of each mode are expected, shape (K,), from the counts among the first and the latest reals.

    It is the number among the first reals, or less where the latest ones have surely less: what the data have lost is not missing. The
    bound is two standard deviations of the square root of a count (Anscombe, 1948) above the latest count.

    >>> limit_expected(torch.tensor([100.0, 100.0]), torch.tensor([90.0, 0.0])).round()
    tensor([100.,   6.])
    """
    ratio = first.sum() / latest.sum().clamp_min(1)
    return torch.minimum(first, ((latest + 0.375).sqrt() + 1.0).square() * ratio)
