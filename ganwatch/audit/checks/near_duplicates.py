"""Near duplicates: items that are the same but for noise, compression, size, brightness or contrast.

``ganwatch.audit.neighbours`` gives method and assumptions. Nothing is flagged on the 1,797 digits (closest ratio 0.33, limit 0.17).
The check is blind to mirrored, rotated or cropped copies, to groups of ten and more near copies, and to data of few dimensions. It mistakes
small samples of vectors in many tight groups (25 groups of eight) for copies.
"""

from __future__ import annotations

import math

from ganwatch.audit.check import Check, CheckInput, CheckResult, format_share
from ganwatch.audit.neighbours import MIN_ITEMS, find_near_copies
from ganwatch.audit.report import Unfinished
from ganwatch.core.detector import NotApplicable

MIN_VALUES = 8
"""Values of an item below which close neighbours are natural."""


class NearDuplicates(Check):
    """Reports items far nearer to another one than their neighbourhoods explain; chance does so in one of a hundred data sets."""

    name, title, order = "near-duplicates", "near duplicates", 110
    remedy = "Look at the pairs. Keep one of each, and keep groups on one side of a split."

    def examine(self, check_input: CheckInput) -> CheckResult:
        """Compare the distances between descriptions."""
        train = check_input.train
        items = train.distinct_items()
        if not train.is_deterministic:
            return NotApplicable("an item differs each time it is read (augmentation)")
        if len(items) < MIN_ITEMS:
            return NotApplicable(f"needs {MIN_ITEMS} different items, got {len(items)}")
        if math.prod(items[0].shape) < MIN_VALUES:
            return NotApplicable(f"items have fewer than {MIN_VALUES} values: close neighbours are natural there")
        result = find_near_copies(items, None, train, is_expired=check_input.is_expired)
        if not result.pairs:
            if result.query_count < len(items):
                return Unfinished(result.query_count, len(items))
            return self.pass_if_complete(train)
        pairs = list(dict.fromkeys(frozenset(pair) for pair in result.pairs))
        places = tuple(" ~ ".join(str(train.source.locate(items[place].index)) for place in sorted(pair)) for pair in pairs[:8])
        text = (
            f"{format_share(len(result.pairs), result.query_count)} items{train.coverage} are over {1 / result.ratio:.0f} times nearer to "
            "another one than to their tenth neighbour; chance does so in 1 % of data sets of this size (intrinsic dimension "
            f"{result.dimension:.1f})."
        )
        return self.finding(text, places)
