"""Exact duplicates, by a hash of dtype, shape and values (of decoded pixels, for files)."""

from __future__ import annotations

from collections import Counter

import numpy as np

from ganwatch.audit.check import Check, CheckInput, CheckResult, format_share
from ganwatch.audit.report import Level
from ganwatch.core.detector import NotApplicable


class Duplicates(Check):
    """Reports the first repetition, apart from constant and non-finite items.

    It is an info only if items are short vectors of whole numbers, which repeat by nature.
    """

    name, title, order = "duplicates", "exact duplicates", 90
    remedy = "Keep one of each. Repeated items are memorised first, and copies on both sides of a split spoil every held-out score."

    def examine(self, check_input: CheckInput) -> CheckResult:
        """Compare the hashes of the items."""
        train = check_input.train
        items = [item for item in train.items if not item.nonfinite and not item.is_constant]
        counts = Counter(item.digest for item in items)
        repeated = [item for item in items if counts[item.digest] > 1]
        if not repeated:
            if not train.is_deterministic:
                return NotApplicable("an item differs each time it is read (augmentation)")
            return self.pass_if_complete(train)
        groups = len({item.digest for item in repeated})
        repeated.sort(key=lambda item: (-counts[item.digest], item.digest, item.index))
        whole = (item.vector is not None and bool(np.all(item.vector == np.round(item.vector))) for item in items)
        is_discrete = not train.has_images and all(whole)
        text = (
            f"{format_share(len(repeated) - groups, len(items))} items{train.coverage} repeat another one exactly, in {groups:,} groups; "
            f"the largest has {max(counts.values()):,}."
        )
        return self.finding(text, train.locate(repeated), severity=Level.INFO if is_discrete else Level.WARNING)
