"""Near duplicates: items that are the same but for noise, compression, size, brightness or contrast.

Method and assumptions are in ``ganwatch.audit.neighbours``. On the 1,797 digits nothing is flagged (closest ratio 0.33, limit 0.17).
Blind to mirrored, rotated or cropped copies, to groups of ten and more near copies, and to data of few dimensions. Small samples of
vectors that lie in many tight groups (25 groups of eight) are mistaken for copies.
"""

from __future__ import annotations

import math

from ganwatch.audit.check import Check, CheckOutcome, Material, share
from ganwatch.audit.neighbours import MINIMUM, near_copies
from ganwatch.audit.report import Unfinished
from ganwatch.core.detector import NotApplicable

NARROW = 8


class NearDuplicates(Check):
    """Speaks when items lie far nearer to another one than their neighbourhoods explain; chance does so in one of a hundred data sets."""

    name, title, order = "near-duplicates", "near duplicates", 110
    remedy = "Look at the pairs. Keep one of each, and keep groups on one side of a split."

    def examine(self, material: Material) -> CheckOutcome:
        """Judge by distances between descriptions."""
        train = material.train
        rows = train.distinct()
        if not train.steady:
            return NotApplicable("an item differs each time it is read (augmentation)")
        if len(rows) < MINIMUM:
            return NotApplicable(f"needs {MINIMUM} different items, got {len(rows)}")
        if math.prod(rows[0].shape) < NARROW:
            return NotApplicable(f"items have fewer than {NARROW} values: close neighbours are natural there")
        result = near_copies(rows, None, train, expired=material.expired)
        if not result.pairs:
            return self.clean(train) if result.looked == len(rows) else Unfinished(result.looked, len(rows))
        pairs = list(dict.fromkeys(frozenset(pair) for pair in result.pairs))
        places = tuple(" ~ ".join(str(train.source.where(rows[row].index)) for row in sorted(pair)) for pair in pairs[:8])
        text = (
            f"{share(len(result.pairs), result.looked)} items{train.sample} are over {1 / result.ratio:.0f} times nearer to another one "
            f"than to their tenth neighbour; chance does so in 1 % of data sets of this size (intrinsic dimension {result.dimension:.1f})."
        )
        return self.finding(text, places)
