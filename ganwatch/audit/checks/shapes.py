"""Items of several sizes, or image files of several pixel modes."""

from __future__ import annotations

from collections import Counter

from ganwatch.audit.check import Check, CheckOutcome, Material, share

_SHOWN = 4


class Shapes(Check):
    """Speaks when not every item has the same shape (a batch cannot be stacked), or not every file the same mode (grey, RGB, alpha)."""

    name, title, order = "shapes", "items of several sizes or pixel modes", 30
    remedy = "Bring every item to one size and one mode before it is stacked; look first at the rare ones, they are often strays."

    def examine(self, material: Material) -> CheckOutcome:
        """Judge by each item's shape and mode."""
        train = material.train
        kinds = [" ".join(filter(None, (" x ".join(map(str, row.shape)), row.mode))) for row in train.rows]
        counts = Counter(kinds).most_common()
        if len(counts) == 1:
            return self.clean(train)
        rare = [row for row, kind in zip(train.rows, kinds, strict=True) if kind != counts[0][0]]
        listed = ", ".join(f"{count:,} of {kind}" for kind, count in counts[:_SHOWN]) + (", …" if len(counts) > _SHOWN else "")
        return self.finding(f"{share(len(rare), len(train.rows))}{train.sample} differ from the commonest: {listed}.", train.where(rare))
