"""Fréchet distance between Gaussians fitted to features: FID where the features are those of the Inception network."""

from __future__ import annotations

import math
from collections import deque
from typing import ClassVar

import torch
from torch import Tensor

from ganwatch.core.errors import UserError
from ganwatch.metrics.base import QualityMetric, Summary
from ganwatch.metrics.inputs import checked
from ganwatch.metrics.moments import Moments
from ganwatch.metrics.reservoir import Reservoir
from ganwatch.metrics.triangular import conjugated, times_upper

TOLERANCE = 1e-7
"""Error as a share of the distance beyond which singular values are computed in place of eigenvalues, whose small ones are less exact."""
ENOUGH = 4
"""Real samples for each generated one at which the null may come from dividing the real ones: three quarters of them remain."""


def frechet_distance(real: Tensor, fake: Tensor) -> float:
    """Squared Fréchet distance ``‖μ1 − μ2‖² + Tr(S1 + S2 − 2 (S1 S2)^½)`` of Gaussians fitted to two feature sets.

    At equal distributions it is above 0 by about what ``expected_frechet`` says.

    Parameters
    ----------
    real, fake : Tensor ``(N, D)``, ``(M, D)``
        Features, of any floating type; computed in float64.

    Returns
    -------
    float
        Finite and ≥ 0; NaN with fewer than two samples of a side.

    Raises
    ------
    UserError
        For dimensions that differ, or features that are not finite.

    References
    ----------
    Heusel et al., "GANs Trained by a Two Time-Scale Update Rule Converge to a Local Nash Equilibrium", 2017, arXiv 1706.08500;
    Dowson and Landau, "The Fréchet distance between multivariate normal distributions", 1982.

    Examples
    --------
    >>> frechet_distance(torch.tensor([[0.0], [2.0]]), torch.tensor([[3.0], [5.0]]))
    9.0
    """
    checked(real, fake)
    return FrechetReference(Moments.of(real)).distance(Moments.of(fake))


def expected_frechet(covariance: Tensor, n: int, m: int) -> float:
    """Expected Fréchet distance between two samples of one Gaussian, to first order in ``1/n`` and ``1/m``.

    ``(1/n + 1/m) (Σ λi + ½ Σij λi λj (1 + δij) / (λi + λj))`` with the eigenvalues λ of the covariance ``(D, D)``; holds to about 2 % where
    both samples have at least 2 D.

    Examples
    --------
    >>> expected_frechet(torch.eye(1), 100, 100)
    0.03
    """
    spectrum = torch.linalg.eigvalsh(covariance.double()).clamp_min(0.0)
    sums = spectrum[:, None] + spectrum
    pairs = torch.where(sums > 0, spectrum[:, None] * spectrum / sums.clamp_min(torch.finfo(sums.dtype).tiny), 0.0)
    return (1 / n + 1 / m) * float(spectrum.sum() + (pairs.sum() + pairs.trace()) / 2)


class FrechetReference:
    """The real side, factorised once for many comparisons.

    ``Tr (S1 S2)^½`` is the sum of the singular values of ``A Bᵀ`` for any ``A, B`` with ``AᵀA = S1``, ``BᵀB = S2``. So there is no matrix
    root, nothing becomes complex, no epsilon is needed, and covariances of any rank will do. While a side has fewer samples than
    dimensions, its centred samples are its factor and the trace term costs no cubic power of the dimension.

    Parameters
    ----------
    moments : Moments
        Of at least two samples, else all distances are NaN.

    Examples
    --------
    >>> reference = FrechetReference(Moments.of(torch.tensor([[0.0], [2.0]])))
    >>> reference.distance(Moments.of(torch.tensor([[0.0], [0.0]])))
    3.0
    """

    def __init__(self, moments: Moments) -> None:
        self.moments = moments
        self._root: Tensor | None = None

    def distance(self, moments: Moments) -> float:
        """To the Gaussian of other moments."""
        if min(self.moments.count, moments.count) < 2:
            return math.nan
        if self._root is None:
            self._root = _root(self.moments)
        without = float((self.moments.mean - moments.mean).square().sum()) + self.moments.variance + moments.variance
        term, error = _by_eigenvalues(self._root, moments)
        if 2 * error > TOLERANCE * (without - 2 * term):
            term = float(torch.linalg.svdvals(times_upper(_root(moments), self._root)).sum())
        return max(0.0, without - 2 * term)


def _by_eigenvalues(root: Tensor, moments: Moments) -> tuple[float, float]:
    """``Tr (S1 S2)^½`` from the squares of the singular values, and its error: of either sign, or all of what drowns in rounding."""
    other = moments.root
    if other is None:
        gram = conjugated(root, moments.covariance)
    else:
        product = times_upper(other, root)
        gram = product @ product.T if len(product) <= len(root) else product.T @ product
    squares = torch.linalg.eigvalsh(gram)
    noise = torch.finfo(squares.dtype).eps * squares.abs().sum()
    values = squares[squares > noise].sqrt()
    error = (noise / values).norm() + noise.sqrt() * (len(squares) - len(values))
    return float(values.sum()), float(error)


def _root(moments: Moments) -> Tensor:
    """Upper triangular ``(R, D)`` whose square is the covariance: of few samples, by Cholesky, or by eigenvectors where rank is lost."""
    root = moments.root
    if root is None:
        covariance = moments.covariance
        factor: Tensor
        factor, failed = torch.linalg.cholesky_ex(covariance, upper=True)
        if not failed:
            return factor
        values, vectors = torch.linalg.eigh(covariance)
        kept = values > torch.finfo(values.dtype).eps * len(values) * values.max()
        root = (vectors[:, kept] * values[kept].sqrt()).T
    triangle: Tensor = torch.linalg.qr(root, mode="r").R
    return triangle


class FrechetWindow:
    """Fréchet distance of the last ``size`` samples of a stream to a reference.

    Samples that leave are not subtracted, which would lose digits at each slide: whole blocks are summed up once and merged, and only
    the block that is leaving is summed up anew.

    Parameters
    ----------
    reference : Tensor ``(N, D)``
        Features to compare with.
    size : int, samples
        Length of the window.

    Examples
    --------
    >>> window = FrechetWindow(torch.tensor([[0.0], [2.0]]), size=2)
    >>> window.push(torch.tensor([[7.0], [3.0], [5.0]]))
    >>> window.distance()
    9.0
    """

    def __init__(self, reference: Tensor, size: int) -> None:
        if size < 2:
            raise UserError(f"size must be >= 2 (samples), got {size}")
        checked(reference, reference)
        self.size = size
        self._reference = FrechetReference(Moments.of(reference))
        self._block = max(reference.shape[1], math.isqrt(size))
        self._whole: deque[tuple[Tensor, Moments]] = deque()
        self._latest = reference[:0]

    def push(self, samples: Tensor) -> None:
        """Take features ``(N, D)``, the oldest first."""
        checked(self._latest, samples)
        self._latest = torch.cat([self._latest, samples])
        while len(self._latest) >= self._block:
            block, self._latest = self._latest[: self._block], self._latest[self._block :].clone()
            self._whole.append((block, Moments.of(block)))
        while self._leaving() >= self._block:
            self._whole.popleft()

    def __len__(self) -> int:
        """Samples in the window."""
        return min(self.size, self._kept())

    def _kept(self) -> int:
        return len(self._whole) * self._block + len(self._latest)

    def _leaving(self) -> int:
        """Samples at the beginning of the oldest block that have left the window."""
        return max(0, self._kept() - self.size)

    def moments(self) -> Moments:
        """Of the samples in the window."""
        leaving = self._leaving()
        if not self._whole:
            return Moments.of(self._latest[leaving:])
        oldest, summary = self._whole[0]
        parts = [Moments.of(oldest[leaving:]) if leaving else summary, *(summary for _, summary in list(self._whole)[1:])]
        return Moments.together([*parts, Moments.of(self._latest)])

    def distance(self) -> float:
        """Of the window to the reference; NaN with fewer than two samples."""
        return self._reference.distance(self.moments())


class FrechetDistance(QualityMetric):
    """Fréchet distance between real and generated features; FID with the features of the Inception network.

    The value rests on all samples ever given, through their moments; interval, null and extrapolation rest on those in the reservoir. As
    the distance depends on the number of samples, compare it with ``null``, or look at ``extrapolated``.

    Parameters
    ----------
    extractor : Extractor, optional
        Samples to features ``(N, D)``; without it ``update`` takes features.
    **kwargs
        Those of ``QualityMetric``.

    References
    ----------
    Heusel et al., 2017, arXiv 1706.08500; Chong and Forsyth, "Effectively Unbiased FID and Inception Score and Where to Find Them", 2019,
    arXiv 1911.07023.

    Examples
    --------
    >>> metric = FrechetDistance()
    >>> metric.update(torch.tensor([[0.0], [2.0]]), real=True)
    >>> metric.update(torch.tensor([[3.0], [5.0]]), real=False)
    >>> metric.compute()
    tensor(9., dtype=torch.float64)
    """

    higher_is_better = False
    bounds = (0.0, math.inf)
    summaries: ClassVar[dict[str, type[Summary]]] = {"reservoir": Reservoir, "moments": Moments}
    _reference: FrechetReference | None = None

    def measure(self, real: Tensor, fake: Tensor) -> float:
        return FrechetReference(Moments.of(real)).distance(Moments.of(fake))

    def extrapolated(self) -> float:
        """The distance at infinitely many samples: its bias falls with one over their number, so it is twice as far at halves.

        Unknown (NaN) where halves have fewer than 2 D samples, for which that does not hold. May fall below 0.
        """
        with self._synced():
            real, fake = self.features(real=True), self.features(real=False)
            if min(len(real), len(fake)) // 2 < 2 * real.shape[1] or not len(fake):
                return math.nan
            halves = self._halves()
            return 2 * self.measure(real, fake) - math.fsum(halves) / len(halves)

    def moments(self, *, real: bool) -> Moments:
        """Those of all samples of a side; merged over processes where the state is."""
        return Moments(getattr(self, "real_moments" if real else "fake_moments"))

    def _add(self, side: str, rows: Tensor) -> None:
        super()._add(side, rows)
        Moments(getattr(self, f"{side}_moments")).add(rows)

    def _value(self) -> float:
        real, fake = (self.moments(real=real) for real in (True, False))
        if min(real.count, fake.count) < self.least:
            return math.nan
        if self._reference is None or self._reference.moments.mean is not real.mean:
            self._reference = FrechetReference(Moments(list(real.tensors)))
        return self._reference.distance(fake)

    def _interval(self, value: float) -> tuple[float, float]:
        low, high = super()._interval(value)
        seen = sum(1 / self.count(real=real) for real in (True, False))
        kept = sum(1 / len(self.features(real=real)) for real in (True, False))
        scale = (seen / kept) ** 0.5
        return value + (low - value) * scale, value + (high - value) * scale

    def _null(self) -> float:
        """From the formula, with the spectrum of the sample extrapolated from its halves, as fewer samples spread it more.

        With fewer than 2 D samples from dividing the real ones, where enough of them remain, else unknown.
        """
        real, n_fake = self.moments(real=True), self.count(real=False)
        kept = self.features(real=True)
        if min(real.count, n_fake) >= 2 * len(real.mean):
            plain, half = expected_frechet(real.covariance, real.count, n_fake), len(kept) // 2
            halves = [expected_frechet(Moments.of(rows).covariance, real.count, n_fake) for rows in (kept[:half], kept[half:])]
            return plain + half / (real.count - half) * (plain - sum(halves) / 2)
        return self._divided(len(kept) - n_fake) if len(kept) >= ENOUGH * n_fake else math.nan

    def _used(self, *, real: bool) -> int:
        return self.count(real=real)
