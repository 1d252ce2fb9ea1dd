"""Items with NaN or infinite values."""

from __future__ import annotations

from ganwatch.audit.check import Check, CheckOutcome, Material, share


class NonFinite(Check):
    """Speaks at the first value that is not finite: one makes every weight NaN."""

    name, title, order = "non-finite", "NaN or infinite values", 40
    remedy = "Find where they arise (division by zero, missing values); mend or remove the items. One is enough to ruin the weights."

    def examine(self, material: Material) -> CheckOutcome:
        """Judge by each item's count of values that are not finite."""
        train = material.train
        broken = [row for row in train.rows if row.broken]
        if not broken:
            return self.clean(train)
        values = sum(row.broken for row in broken)
        return self.finding(f"{share(len(broken), len(train.rows))} items{train.sample} hold {values:,} such values.", train.where(broken))
