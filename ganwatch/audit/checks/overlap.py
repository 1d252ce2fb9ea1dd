"""Held-out data that are in the training data too, exactly or nearly (method in ``ganwatch.audit.neighbours``)."""

from __future__ import annotations

import math

from ganwatch.audit.check import Check, CheckOutcome, Material, share
from ganwatch.audit.neighbours import MINIMUM, near_copies
from ganwatch.audit.report import Unfinished
from ganwatch.audit.survey import Row, Survey
from ganwatch.core.detector import NotApplicable

NARROW = 8


class Overlap(Check):
    """Speaks at the first held-out item that is an exact or near copy of a training item; constant and non-finite items apart."""

    name, title, order = "overlap", "held-out data are in the training data", 100
    remedy = "Take the copies out of one side; until then held-out scores and memorisation checks say nothing."

    def examine(self, material: Material) -> CheckOutcome:
        """Judge by hashes, then by distances between descriptions."""
        train, held_out = material.train, material.held_out
        if held_out is None:
            return NotApplicable("needs held-out data (held_out)")
        if isinstance(held_out, NotApplicable):
            return held_out
        if not (train.steady and held_out.steady):
            return NotApplicable("an item differs each time it is read (augmentation)")
        rows = [row for row in held_out.rows if not row.broken and not row.constant]
        known = {row.digest for row in train.rows}
        exact = [row for row in rows if row.digest in known]
        near, looked = _near(train, [row for row in held_out.distinct() if row.digest not in known], material)
        if exact or near:
            text = (
                f"{share(len(exact), len(rows))} held-out items{held_out.sample} are training items exactly, {len(near):,} more nearly. "
                f"Of the training data {train.looked:,} of {train.source.size:,} were compared."
            )
            return self.finding(text, held_out.where([*exact, *near]))
        if not train.complete or not held_out.complete:
            return self.clean(train) or self.clean(held_out)
        return None if looked is None else Unfinished(looked, len(rows))


def _near(train: Survey, rows: list[Row], material: Material) -> tuple[list[Row], int | None]:
    """Near copies, and how many rows were looked at if time did not allow all."""
    base = train.distinct()
    if len(base) < MINIMUM or not rows or rows[0].vector is None or base[0].vector is None:
        return [], None
    if math.prod(base[0].shape) < NARROW or len(rows[0].vector) != len(base[0].vector):
        return [], None
    result = near_copies(rows, base, train, expired=material.expired)
    return [rows[query] for query, _ in result.pairs], None if result.looked == len(rows) else result.looked
