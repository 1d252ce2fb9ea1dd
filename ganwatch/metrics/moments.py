"""Mean and covariance of a stream of features, mergeable across batches and processes."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from ganwatch.metrics.triangular import add_gram


class Moments:
    """Count, mean and scatter (the sum of squares about the mean) in float64.

    Each batch is centred on its own mean before it is squared, and parts merge by Chan's rule, so a large mean costs no digits. The
    scatter is the sum of a matrix and of rows that are not squared yet. Samples stay rows while there are no more of them than dimensions:
    few samples in many dimensions cost little and keep all digits of their rank.

    Parameters
    ----------
    tensors : list of Tensor
        State, changed in place: ``[count, mean, squared, rows]`` of shapes ``()``, ``(D,)``, ``(D, D)`` or ``(0, 0)``, ``(R, D)``. Empty
        until the first row. Between updates further rows may follow.

    References
    ----------
    Chan, Golub and LeVeque, "Updating Formulae and a Pairwise Algorithm for Computing Sample Variances", 1979.

    Examples
    --------
    >>> moments = Moments.from_batches(torch.tensor([[1.0, 2.0], [3.0, 2.0]]), torch.tensor([[2.0, 5.0], [2.0, 3.0]]))
    >>> moments.count, moments.mean.tolist(), moments.variance
    (4, [2.0, 3.0], 2.6666666666666665)
    """

    DTYPES: ClassVar[tuple[torch.dtype, ...]] = (torch.int64, torch.float64, torch.float64, torch.float64)

    def __init__(self, tensors: list[Tensor]) -> None:
        self.tensors = tensors

    @classmethod
    def from_batches(cls, *batches: Tensor) -> Moments:
        """Return the moments of batches ``(N, D)``."""
        moments = cls([])
        for batch in batches:
            moments.add(batch)
        return moments

    @property
    def count(self) -> int:
        """Number of rows that were seen."""
        return int(self.tensors[0]) if self.tensors else 0

    @property
    def mean(self) -> Tensor:
        """Mean of shape ``(D,)``; undefined before the first row."""
        return self.tensors[1]

    @property
    def variance(self) -> float:
        """Trace of the covariance."""
        squares = sum(float(rows.square().sum()) for rows in self.tensors[3:])
        return (squares + float(self.tensors[2].trace())) / (self.count - 1)

    @property
    def covariance(self) -> Tensor:
        """Covariance of shape ``(D, D)``, with the divisor ``count - 1``."""
        self.compact()
        squared, rows = self.tensors[2:]
        return add_gram(squared, rows) / (self.count - 1)

    @property
    def root(self) -> Tensor | None:
        """Exact factor ``(R, D)`` with ``rootᵀ root`` the covariance, R below twice the count; None with more samples than dimensions."""
        self.compact()
        squared, rows = self.tensors[2:]
        return None if len(squared) else rows / (self.count - 1) ** 0.5

    def add(self, batch: Tensor) -> None:
        """Add rows ``(N, D)``."""
        if not len(batch):
            return
        batch = batch.to(torch.float64)
        mean = batch.mean(0)
        centred = batch - mean if len(batch) > 1 else batch[:0]
        self.merge([torch.tensor(len(batch), device=batch.device), mean, batch.new_empty(0, 0), centred])

    def merge(self, other: list[Tensor]) -> None:
        """Add the state of other moments, by Chan's rule."""
        if not other:
            return
        if self.tensors:
            n, m = self.count, int(other[0])
            shift = other[1] - self.mean
            squared = self.tensors[2] if not len(other[2]) else other[2] if not len(self.tensors[2]) else self.tensors[2] + other[2]
            between = (n * m / (n + m)) ** 0.5 * shift
            self.tensors[:3] = [self.tensors[0] + other[0], self.mean + m / (n + m) * shift, squared]
            self.tensors += [*other[3:], between[None]]
        else:
            self.tensors += other
        if min(self.count, sum(map(len, self.tensors[3:]))) > len(self.mean):
            self._square()

    def compact(self) -> None:
        """Join the rows in one tensor."""
        if len(self.tensors) > 4:
            self.tensors[3:] = [torch.cat(self.tensors[3:])]

    def _square(self) -> None:
        self.compact()
        squared, rows = self.tensors[2:]
        self.tensors[2:] = [add_gram(squared, rows), rows[:0]]
