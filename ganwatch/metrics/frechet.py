"""Fréchet distance between Gaussians fitted to features: FID with the features of the Inception network."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor

from ganwatch.metrics.base import QualityMetric, Summary
from ganwatch.metrics.inputs import check_features
from ganwatch.metrics.moments import Moments
from ganwatch.metrics.reservoir import Reservoir
from ganwatch.metrics.triangular import conjugate, multiply_upper

MAX_RELATIVE_ERROR = 1e-7
"""Error of the eigenvalues, as a share of the distance, beyond which the more exact singular values are computed instead."""
MIN_REALS_PER_FAKE = 4
"""Real samples per generated one from which dividing the real ones gives the null: three quarters of them remain."""


def frechet_distance(real: Tensor, fake: Tensor) -> float:
    """Return the squared Fréchet distance ``‖μ1 − μ2‖² + Tr(S1 + S2 − 2 (S1 S2)^½)`` of Gaussians fitted to two feature sets.

    For equal distributions it is about ``expected_frechet``, not 0.

    Parameters
    ----------
    real, fake : Tensor ``(N, D)``, ``(M, D)``
        Features, of any floating type; computed in float64.

    Returns
    -------
    float
        Finite and ≥ 0; NaN with fewer than two samples of a set.

    Raises
    ------
    UserError
        Dimensions differ, or features are not finite.

    References
    ----------
    Heusel et al., "GANs Trained by a Two Time-Scale Update Rule Converge to a Local Nash Equilibrium", 2017, arXiv 1706.08500;
    Dowson and Landau, "The Fréchet distance between multivariate normal distributions", 1982.

    Examples
    --------
    >>> frechet_distance(torch.tensor([[0.0], [2.0]]), torch.tensor([[3.0], [5.0]]))
    9.0
    """
    check_features(real, fake)
    return FrechetReference(Moments.from_batches(real)).distance(Moments.from_batches(fake))


def expected_frechet(covariance: Tensor, n: int, m: int) -> float:
    """Return the expected Fréchet distance between two samples of one Gaussian, to first order in ``1/n`` and ``1/m``.

    ``(1/n + 1/m) (Σ λi + ½ Σij λi λj (1 + δij) / (λi + λj))`` with the eigenvalues λ of the covariance ``(D, D)``; holds to about 2 % if
    both samples have at least 2 D rows.

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
    """Fréchet distance to one set of samples, whose covariance is factorised once for many comparisons.

    ``Tr (S1 S2)^½`` is the sum of the singular values of ``A Bᵀ`` for any ``A, B`` with ``AᵀA = S1``, ``BᵀB = S2``. So there is no matrix
    root, nothing becomes complex, no epsilon is needed, and covariances may have any rank. While a set has fewer samples than dimensions,
    its centred samples are its factor, and the trace term costs no cubic power of the dimension.

    Parameters
    ----------
    moments : Moments
        Moments of at least two samples, else all distances are NaN.

    Examples
    --------
    >>> reference = FrechetReference(Moments.from_batches(torch.tensor([[0.0], [2.0]])))
    >>> reference.distance(Moments.from_batches(torch.tensor([[0.0], [0.0]])))
    3.0
    """

    def __init__(self, moments: Moments) -> None:
        self.moments = moments
        self._root: Tensor | None = None

    def distance(self, moments: Moments) -> float:
        """Return the distance to the Gaussian of other moments."""
        if min(self.moments.count, moments.count) < 2:
            return math.nan
        if self._root is None:
            self._root = _root(self.moments)
        separate = float((self.moments.mean - moments.mean).square().sum()) + self.moments.variance + moments.variance
        term, error = _trace_by_eigenvalues(self._root, moments)
        if 2 * error > MAX_RELATIVE_ERROR * (separate - 2 * term):
            term = float(torch.linalg.svdvals(multiply_upper(_root(moments), self._root)).sum())
        return max(0.0, separate - 2 * term)


def _trace_by_eigenvalues(root: Tensor, moments: Moments) -> tuple[float, float]:
    """Return ``Tr (S1 S2)^½`` from the squares of the singular values, and its error; squares below the rounding error count as error."""
    other = moments.root
    if other is None:
        gram = conjugate(root, moments.covariance)
    else:
        product = multiply_upper(other, root)
        gram = product @ product.T if len(product) <= len(root) else product.T @ product
    squares = torch.linalg.eigvalsh(gram)
    noise = torch.finfo(squares.dtype).eps * squares.abs().sum()
    values = squares[squares > noise].sqrt()
    error = (noise / values).norm() + noise.sqrt() * (len(squares) - len(values))
    return float(values.sum()), float(error)


def _root(moments: Moments) -> Tensor:
    """Return an upper triangular ``(R, D)`` whose square is the covariance.

    It comes from the rows of few samples, by Cholesky, or by eigenvectors if the covariance has no full rank.
    """
    root = moments.root
    if root is None:
        covariance = moments.covariance
        factor: Tensor
        factor, failed = torch.linalg.cholesky_ex(covariance, upper=True)
        if not failed:
            return factor
        values, vectors = torch.linalg.eigh(covariance)
        significant = values > torch.finfo(values.dtype).eps * len(values) * values.max()
        root = (vectors[:, significant] * values[significant].sqrt()).T
    triangle: Tensor = torch.linalg.qr(root, mode="r").R
    return triangle


class FrechetDistance(QualityMetric):
    """Fréchet distance between real and generated features; FID with the features of the Inception network.

    The value uses all samples ever given, through their moments; interval, null and extrapolation use those in the reservoir. The distance
    depends on the number of samples, so compare it with ``null``, or use ``extrapolate``.

    Parameters
    ----------
    extractor : Extractor, optional
        Turns samples into features ``(N, D)``; without it ``update`` takes features.
    **kwargs
        Arguments of ``QualityMetric``.

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
        return FrechetReference(Moments.from_batches(real)).distance(Moments.from_batches(fake))

    def extrapolate(self) -> float:
        """Extrapolate the distance to infinitely many samples: its bias falls with one over their number, so halves have twice the bias.

        The result is NaN if halves have fewer than 2 D samples, for which that does not hold. It may be below 0.
        """
        with self._sync_processes():
            real, fake = self.features(real=True), self.features(real=False)
            if min(len(real), len(fake)) // 2 < 2 * real.shape[1] or not len(fake):
                return math.nan
            halves = self._measure_halves()
            return 2 * self.measure(real, fake) - math.fsum(halves) / len(halves)

    def moments(self, *, real: bool) -> Moments:
        """Return the moments of all samples of a set; merged over processes while the state is."""
        return Moments(getattr(self, "real_moments" if real else "fake_moments"))

    def _add(self, sample_set: str, rows: Tensor) -> None:
        super()._add(sample_set, rows)
        Moments(getattr(self, f"{sample_set}_moments")).add(rows)

    def _value(self) -> float:
        real, fake = (self.moments(real=real) for real in (True, False))
        if min(real.count, fake.count) < self.min_samples:
            return math.nan
        if self._reference is None or self._reference.moments.mean is not real.mean:
            self._reference = FrechetReference(Moments(list(real.tensors)))
        return self._reference.distance(fake)

    def _interval(self, value: float) -> tuple[float, float]:
        low, high = super()._interval(value)
        seen = sum(1 / self.count(real=real) for real in (True, False))
        stored = sum(1 / len(self.features(real=real)) for real in (True, False))
        scale = (seen / stored) ** 0.5
        return value + (low - value) * scale, value + (high - value) * scale

    def _null(self) -> float:
        """Compute the null from the formula, with the spectrum extrapolated from halves, as fewer samples spread it more.

        With fewer than 2 D samples divide the real ones, if enough of them remain; else it is NaN.
        """
        real, n_fake = self.moments(real=True), self.count(real=False)
        rows = self.features(real=True)
        if min(real.count, n_fake) >= 2 * len(real.mean):
            plain, half = expected_frechet(real.covariance, real.count, n_fake), len(rows) // 2
            halves = [expected_frechet(Moments.from_batches(part).covariance, real.count, n_fake) for part in (rows[:half], rows[half:])]
            return plain + half / (real.count - half) * (plain - sum(halves) / 2)
        return self._measure_real_splits(len(rows) - n_fake) if len(rows) >= MIN_REALS_PER_FAKE * n_fake else math.nan

    def _count_used(self, *, real: bool) -> int:
        return self.count(real=real)
