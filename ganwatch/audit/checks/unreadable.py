"""Items that raise an error when they are read."""

from __future__ import annotations

from ganwatch.audit.check import Check, CheckInput, CheckResult, format_share


class Unreadable(Check):
    """Reports the first item that cannot be read, because one is enough to end a training."""

    name, title, order = "unreadable", "items that cannot be read", 20
    remedy = "Restore the files from their source, or remove them from the data."

    def examine(self, check_input: CheckInput) -> CheckResult:
        """Count the errors that reading raised."""
        train = check_input.train
        if not train.unreadable:
            return self.pass_if_complete(train)
        places = tuple(train.source.locate(index) for index, _ in train.unreadable[:8])
        failed = format_share(len(train.unreadable), train.read_count)
        return self.finding(f"{failed}{train.coverage}; the first raised {train.unreadable[0][1]}.", places)
