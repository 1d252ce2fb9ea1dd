"""Items with NaN or infinite values."""

from __future__ import annotations

from ganwatch.audit.check import Check, CheckInput, CheckResult, format_share


class NonFinite(Check):
    """Reports the first value that is not finite, because one makes every weight NaN."""

    name, title, order = "non-finite", "NaN or infinite values", 40
    remedy = "Find their cause (division by zero, missing values); correct or remove the items. One is enough to ruin the weights."

    def examine(self, check_input: CheckInput) -> CheckResult:
        """Count the values that are not finite."""
        train = check_input.train
        items = [item for item in train.items if item.nonfinite]
        if not items:
            return self.pass_if_complete(train)
        values = sum(item.nonfinite for item in items)
        explanation = f"{format_share(len(items), len(train.items))} items{train.coverage} hold {values:,} such values."
        return self.finding(explanation, train.locate(items))
