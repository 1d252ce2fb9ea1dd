"""Fast products of symmetric and triangular matrices: one triangle of a symmetric result, no zeros of a triangular factor."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

ROWS_PER_BLOCK = 256
"""Rows of a triangle that are multiplied at a time."""


def add_gram(squared: Tensor, rows: Tensor) -> Tensor:
    """Return ``squared + rowsᵀ rows`` for a symmetric ``(D, D)``, or ``(0, 0)`` for zero, and ``(R, D)``.

    >>> import torch
    >>> add_gram(torch.empty(0, 0), torch.tensor([[1.0, 2.0]])).tolist()
    [[1.0, 2.0], [2.0, 4.0]]
    """
    if len(squared) and not len(rows):
        return squared
    gram = squared.clone() if len(squared) else rows.new_zeros(rows.shape[1], rows.shape[1])
    for start, end in _blocks(rows.shape[1]):
        gram[start:end, :end].addmm_(rows[:, start:end].T, rows[:, :end])
        gram[:start, start:end] = gram[start:end, :start].T
    return gram


def multiply_upper(rows: Tensor, upper: Tensor) -> Tensor:
    """Return ``rows upperᵀ`` for ``(N, D)`` and ``(R, D)`` with zeros left of its diagonal.

    >>> import torch
    >>> multiply_upper(torch.tensor([[1.0, 2.0]]), torch.tensor([[1.0, 1.0], [0.0, 3.0]])).tolist()
    [[3.0, 6.0]]
    """
    product = rows.new_empty(len(rows), len(upper))
    for start, end in _blocks(len(upper)):
        product[:, start:end] = rows[:, start:] @ upper[start:end, start:].T
    return product


def conjugate(upper: Tensor, symmetric: Tensor) -> Tensor:
    """Return the lower triangle of ``upper symmetric upperᵀ``, at a quarter of the cost; entries above it are undefined.

    >>> import torch
    >>> conjugate(torch.tensor([[1.0, 1.0], [0.0, 3.0]]), torch.eye(2)).tril().tolist()
    [[2.0, 0.0], [3.0, 9.0]]
    """
    right, product = symmetric.new_empty(len(symmetric), len(upper)), symmetric.new_zeros(len(upper), len(upper))
    for start, end in _blocks(len(upper)):
        right[start:, start:end] = symmetric[start:, start:] @ upper[start:end, start:].T
    for start, end in _blocks(len(upper)):
        product[start:end, :end] = upper[start:end, start:] @ right[start:, :end]
    return product


def _blocks(size: int) -> Iterator[tuple[int, int]]:
    for start in range(0, size, ROWS_PER_BLOCK):
        yield start, min(size, start + ROWS_PER_BLOCK)
