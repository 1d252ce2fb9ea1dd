"""Items of several sizes, or image files of several pixel modes."""

from __future__ import annotations

from collections import Counter

from ganwatch.audit.check import Check, CheckInput, CheckResult, format_share

_MAX_LISTED = 4


class Shapes(Check):
    """Reports items of different shapes, which cannot be stacked to a batch, or files of different pixel modes (grey, RGB, alpha)."""

    name, title, order = "shapes", "items of several sizes or pixel modes", 30
    remedy = "Convert every item to one size and one pixel mode before it is stacked; look first at the rare ones, they are often strays."

    def examine(self, check_input: CheckInput) -> CheckResult:
        """Count the items of each shape and pixel mode."""
        train = check_input.train
        forms = [" ".join(filter(None, (" x ".join(map(str, item.shape)), item.pixel_mode))) for item in train.items]
        counts = Counter(forms).most_common()
        if len(counts) == 1:
            return self.pass_if_complete(train)
        rare = [item for item, form in zip(train.items, forms, strict=True) if form != counts[0][0]]
        listed = ", ".join(f"{count:,} of {form}" for form, count in counts[:_MAX_LISTED]) + (", …" if len(counts) > _MAX_LISTED else "")
        explanation = f"{format_share(len(rare), len(train.items))}{train.coverage} differ from the commonest: {listed}."
        return self.finding(explanation, train.locate(rare))
