"""Items that raise an error when they are read."""

from __future__ import annotations

from ganwatch.audit.check import Check, CheckOutcome, Material, share


class Unreadable(Check):
    """Speaks at the first item that cannot be read: one is enough to end a training."""

    name, title, order = "unreadable", "items that cannot be read", 20
    remedy = "Restore the files from their origin, or remove them from the data."

    def examine(self, material: Material) -> CheckOutcome:
        """Judge by the errors that reading raised."""
        train = material.train
        if not train.unreadable:
            return self.clean(train)
        places = tuple(train.source.where(index) for index, _ in train.unreadable[:8])
        return self.finding(f"{share(len(train.unreadable), train.looked)}{train.sample}; the first says {train.unreadable[0][1]}.", places)
