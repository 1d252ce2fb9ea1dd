"""Sums over the samples of batches, from which distances and shares of any of them together follow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor

from ganwatch.evaluation.tensor_state import pack, unpack


@dataclass(frozen=True, slots=True)
class BatchSums:
    """Sums over the samples of a batch, on its device.

    Parameters
    ----------
    count : int
        Samples.
    total, squares : Tensor, shapes (D,) and (D, D), float32
        Sum of the features, and of their outer products.
    modes : Tensor, shape (K,), int64
        Samples by mode.
    labelled, agreeing : Tensor, 0-d, int64
        Samples whose label is known, and those that are classified as that label.

    Examples
    --------
    >>> rows, none = torch.tensor([[1.0], [3.0]]), torch.tensor(0)
    >>> one = BatchSums(2, rows.sum(0), rows.T @ rows, torch.tensor([2, 0]), none, none)
    >>> both = BatchSums.add_up([one, one])
    >>> both.count, both.mean, both.covariance, both.modes
    (4, tensor([2.]), tensor([[1.3333]]), tensor([4, 0]))
    """

    count: int
    total: Tensor
    squares: Tensor
    modes: Tensor
    labelled: Tensor
    agreeing: Tensor

    @classmethod
    def add_up(cls, parts: Sequence[BatchSums]) -> BatchSums:
        """Return the sums over all samples of some batches."""
        columns = zip(*(one.tensors for one in parts), strict=True)
        return cls(sum(one.count for one in parts), *(torch.stack(column).sum(0) for column in columns))

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """All sums that are tensors."""
        return self.total, self.squares, self.modes, self.labelled, self.agreeing

    @property
    def mean(self) -> Tensor:
        """Mean of the features, shape (D,)."""
        return self.total / self.count

    @property
    def covariance(self) -> Tensor:
        """Covariance of the features, shape (D, D)."""
        return (self.squares - torch.outer(self.total, self.mean)) / max(1, self.count - 1)

    def to(self, device: torch.device) -> BatchSums:
        """Return the sums on a device."""
        return BatchSums(self.count, *(one.to(device) for one in self.tensors))

    def state_dict(self) -> dict[str, Any]:
        """Return plain types."""
        return {"count": self.count} | {field.name: pack(getattr(self, field.name)) for field in fields(self)[1:]}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> BatchSums:
        """Restore saved sums, on the host."""
        return cls(state["count"], *(unpack(state[field.name]) for field in fields(cls)[1:]))
