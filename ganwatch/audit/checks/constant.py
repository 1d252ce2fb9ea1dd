"""Items whose pixels or values are all equal: blank images."""

from __future__ import annotations

import math

from ganwatch.audit.check import Check, CheckOutcome, Material, share
from ganwatch.core.detector import NotApplicable


class Constant(Check):
    """Speaks at the first item of several values that are all equal."""

    name, title, order = "constant", "constant items", 50
    remedy = "Look at them: blank images come from failed downloads, masks or crops. Remove them, or the generator learns to make blanks."

    def examine(self, material: Material) -> CheckOutcome:
        """Judge by what the survey noted for each item."""
        train = material.train
        if all(math.prod(row.shape) == 1 for row in train.rows):
            return NotApplicable("items are single numbers")
        blank = [row for row in train.rows if row.constant]
        if not blank:
            return self.clean(train)
        return self.finding(f"{share(len(blank), len(train.rows))} items{train.sample} are the same throughout.", train.where(blank))
