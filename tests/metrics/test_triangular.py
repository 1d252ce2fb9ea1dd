"""Products by triangles are the plain products, however the blocks fall."""

import pytest
import torch

from ganwatch.metrics import triangular


@pytest.mark.parametrize("block", [1, 3, 4, 100])
@pytest.mark.parametrize("rank", [10, 7, 1, 0])
def test_as_computed_plainly(block, rank, monkeypatch):
    monkeypatch.setattr(triangular, "ROWS_PER_BLOCK", block)
    generator = torch.Generator().manual_seed(0)
    rows, upper = (torch.randn(n, 10, generator=generator, dtype=torch.float64) for n in (12, rank))
    upper, symmetric = upper.triu(), rows.T @ rows
    assert torch.allclose(triangular.add_gram(torch.empty(0, 0), rows), symmetric)
    assert torch.allclose(triangular.add_gram(symmetric, rows[:3]), symmetric + rows[:3].T @ rows[:3])
    assert torch.allclose(triangular.multiply_upper(rows, upper), rows @ upper.T)
    assert torch.allclose(triangular.conjugate(upper, symmetric).tril(), (upper @ symmetric @ upper.T).tril())
