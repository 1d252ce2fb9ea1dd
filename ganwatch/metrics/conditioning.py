"""Conditional generators: agreement of produced with requested labels, and distance per label."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ganwatch.core.errors import UserError
from ganwatch.features.extractor import Batch, Extractor
from ganwatch.metrics.base import QualityMetric
from ganwatch.metrics.intervals import wilson
from ganwatch.metrics.labels import label_rows


@dataclass(frozen=True, slots=True)
class Agreement:
    """Share of the samples with a requested label to which the classifier gives it, with its interval."""

    label: int
    share: float
    low: float
    high: float
    n: int
    """Number of samples for which the label was requested."""


def agreement_by_label(requested: Tensor, produced: Tensor, confidence: float = 0.95) -> list[Agreement]:
    """Return the agreement for each requested label, with Wilson's interval.

    Parameters
    ----------
    requested, produced : Tensor, shape (N,), integer
        Requested labels, and those that a classifier gives.
    confidence : float in (0, 1)
        Confidence of each interval.

    Examples
    --------
    >>> [(label.label, label.share) for label in agreement_by_label(torch.tensor([0, 0, 1]), torch.tensor([0, 1, 1]))]
    [(0, 0.5), (1, 1.0)]
    """
    if requested.shape != produced.shape or requested.ndim != 1:
        raise UserError(f"requested and produced must have the same shape (N,), got {tuple(requested.shape)} and {tuple(produced.shape)}")
    agreements = []
    for label in torch.bincount(requested).nonzero()[:, 0].tolist():
        of_label = produced[requested == label]
        share = float((of_label == label).double().mean())
        agreements.append(Agreement(label, share, *wilson(share, len(of_label), confidence), len(of_label)))
    return agreements


def distance_by_label(
    distance: Callable[[Tensor, Tensor], float],
    real: Tensor,
    real_labels: Tensor,
    fake: Tensor,
    fake_labels: Tensor,
    *,
    min_samples: int = 2,
) -> dict[int, float]:
    """Return a distance between the real and the generated samples of each label.

    Parameters
    ----------
    distance : callable
        Takes two feature sets ``(N, D)`` and ``(M, D)``. For few samples per label choose an unbiased one, such as ``kernel_distance``.
    real, fake : Tensor, shapes (N, D) and (M, D)
    real_labels, fake_labels : Tensor, shapes (N,) and (M,), integer
        Those of the generated samples are the requested ones.
    min_samples : int
        Samples of a label in each set below which its distance is NaN.

    Examples
    --------
    >>> features, labels = torch.tensor([[0.0], [0.0], [5.0], [5.0]]), torch.tensor([0, 0, 1, 1])
    >>> distance_by_label(lambda x, y: float((x.mean() - y.mean()).abs()), features, labels, features + 1, labels)
    {0: 1.0, 1: 1.0}
    """
    if len(real) != len(real_labels) or len(fake) != len(fake_labels):
        raise UserError(
            f"each sample must have a label, got {len(real_labels)} for {len(real)} real and {len(fake_labels)} for {len(fake)} generated"
        )
    distances = {}
    for label in torch.bincount(real_labels).nonzero()[:, 0].tolist():
        both = real[real_labels == label], fake[fake_labels == label]
        distances[label] = distance(*both) if min(map(len, both)) >= min_samples else math.nan
    return distances


class LabelAgreement(QualityMetric):
    """Share of generated samples to which a classifier gives the requested label; the null is the share of real samples.

    Parameters
    ----------
    extractor : callable, optional
        The classifier: samples to scores ``(N, C)``. Without it ``update`` takes its labels.

    Examples
    --------
    >>> metric = LabelAgreement()
    >>> metric.update(torch.tensor([3, 1, 1, 0]), real=False, requested=torch.tensor([3, 1, 2, 0]))
    >>> metric.compute()
    tensor(0.7500, dtype=torch.float64)
    """

    higher_is_better = True
    needs_real = False
    extra_columns = 1
    bounds = (0.0, 1.0)

    def __init__(self, extractor: Extractor | None = None, *, reservoir: int = 100_000, **kwargs: Any) -> None:
        super().__init__(extractor, reservoir=reservoir, **kwargs)

    def update(self, samples: Batch, *, real: bool, requested: Tensor | None = None) -> None:
        """Add samples ``(N, …)`` of one set, or the labels ``(N,)`` that a classifier gives them.

        Parameters
        ----------
        samples : Tensor
        real : bool
        requested : Tensor, shape (N,), integer
            The requested label; for a real sample its own label.
        """
        if requested is None or len(requested) != len(samples):
            got = "none" if requested is None else len(requested)
            raise UserError(f"requested must have one label for each of the {len(samples)} samples, got {got}")
        self._update_set("real" if real else "fake", samples, label_rows(requested))

    def by_label(self, *, real: bool = False) -> list[Agreement]:
        """Return the agreement for each label of a set."""
        rows = self.features(real=real)
        return agreement_by_label(rows[:, 1].long(), rows[:, 0].long(), self.confidence) if len(rows) else []

    def measure(self, real: Tensor, fake: Tensor) -> float:  # noqa: ARG002  # the labels in the rows are compared
        return _agreement_share(fake)

    def _rows(self, samples: Batch) -> Tensor:
        return label_rows(samples, self.extractor)

    def _interval(self, value: float) -> tuple[float, float]:
        return wilson(value, self._count_used(real=False), self.confidence)

    def _null(self) -> float:
        real = self.features(real=True)
        return _agreement_share(real) if len(real) else math.nan


def _agreement_share(rows: Tensor) -> float:
    return float((rows[:, 0] == rows[:, 1]).double().mean())
