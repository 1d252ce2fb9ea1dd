"""Shares of groups among generated samples, against declared targets."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from ganwatch.core.errors import UserError
from ganwatch.features.extractor import Batch, Extractor
from ganwatch.metrics.base import QualityMetric
from ganwatch.metrics.intervals import clopper_pearson
from ganwatch.metrics.labels import label_rows


@dataclass(frozen=True, slots=True)
class GroupShare:
    """Share of a group, with an interval that is simultaneous with those of all other groups."""

    group: int
    target: float
    share: float
    low: float
    high: float

    @property
    def is_met(self) -> bool:
        """True if the target lies in the interval."""
        return self.low <= self.target <= self.high


def group_shares(groups: Tensor, targets: Mapping[int, float], confidence: float = 0.95) -> list[GroupShare]:
    """Return the share of each group with simultaneous exact intervals (Clopper and Pearson, 1934, with Bonferroni's correction).

    Parameters
    ----------
    groups : Tensor, shape (N,), integer
        Group of each sample: a label, an attribute or a cluster. Samples of a group without a target count towards N.
    targets : mapping of group to share in [0, 1]
        Their sum is at most 1.
    confidence : float in (0, 1)
        Probability that all intervals hold.

    Examples
    --------
    >>> import torch
    >>> groups = torch.tensor([0] * 90 + [1] * 10)
    >>> [(group.group, group.share, group.is_met) for group in group_shares(groups, {0: 0.5, 1: 0.5})]
    [(0, 0.9, False), (1, 0.1, False)]
    """
    check_targets(targets)
    n = len(groups)
    if n == 0:
        raise UserError("groups must hold at least one sample, got none")
    shares = []
    for group, target in targets.items():
        count = int((groups == group).sum())
        shares.append(GroupShare(group, target, count / n, *clopper_pearson(count, n, 1.0 - (1.0 - confidence) / len(targets))))
    return shares


def check_targets(targets: Mapping[int, float]) -> None:
    """Raise a UserError unless the targets are shares that add up to 1 at most."""
    wrong = {group: share for group, share in targets.items() if not 0.0 <= share <= 1.0}
    if not targets or wrong or sum(targets.values()) > 1.0 + 1e-9:
        raise UserError(f"targets must be shares in [0, 1] that add up to 1 at most, got {dict(targets)}")


class GroupShares(QualityMetric):
    """Largest difference between the share of a group among generated samples and its target, between 0 and 1.

    The null is the difference of the real samples: if they miss the targets too, the skew is inherited.

    Parameters
    ----------
    extractor : callable, optional
        Samples to scores of the groups ``(N, K)``; the largest score decides. Without it ``update`` takes groups, integers of shape
        ``(N,)``.
    targets : mapping of group to share
        See ``group_shares``.

    Examples
    --------
    >>> import torch
    >>> metric = GroupShares(targets={0: 0.5, 1: 0.5})
    >>> metric.update(torch.tensor([0] * 90 + [1] * 10), real=False)
    >>> round(float(metric.compute()), 6)
    0.4
    """

    higher_is_better = False
    needs_real = False
    bounds = (0.0, 1.0)

    def __init__(
        self, extractor: Extractor | None = None, *, targets: Mapping[int, float], reservoir: int = 100_000, **kwargs: Any
    ) -> None:
        super().__init__(extractor, reservoir=reservoir, **kwargs)
        check_targets(targets)
        self.targets = dict(targets)

    def shares(self, *, real: bool = False) -> list[GroupShare]:
        """Return the share of each group; empty while there are no samples."""
        groups = self.features(real=real)
        return group_shares(groups.squeeze(1), self.targets, self.confidence) if len(groups) else []

    def measure(self, real: Tensor, fake: Tensor) -> float:  # noqa: ARG002  # the targets are compared
        return self._largest_difference(fake)

    def _rows(self, samples: Batch) -> Tensor:
        return label_rows(samples, self.extractor)

    def _largest_difference(self, groups: Tensor) -> float:
        return max(abs(group.share - group.target) for group in group_shares(groups.squeeze(1), self.targets, self.confidence))

    def _interval(self, value: float) -> tuple[float, float]:  # noqa: ARG002  # the intervals of the groups are used
        groups = self.shares()
        low = max(0.0 if group.is_met else min(abs(group.target - group.low), abs(group.target - group.high)) for group in groups)
        return low, max(max(abs(group.target - group.low), abs(group.target - group.high)) for group in groups)

    def _null(self) -> float:
        real = self.features(real=True)
        return self._largest_difference(real) if len(real) else math.nan

    def provenance(self) -> dict[str, Any]:
        return super().provenance() | {"targets": {str(group): share for group, share in self.targets.items()}}
