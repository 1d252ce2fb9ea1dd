"""Overlap of held-out and training data: exact and near copies (method in ``ganwatch.audit.neighbours``)."""

from __future__ import annotations

import math

from ganwatch.audit.check import Check, CheckInput, CheckResult, format_share
from ganwatch.audit.neighbours import MIN_ITEMS, find_near_copies
from ganwatch.audit.report import Unfinished
from ganwatch.audit.survey import ItemSummary, Survey
from ganwatch.core.detector import NotApplicable

MIN_VALUES = 8
"""Values of an item below which close neighbours are natural."""


class Overlap(Check):
    """Reports the first held-out item that is an exact or near copy of a training item, apart from constant and non-finite items."""

    name, title, order = "overlap", "held-out data are in the training data", 100
    remedy = "Remove the copies from one side; until then held-out scores and memorisation checks mean nothing."

    def examine(self, check_input: CheckInput) -> CheckResult:
        """Compare hashes, then distances between descriptions."""
        train, held_out = check_input.train, check_input.held_out
        if held_out is None:
            return NotApplicable("needs held-out data (held_out)")
        if isinstance(held_out, NotApplicable):
            return held_out
        if not (train.is_deterministic and held_out.is_deterministic):
            return NotApplicable("an item differs each time it is read (augmentation)")
        items = [item for item in held_out.items if not item.nonfinite and not item.is_constant]
        known = {item.digest for item in train.items}
        exact = [item for item in items if item.digest in known]
        near, count = _find_near(train, [item for item in held_out.distinct_items() if item.digest not in known], check_input)
        if exact or near:
            text = (
                f"{format_share(len(exact), len(items))} held-out items{held_out.coverage} are training items exactly, {len(near):,} more "
                f"nearly. They were compared with {train.read_count:,} of {train.source.size:,} training items."
            )
            return self.finding(text, held_out.locate([*exact, *near]))
        if not train.is_complete or not held_out.is_complete:
            return self.pass_if_complete(train) or self.pass_if_complete(held_out)
        return None if count is None else Unfinished(count, len(items))


def _find_near(train: Survey, items: list[ItemSummary], check_input: CheckInput) -> tuple[list[ItemSummary], int | None]:
    """Return the near copies, and the number of items that were compared if the time was too short for all."""
    base = train.distinct_items()
    if len(base) < MIN_ITEMS or not items or items[0].vector is None or base[0].vector is None:
        return [], None
    if math.prod(base[0].shape) < MIN_VALUES or len(items[0].vector) != len(base[0].vector):
        return [], None
    result = find_near_copies(items, base, train, is_expired=check_input.is_expired)
    return [items[query] for query, _ in result.pairs], None if result.query_count == len(items) else result.query_count
