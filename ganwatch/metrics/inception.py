"""Inception Score, for comparison with papers; no detector reads it."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from ganwatch.core.errors import UserError
from ganwatch.features.extractor import Batch, Extractor
from ganwatch.metrics.base import QualityMetric
from ganwatch.metrics.intervals import normal_quantile


def inception_score(probabilities: Tensor) -> float:
    """Return the exponential of the mean divergence of class probabilities from their mean (Salimans et al., 2016, arXiv:1606.03498).

    Parameters
    ----------
    probabilities : Tensor, shape (N, C), floating point
        Rows that add up to 1.

    Returns
    -------
    float in [1, C]
        C if the classifier is certain of each sample and the samples are spread evenly over the classes.

    Examples
    --------
    >>> round(inception_score(torch.eye(3)), 6)
    3.0
    """
    return math.exp(float(divergences(probabilities).mean()))


def divergences(probabilities: Tensor) -> Tensor:
    """Return the divergence of each row from the mean of the rows, in nats: shape (N,), float64."""
    rows = probabilities.double()
    mean = rows.mean(0)
    return (torch.xlogy(rows, rows) - torch.xlogy(rows, mean)).sum(1)


class InceptionScore(QualityMetric):
    """Inception Score of generated samples, between 1 and the number of classes.

    The null is the score of as many real samples, if there are enough. The score ignores the real data, rises for samples that fool the
    classifier (Barratt and Sharma, 2018, arXiv:1801.01973), and depends on the number of samples, so use it for comparison only. It is
    measured over all samples at once, not as a mean over ten splits.

    Parameters
    ----------
    extractor : callable, optional
        A classifier: samples to ``(N, C)``. Without it ``update`` takes its output.
    logits : bool
        True if that output is logits, False if it is probabilities.

    Examples
    --------
    >>> metric = InceptionScore()
    >>> metric.update(20.0 * torch.eye(4), real=False)
    >>> round(float(metric.compute()), 4)
    4.0
    """

    higher_is_better = True
    needs_real = False
    bounds = (1.0, math.inf)

    def __init__(self, extractor: Extractor | None = None, *, logits: bool = True, **kwargs: Any) -> None:
        super().__init__(extractor, **kwargs)
        self.logits = logits

    def measure(self, real: Tensor, fake: Tensor) -> float:  # noqa: ARG002  # real samples do not enter
        return inception_score(fake)

    def _rows(self, samples: Batch) -> Tensor:
        rows = super()._rows(samples)
        if self.logits:
            return rows.softmax(1)
        sums = rows.sum(1)
        wrong = int(((rows < 0.0).any(1) | ((sums - 1.0).abs() > 1e-3)).sum())
        if wrong:
            raise UserError(f"samples must be rows of probabilities, got {wrong} of {len(rows)} that are not")
        return rows

    def _interval(self, value: float) -> tuple[float, float]:
        values = divergences(self.features(real=False))
        half = normal_quantile(self.confidence) * float(values.std()) / math.sqrt(len(values))
        return value * math.exp(-half), value * math.exp(half)

    def _null(self) -> float:
        real, n = self.features(real=True), len(self.features(real=False))
        return inception_score(real[:n]) if len(real) >= n else math.nan

    def provenance(self) -> dict[str, Any]:
        return super().provenance() | {"logits": self.logits}
