"""Into how many groups samples fall, where they fall into groups that are clearly apart."""

from __future__ import annotations

import torch
from torch import Tensor

from ganwatch.metrics.kmeans import assign, kmeans
from ganwatch.metrics.neighbours import centred

APART = 0.5
"""Mean silhouette from which on a division is one into groups (Kaufman and Rousseeuw, 1990: a reasonable structure)."""
COMPARED = 512
"""Samples that silhouettes are taken of at most."""


def clusters(samples: Tensor, most: int, *, seed: int = 0) -> Tensor:
    """Centres of the groups that samples fall into, and of ``most`` clusters where they fall into none.

    Parameters
    ----------
    samples : Tensor, shape (N, D), floating point
    most : int
        At most N.
    seed : int

    Returns
    -------
    Tensor, shape (K, D)
        Of the division with the largest mean silhouette (Rousseeuw, 1987), if that is large.

    Examples
    --------
    >>> generator = torch.Generator().manual_seed(0)
    >>> points = torch.randn(300, 2, generator=generator)
    >>> groups = points * 0.02 + torch.randint(3, (300, 1), generator=generator)
    >>> len(clusters(groups, 15)), len(clusters(points, 15))
    (3, 15)
    """
    few = samples[:COMPARED]
    divided = [kmeans(few, k, seed=seed) for k in range(2, min(most, len(few) - 1) + 1)]
    found = [(silhouette(few, assign(few, centres)), centres) for centres in divided if len(centres) > 1]
    best, centres = max(found, key=lambda one: one[0], default=(0.0, few[:1]))
    return centres if best >= APART else kmeans(samples, most, seed=seed)


def silhouette(samples: Tensor, groups: Tensor) -> float:
    """Mean silhouette (Rousseeuw, 1987) in [-1, 1]: how much nearer the own group is than the next one; 0 for a sample alone in its group.

    Parameters
    ----------
    samples : Tensor, shape (N, D), floating point
    groups : Tensor, shape (N,), int64
        From 0 on, at least two different ones.

    Examples
    --------
    >>> silhouette(torch.tensor([[0.0], [1.0], [10.0], [11.0]]), torch.tensor([0, 0, 1, 1]))
    0.899749...
    """
    (about,) = centred(samples)
    member = torch.nn.functional.one_hot(groups).double()
    sizes = member.sum(0)
    summed = torch.cdist(about, about).double() @ member
    own = summed.gather(1, groups[:, None]).squeeze(1) / (sizes[groups] - 1).clamp_min(1.0)
    others = (summed / sizes).scatter(1, groups[:, None], torch.inf)
    next_one = others.nan_to_num(torch.inf, torch.inf).min(1).values
    values = (next_one - own) / torch.maximum(next_one, own).clamp_min(1e-300)
    return float(values.where(sizes[groups] > 1, 0.0).mean())
