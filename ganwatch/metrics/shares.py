"""Shares of groups among generated samples, against what was declared."""

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
    """The share of a group, with an interval that holds together with those of all other groups."""

    group: int
    target: float
    share: float
    low: float
    high: float

    @property
    def met(self) -> bool:
        """Whether the target may be the true share."""
        return self.low <= self.target <= self.high


def group_shares(groups: Tensor, targets: Mapping[int, float], confidence: float = 0.95) -> list[GroupShare]:
    """Share of each group with simultaneous exact intervals (Clopper and Pearson, 1934, with Bonferroni's correction).

    Parameters
    ----------
    groups : Tensor, shape (N,), integer
        The group of each sample: a label, an attribute, or a cluster. Samples of a group without a target count as samples.
    targets : mapping of group to share in [0, 1]
        Adding up to 1 at most.
    confidence : float in (0, 1)
        That all intervals hold.

    Examples
    --------
    >>> import torch
    >>> groups = torch.tensor([0] * 90 + [1] * 10)
    >>> [(group.group, group.share, group.met) for group in group_shares(groups, {0: 0.5, 1: 0.5})]
    [(0, 0.9, False), (1, 0.1, False)]
    """
    check_targets(targets)
    n = len(groups)
    if n == 0:
        raise UserError("groups must hold at least one sample, got none")
    found = []
    for group, target in targets.items():
        count = int((groups == group).sum())
        found.append(GroupShare(group, target, count / n, *clopper_pearson(count, n, 1.0 - (1.0 - confidence) / len(targets))))
    return found


def check_targets(targets: Mapping[int, float]) -> None:
    """Raise where these cannot be shares."""
    wrong = {group: share for group, share in targets.items() if not 0.0 <= share <= 1.0}
    if not targets or wrong or sum(targets.values()) > 1.0 + 1e-9:
        raise UserError(f"targets must be shares in [0, 1] that add up to 1 at most, got {dict(targets)}")


class GroupShares(QualityMetric):
    """Largest difference between the share of a group among generated samples and its target, between 0 and 1.

    The null is that of the real samples: where they miss the targets too, the skew is inherited.

    Parameters
    ----------
    extractor : callable, optional
        Samples to scores of the groups ``(N, K)``, of which the largest counts. Without it ``update`` is given groups, integers of
        shape ``(N,)``.
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
        """The share of each group; empty while there are no samples."""
        groups = self.features(real=real)
        return group_shares(groups.squeeze(1), self.targets, self.confidence) if len(groups) else []

    def measure(self, real: Tensor, fake: Tensor) -> float:  # noqa: ARG002  # compared with the targets
        return self._furthest(fake)

    def _rows(self, samples: Batch) -> Tensor:
        return label_rows(samples, self.extractor)

    def _furthest(self, groups: Tensor) -> float:
        return max(abs(group.share - group.target) for group in group_shares(groups.squeeze(1), self.targets, self.confidence))

    def _interval(self, value: float) -> tuple[float, float]:  # noqa: ARG002  # from the intervals of the groups
        groups = self.shares()
        least = max(0.0 if group.met else min(abs(group.target - group.low), abs(group.target - group.high)) for group in groups)
        return least, max(max(abs(group.target - group.low), abs(group.target - group.high)) for group in groups)

    def _null(self) -> float:
        real = self.features(real=True)
        return self._furthest(real) if len(real) else math.nan

    def provenance(self) -> dict[str, Any]:
        return super().provenance() | {"targets": {str(group): share for group, share in self.targets.items()}}
