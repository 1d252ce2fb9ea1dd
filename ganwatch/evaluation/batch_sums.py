"""Sums over the samples of batches, which add up, so that distances and shares of any of them together follow."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class BatchSums:
    """Sums over samples, of one batch or of several sets of batches, on their device.

    Parameters
    ----------
    vectors : Tensor, shape (..., S), float32
        All sums side by side; vectors of several batches add up.
    dimensions, modes : int
        Number of features and of modes.

    Examples
    --------
    >>> one = BatchSums.of(torch.tensor([[1.0], [3.0]]), torch.tensor([0, 0]), 2)
    >>> both = BatchSums(one.vectors + one.vectors, 1, 2)
    >>> both.count, both.mean, both.covariance, both.by_mode
    (tensor(4.), tensor([2.]), tensor([[1.3333]]), tensor([4., 0.]))
    """

    vectors: Tensor
    dimensions: int
    modes: int

    @classmethod
    def of(
        cls, points: Tensor, places: Tensor, modes: int, produced: Tensor | None = None, requested: Tensor | None = None
    ) -> BatchSums:
        """Sum up the features ``(N, D)`` of a batch, the numbers of its modes, and of its labels, produced and requested, each ``(N,)``.

        Labels are numbers from 0 on, which are those of the modes if modes are labels; requested ones below 0 are unknown.
        """
        numbers = torch.arange(modes, device=points.device)
        counts = (places[:, None] == numbers).sum(0)
        asked = torch.zeros_like(counts) if requested is None else (requested[:, None] == numbers).sum(0)
        of_labels = points.new_zeros(2)
        if produced is not None and requested is not None:
            of_labels = torch.stack([(requested >= 0).sum(), (produced == requested).sum()])
        parts = [points.new_full((1,), len(points)), of_labels, counts, asked, points.sum(0), (points.T @ points).flatten()]
        return cls(torch.cat([part.to(points.dtype) for part in parts]), points.shape[1], modes)

    @property
    def count(self) -> Tensor:
        """Samples, shape (...)."""
        return self.vectors[..., 0]

    @property
    def labelled(self) -> Tensor:
        """Samples whose label is known, shape (...)."""
        return self.vectors[..., 1]

    @property
    def agreeing(self) -> Tensor:
        """Samples that are classified as their label, shape (...)."""
        return self.vectors[..., 2]

    @property
    def by_mode(self) -> Tensor:
        """Samples of each mode, shape (..., K)."""
        return self.vectors[..., 3 : 3 + self.modes]

    @property
    def by_request(self) -> Tensor:
        """Samples requested of each mode, where modes are labels, shape (..., K)."""
        return self.vectors[..., 3 + self.modes : 3 + 2 * self.modes]

    @property
    def mean(self) -> Tensor:
        """Mean of the features, shape (..., D)."""
        return self.vectors[..., 3 + 2 * self.modes :][..., : self.dimensions] / self.count[..., None]

    @property
    def covariance(self) -> Tensor:
        """Covariance of the features, shape (..., D, D)."""
        count, mean = self.count[..., None, None], self.mean
        squares = self.vectors[..., 3 + 2 * self.modes + self.dimensions :].reshape(*mean.shape, self.dimensions)
        covariance: Tensor = (squares - count * mean[..., :, None] * mean[..., None, :]) / (count - 1.0).clamp_min(1.0)
        return covariance
