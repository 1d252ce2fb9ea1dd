"""Intervals for shares."""

from __future__ import annotations

import math


def normal_quantile(confidence: float) -> float:
    """Half the width of a two-sided interval, in standard errors.

    >>> round(normal_quantile(0.95), 3)
    1.96
    """
    from scipy.special import ndtri

    return float(ndtri(0.5 + confidence / 2.0))


def wilson(share: float, n: float, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval of a share (Wilson, 1927): never empty, never outside of [0, 1].

    Parameters
    ----------
    share : float in [0, 1]
    n : float > 0
        Number of independent samples behind it; need not be whole where the samples are not quite independent.
    confidence : float in (0, 1)

    Examples
    --------
    >>> [round(end, 3) for end in wilson(0.0, 100)]
    [0.0, 0.037]
    """
    z2 = normal_quantile(confidence) ** 2
    centre = (share + z2 / (2.0 * n)) / (1.0 + z2 / n)
    half = math.sqrt(z2 * (share * (1.0 - share) / n + z2 / (4.0 * n * n))) / (1.0 + z2 / n)
    return (max(0.0, centre - half) if share > 0.0 else 0.0), (min(1.0, centre + half) if share < 1.0 else 1.0)


def share_interval(share: float, error: float, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's interval of a share of n samples that is less certain than n independent ones make it, by its standard error.

    >>> [round(end, 2) for end in share_interval(0.5, 0.1, 1000)]
    [0.32, 0.68]
    """
    near = (share * n + 0.5) / (n + 1.0)  # so that 0 and 1 have a variance
    return wilson(share, min(float(n), near * (1.0 - near) / max(error, 1e-12) ** 2), confidence)


def clopper_pearson(count: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Exact binomial interval of a share (Clopper and Pearson, 1934): holds the true share at least as often as it says.

    Parameters
    ----------
    count : int
        Samples with the property, of `n`.
    n : int
    confidence : float in (0, 1)

    Examples
    --------
    >>> [round(end, 4) for end in clopper_pearson(0, 10)]
    [0.0, 0.3085]
    """
    from scipy.special import betaincinv

    tail = (1.0 - confidence) / 2.0
    low = 0.0 if count == 0 else float(betaincinv(count, n - count + 1, tail))
    high = 1.0 if count == n else float(betaincinv(count + 1, n - count, 1.0 - tail))
    return low, high


def holm(p_values: list[float]) -> list[float]:
    """Probabilities corrected for how many were looked at, under any dependence (Holm, 1979).

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    corrected = [0.0] * len(p_values)
    largest = 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, p_values[place] * (len(p_values) - rank)))
        corrected[place] = largest
    return corrected
