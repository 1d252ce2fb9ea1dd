"""Clusters: k-means in torch, because scikit-learn is no dependency of the core."""

from __future__ import annotations

import torch
from torch import Tensor

from ganwatch.core.errors import UserError
from ganwatch.metrics.neighbours import centred, nearest


def kmeans(samples: Tensor, k: int, *, seed: int = 0, rounds: int = 50) -> Tensor:
    """Centres of k clusters: seeding by distance (Arthur and Vassilvitskii, 2007), then Lloyd's iterations until nothing moves.

    Parameters
    ----------
    samples : Tensor, shape (N, D), floating point
    k : int
        At most N. Fewer centres come back where fewer samples are distinct.
    seed : int
    rounds : int
        Iterations at most.

    Returns
    -------
    Tensor, shape (k, D)

    Examples
    --------
    >>> centres = kmeans(torch.tensor([[0.0], [0.1], [5.0], [5.1]]), 2)
    >>> sorted(round(float(centre), 2) for centre in centres)
    [0.05, 5.05]
    """
    if not 1 <= k <= len(samples):
        raise UserError(f"k must be between 1 and the number of samples, got {k} of {len(samples)}")
    centres = _seeded(samples, k, torch.Generator().manual_seed(seed))
    clusters = assign(samples, centres)
    for _ in range(rounds):
        sums = torch.zeros_like(centres).index_add_(0, clusters, samples)
        counts = torch.bincount(clusters, minlength=len(centres))[:, None]
        centres = torch.where(counts > 0, sums / counts.clamp_min(1), centres)
        before, clusters = clusters, assign(samples, centres)
        if torch.equal(before, clusters):
            break
    return centres


def assign(samples: Tensor, centres: Tensor) -> Tensor:
    """The nearest centre of each sample: shape (N,), int64."""
    return nearest(samples, centres, 1)[1].squeeze(1)


def _seeded(samples: Tensor, k: int, generator: torch.Generator) -> Tensor:
    (about,) = centred(samples)
    chosen = [int(torch.randint(len(samples), (1,), generator=generator))]
    apart = about.new_full((len(about),), torch.inf)
    while len(chosen) < k:
        apart = torch.minimum(apart, torch.linalg.vector_norm(about - about[chosen[-1]], dim=1).square())
        total = apart.double().cumsum(0)
        if not total[-1] > 0:
            break  # every sample is a centre already
        threshold = torch.rand((), generator=generator, dtype=torch.float64).to(total) * total[-1]
        chosen.append(min(int(torch.searchsorted(total, threshold, right=True)), len(samples) - 1))
    return samples[chosen]
