"""Intervals of shares."""

from __future__ import annotations

import math


def normal_quantile(confidence: float) -> float:
    """Return half the width of a two-sided interval, in standard errors.

    >>> round(normal_quantile(0.95), 3)
    1.96
    """
    from scipy.special import ndtri

    return float(ndtri(0.5 + confidence / 2.0))


def wilson(share: float, n: float, confidence: float = 0.95) -> tuple[float, float]:
    """Return Wilson's score interval of a share (Wilson, 1927): never empty, never outside [0, 1].

    Parameters
    ----------
    share : float in [0, 1]
    n : float > 0
        Number of independent samples behind the share; fractional if the samples are not quite independent.
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
    """Return Wilson's interval of a share of n samples whose standard error is larger than that of n independent samples.

    >>> [round(end, 2) for end in share_interval(0.5, 0.1, 1000)]
    [0.32, 0.68]
    """
    near = (share * n + 0.5) / (n + 1.0)  # shares of 0 and 1 too get a variance
    return wilson(share, min(float(n), near * (1.0 - near) / max(error, 1e-12) ** 2), confidence)


def clopper_pearson(count: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return the exact binomial interval of a share (Clopper and Pearson, 1934).

    It holds the true share with probability ``confidence`` or more.

    Parameters
    ----------
    count : int
        Number of samples with the property.
    n : int
        Number of samples.
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
    """Correct p-values for the number of tests, under any dependence (Holm, 1979).

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    corrected = [0.0] * len(p_values)
    largest = 0.0
    for position, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, p_values[index] * (len(p_values) - position)))
        corrected[index] = largest
    return corrected
