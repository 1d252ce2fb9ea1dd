"""Conditional generators: agreement of what was produced with what was asked for, and distance per class."""

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
    """Share of the samples of a label that the classifier gave this label, with its interval."""

    label: int
    share: float
    low: float
    high: float
    n: int
    """Samples that were to have the label."""


def agreement_by_label(requested: Tensor, produced: Tensor, confidence: float = 0.95) -> list[Agreement]:
    """Agreement for each label that was asked for, with Wilson's interval.

    Parameters
    ----------
    requested, produced : Tensor, shape (N,), integer
        What was asked for, and what a classifier says it is.
    confidence : float in (0, 1)
        Of each interval.

    Examples
    --------
    >>> [(label.label, label.share) for label in agreement_by_label(torch.tensor([0, 0, 1]), torch.tensor([0, 1, 1]))]
    [(0, 0.5), (1, 1.0)]
    """
    if requested.shape != produced.shape or requested.ndim != 1:
        raise UserError(f"requested and produced must have the same shape (N,), got {tuple(requested.shape)} and {tuple(produced.shape)}")
    found = []
    for label in torch.bincount(requested).nonzero()[:, 0].tolist():
        of_label = produced[requested == label]
        share = float((of_label == label).double().mean())
        found.append(Agreement(label, share, *wilson(share, len(of_label), confidence), len(of_label)))
    return found


def distance_by_label(
    distance: Callable[[Tensor, Tensor], float], real: Tensor, real_labels: Tensor, fake: Tensor, fake_labels: Tensor, *, least: int = 2
) -> dict[int, float]:
    """A distance between the real and the generated samples of each label.

    Parameters
    ----------
    distance : callable
        Of two feature sets ``(N, D)`` and ``(M, D)``; with few samples a label an unbiased one, such as ``kernel_distance``.
    real, fake : Tensor, shapes (N, D) and (M, D)
    real_labels, fake_labels : Tensor, shapes (N,) and (M,), integer
        For the generated ones what was asked for.
    least : int, samples
        NaN stands for a label with fewer on a side.

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
    found = {}
    for label in torch.bincount(real_labels).nonzero()[:, 0].tolist():
        sides = real[real_labels == label], fake[fake_labels == label]
        found[label] = distance(*sides) if min(map(len, sides)) >= least else math.nan
    return found


class LabelAgreement(QualityMetric):
    """Share of generated samples to which a classifier gives the label that was asked for; that of real samples is its null.

    Parameters
    ----------
    extractor : callable, optional
        The classifier: samples to scores ``(N, C)``. Without it ``update`` is given its labels.

    Examples
    --------
    >>> metric = LabelAgreement()
    >>> metric.update(torch.tensor([3, 1, 1, 0]), real=False, requested=torch.tensor([3, 1, 2, 0]))
    >>> metric.compute()
    tensor(0.7500, dtype=torch.float64)
    """

    higher_is_better = True
    needs_real = False
    beside = 1
    bounds = (0.0, 1.0)

    def __init__(self, extractor: Extractor | None = None, *, reservoir: int = 100_000, **kwargs: Any) -> None:
        super().__init__(extractor, reservoir=reservoir, **kwargs)

    def update(self, samples: Batch, *, real: bool, requested: Tensor | None = None) -> None:
        """Take samples ``(N, …)``, or the labels ``(N,)`` of a classifier, of one side.

        Parameters
        ----------
        samples : Tensor
        real : bool
        requested : Tensor, shape (N,), integer
            The label that was asked for; of a real sample the one that it has.
        """
        if requested is None or len(requested) != len(samples):
            got = "none" if requested is None else len(requested)
            raise UserError(f"requested must have one label for each of the {len(samples)} samples, got {got}")
        self._take("real" if real else "fake", samples, label_rows(requested))

    def by_label(self, *, real: bool = False) -> list[Agreement]:
        """Agreement for each label of a side."""
        rows = self.features(real=real)
        return agreement_by_label(rows[:, 1].long(), rows[:, 0].long(), self.confidence) if len(rows) else []

    def measure(self, real: Tensor, fake: Tensor) -> float:  # noqa: ARG002  # its own labels are compared
        return _agreeing(fake)

    def _rows(self, samples: Batch) -> Tensor:
        return label_rows(samples, self.extractor)

    def _interval(self, value: float) -> tuple[float, float]:
        return wilson(value, self._used(real=False), self.confidence)

    def _null(self) -> float:
        real = self.features(real=True)
        return _agreeing(real) if len(real) else math.nan


def _agreeing(rows: Tensor) -> float:
    return float((rows[:, 0] == rows[:, 1]).double().mean())
