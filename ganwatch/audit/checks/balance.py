"""Labels that come unequally often.

Against equal shares: a chi-squared test says whether chance explains the differences, and two effect sizes whether they matter: Cohen's w
(1988; 0.1 small, 0.5 large) and the rarest label's share of what is even. A warning needs p < 0.001 together with w >= 0.5 or a label below
a fifth of its even share.
"""

from __future__ import annotations

import math
from collections import Counter

from ganwatch.audit.check import Check, CheckOutcome, Material
from ganwatch.audit.report import Level
from ganwatch.core.detector import NotApplicable

SIGNIFICANT, SMALL, LARGE, RARE = 0.001, 0.1, 0.5, 0.2


class Balance(Check):
    """Speaks when labels are unequal beyond chance: info from w = 0.1, warning from w = 0.5 or a label below a fifth of its even share."""

    name, title, order = "balance", "labels come unequally often", 80
    remedy = "Weight the sampler, collect more of the rare labels, or condition on the label; a GAN drops rare kinds first."

    def examine(self, material: Material) -> CheckOutcome:
        """Judge by every label where they are known without reading the items, else by those of the sample."""
        from scipy.special import chdtrc

        train, labels = material.train, material.train.source.labels
        if train.source.weighted:
            return NotApplicable("a weighted sampler decides how often labels come")
        known = labels is not None
        if labels is None:
            labels = [row.label for row in train.rows if row.label is not None]
            if len(labels) < len(train.rows):
                return NotApplicable("items have no labels that are classes")
        counts = Counter(labels)
        if len(counts) > max(2, len(labels) // 5):
            return NotApplicable(f"{len(counts):,} different labels of {len(labels):,} are identifiers or measurements, not classes")
        for label in train.source.classes or _gaps(counts):
            counts.setdefault(label, 0)
        if len(counts) == 1:
            return NotApplicable("there is one label only")
        even = len(labels) / len(counts)
        squares = sum((count - even) ** 2 / even for count in counts.values())
        p, w = float(chdtrc(len(counts) - 1, squares)), math.sqrt(squares / len(labels))
        ordered = counts.most_common()
        rare = [label for label, count in ordered[::-1] if count < RARE * even]
        if p >= SIGNIFICANT or (w < SMALL and not rare):
            return None if known else self.clean(train)
        (most, high), (least, low) = ordered[0], ordered[-1]
        text = (
            f"Of {len(labels):,} labels{'' if known else train.sample}, {most!r} comes {high:,} times and {least!r} {low:,} "
            f"times ({low / even:.1%} of an even share; {len(rare)} of {len(counts)} labels are below a fifth of it). "
            f"Chi-squared {squares:.4g}, p = {p:.2g}, Cohen's w = {w:.2f}."
        )
        some = [row for label in rare or [least] for row in train.rows if row.label == label]
        severity = Level.WARNING if rare or w >= LARGE else Level.INFO
        return self.finding(text, train.where(some), severity=severity)


def _gaps(counts: Counter[int | str]) -> list[int]:
    """Whole numbers that are missing between the labels, if labels are whole numbers that are otherwise dense."""
    whole = [label for label in counts if isinstance(label, int)]
    if len(whole) != len(counts):
        return []
    span = range(min(0, *whole), max(whole) + 1)
    return list(span) if len(span) <= 2 * len(whole) + 1 else []
