"""Number of groups that samples form, if the groups are well separated."""

from __future__ import annotations

import torch
from torch import Tensor

from ganwatch.metrics.kmeans import assign, kmeans
from ganwatch.metrics.neighbours import subtract_mean

MIN_SILHOUETTE = 0.5
"""Mean silhouette of a division into separate groups, at least (Kaufman and Rousseeuw, 1990: a reasonable structure)."""
MIN_SILHOUETTE_OF_FEW, MAX_FEW_GROUPS = 0.7, 3
"""The same for two or three groups, as one direction of large spread divides samples so without any gap."""
HINTS, MIN_HINT = (2, 4, 8, 16), 0.35
"""Numbers of groups that are tried first, and the silhouette without which no other number is."""
MAX_SILHOUETTE_SAMPLES = 512
"""Samples from which silhouettes are computed."""


def find_clusters(samples: Tensor, max_clusters: int, *, seed: int = 0) -> Tensor:
    """Return the centres of the groups that samples form, or of ``max_clusters`` clusters if they form none.

    Parameters
    ----------
    samples : Tensor, shape (N, D), floating point
    max_clusters : int
        At most N.
    seed : int

    Returns
    -------
    Tensor, shape (K, D)
        Centres of the division with the largest mean silhouette (Rousseeuw, 1987), if that is large.

    Examples
    --------
    >>> generator = torch.Generator().manual_seed(0)
    >>> points = torch.randn(300, 2, generator=generator)
    >>> groups = points * 0.02 + torch.randint(3, (300, 1), generator=generator)
    >>> len(find_clusters(groups, 15)), len(find_clusters(points, 15))
    (3, 15)
    """
    few = samples[:MAX_SILHOUETTE_SAMPLES]
    most = min(max_clusters, len(few) - 1)
    best, centres = 0.0, few[:1]
    if _has_groups(few, most, seed):
        for k in range(2, most + 1):
            division = kmeans(few, k, seed=seed)
            value = silhouette(few, assign(few, division)) if len(division) > 1 else 0.0
            if value > best and value >= (MIN_SILHOUETTE_OF_FEW if len(division) <= MAX_FEW_GROUPS else MIN_SILHOUETTE):
                best, centres = value, division
    return centres if best > 0.0 else kmeans(samples, max_clusters, seed=seed)


def _has_groups(samples: Tensor, most: int, seed: int) -> bool:
    """Return True if some division into few groups is not quite arbitrary."""
    if most < HINTS[1]:
        return True
    divisions = (kmeans(samples, k, seed=seed, starts=1) for k in HINTS if k <= most)
    return any(len(one) > 1 and silhouette(samples, assign(samples, one)) >= MIN_HINT for one in divisions)


def silhouette(samples: Tensor, groups: Tensor) -> float:
    """Return the mean silhouette (Rousseeuw, 1987) in [-1, 1].

    It says how much nearer the own group is than the next one; a sample alone in its group has 0.

    Parameters
    ----------
    samples : Tensor, shape (N, D), floating point
    groups : Tensor, shape (N,), int64
        Numbers from 0 on, at least two different ones.

    Examples
    --------
    >>> silhouette(torch.tensor([[0.0], [1.0], [10.0], [11.0]]), torch.tensor([0, 0, 1, 1]))
    0.899749...
    """
    (rows,) = subtract_mean(samples)
    member = torch.nn.functional.one_hot(groups).double()
    sizes = member.sum(0)
    summed = torch.cdist(rows, rows).double() @ member
    own = summed.gather(1, groups[:, None]).squeeze(1) / (sizes[groups] - 1).clamp_min(1.0)
    others = (summed / sizes).scatter(1, groups[:, None], torch.inf)
    next_group = others.nan_to_num(torch.inf, torch.inf).min(1).values
    values = (next_group - own) / torch.maximum(next_group, own).clamp_min(1e-300)
    return float(values.where(sizes[groups] > 1, 0.0).mean())
