"""Imbalanced labels.

Labels are compared with equal shares. A chi-squared test tells if chance explains the differences. Two effect sizes tell if they matter:
Cohen's w (1988; 0.1 small, 0.5 large) and the rarest label's fraction of its even share. A warning needs p < 0.001 together with w >= 0.5
or a label below a fifth of its even share.
"""

from __future__ import annotations

import math
from collections import Counter

from ganwatch.audit.check import Check, CheckInput, CheckResult
from ganwatch.audit.report import Level
from ganwatch.core.detector import NotApplicable

SIGNIFICANCE = 0.001
"""p-value below which chance does not explain the differences."""
SMALL_EFFECT, LARGE_EFFECT = 0.1, 0.5
"""Cohen's w of an info and of a warning."""
RARE_SHARE = 0.2
"""Fraction of its even share below which a label is rare."""


class Balance(Check):
    """Reports labels that are unequal beyond chance: info from w = 0.1, warning from w = 0.5 or a label below a fifth of its even share."""

    name, title, order = "balance", "labels are imbalanced", 80
    remedy = "Weight the sampler, collect more of the rare labels, or condition on the label; a GAN drops rare modes first."

    def examine(self, check_input: CheckInput) -> CheckResult:
        """Count every label if they are known without reading the items, else those of the items that were read."""
        from scipy.special import chdtrc

        train, labels = check_input.train, check_input.train.source.labels
        if train.source.weighted:
            return NotApplicable("a weighted sampler decides how often each label is drawn")
        are_all_known = labels is not None
        if labels is None:
            labels = [item.label for item in train.items if item.label is not None]
            if len(labels) < len(train.items):
                return NotApplicable("items have no labels that are classes")
        counts = Counter(labels)
        if len(counts) > max(2, len(labels) // 5):
            return NotApplicable(f"{len(counts):,} different labels of {len(labels):,} are identifiers or measurements, not classes")
        for label in train.source.classes or _find_gaps(counts):
            counts.setdefault(label, 0)
        if len(counts) == 1:
            return NotApplicable("there is one label only")
        even = len(labels) / len(counts)
        squares = sum((count - even) ** 2 / even for count in counts.values())
        p, w = float(chdtrc(len(counts) - 1, squares)), math.sqrt(squares / len(labels))
        ordered = counts.most_common()
        rare = [label for label, count in ordered[::-1] if count < RARE_SHARE * even]
        if p >= SIGNIFICANCE or (w < SMALL_EFFECT and not rare):
            return None if are_all_known else self.pass_if_complete(train)
        (most, high), (least, low) = ordered[0], ordered[-1]
        text = (
            f"Of {len(labels):,} labels{'' if are_all_known else train.coverage}, {most!r} comes {high:,} times and {least!r} {low:,} "
            f"times ({low / even:.1%} of an even share; {len(rare)} of {len(counts)} labels are below a fifth of it). "
            f"Chi-squared {squares:.4g}, p = {p:.2g}, Cohen's w = {w:.2f}."
        )
        examples = [item for label in rare or [least] for item in train.items if item.label == label]
        severity = Level.WARNING if rare or w >= LARGE_EFFECT else Level.INFO
        return self.finding(text, train.locate(examples), severity=severity)


def _find_gaps(counts: Counter[int | str]) -> list[int]:
    """Return the dense range of whole numbers that the labels span; empty if they are no whole numbers or lie far apart."""
    whole = [label for label in counts if isinstance(label, int)]
    if len(whole) != len(counts):
        return []
    span = range(min(0, *whole), max(whole) + 1)
    return list(span) if len(span) <= 2 * len(whole) + 1 else []
