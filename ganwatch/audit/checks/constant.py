"""Constant items, whose pixels or values are all equal, such as blank images."""

from __future__ import annotations

import math

from ganwatch.audit.check import Check, CheckInput, CheckResult, format_share
from ganwatch.core.detector import NotApplicable


class Constant(Check):
    """Reports the first item of several values that are all equal."""

    name, title, order = "constant", "constant items", 50
    remedy = "Look at them: blank images come from failed downloads, masks or crops. Remove them, or the generator learns to make blanks."

    def examine(self, check_input: CheckInput) -> CheckResult:
        """Count the items that the survey found constant."""
        train = check_input.train
        if all(math.prod(item.shape) == 1 for item in train.items):
            return NotApplicable("items are single numbers")
        blank = [item for item in train.items if item.is_constant]
        if not blank:
            return self.pass_if_complete(train)
        explanation = f"{format_share(len(blank), len(train.items))} items{train.coverage} are the same throughout."
        return self.finding(explanation, train.locate(blank))
