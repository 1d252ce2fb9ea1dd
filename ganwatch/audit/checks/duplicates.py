"""Exact duplicates, by a hash of type, shape and values (of decoded pixels, for files)."""

from __future__ import annotations

from collections import Counter

import numpy as np

from ganwatch.audit.check import Check, CheckOutcome, Material, share
from ganwatch.audit.report import Level
from ganwatch.core.detector import NotApplicable


class Duplicates(Check):
    """Speaks at the first repetition, constant and non-finite items apart; as info where items are short vectors of whole numbers,
    which repeat by nature.
    """

    name, title, order = "duplicates", "exact duplicates", 90
    remedy = "Keep one of each. What is repeated is learned by heart first, and copies on both sides of a split spoil every held-out score."

    def examine(self, material: Material) -> CheckOutcome:
        """Judge by the hashes of the items."""
        train = material.train
        rows = [row for row in train.rows if not row.broken and not row.constant]
        counts = Counter(row.digest for row in rows)
        repeated = [row for row in rows if counts[row.digest] > 1]
        if not repeated:
            return self.clean(train) if train.steady else NotApplicable("an item differs each time it is read (augmentation)")
        groups = len({row.digest for row in repeated})
        repeated.sort(key=lambda row: (-counts[row.digest], row.digest, row.index))
        discrete = not train.images and all(row.vector is not None and bool(np.all(row.vector == np.round(row.vector))) for row in rows)
        text = (
            f"{share(len(repeated) - groups, len(rows))} items{train.sample} repeat another one exactly, in {groups:,} groups; "
            f"the largest has {max(counts.values()):,}."
        )
        return self.finding(text, train.where(repeated), severity=Level.INFO if discrete else Level.WARNING)
