"""Base of the front ends ``watch``, ``auto`` and ``GanWatch``: methods for the loop to mark its batches and ask for the status."""

from __future__ import annotations

from typing import Any, ClassVar

from ganwatch.core.clean_text import terminal_lines
from ganwatch.session.diagnostics import CodeHints, status
from ganwatch.session.observer import Observer


class FrontEnd:
    """Methods that every front end offers to the loop."""

    observer: Observer | None
    hints: ClassVar[CodeHints]

    def real(self, batch: Any) -> None:
        """Mark a batch that is about to be used as real; needed only if ``status`` asks for it."""
        if self.observer is not None:
            self.observer.on_real_batch(batch, 0.0)

    def fake(self, batch: Any) -> None:
        """Mark a batch that is about to be used as generated; needed only if ``status`` asks for it."""
        if self.observer is not None:
            self.observer.on_fake_batch(batch)

    def status(self) -> str:
        """Print and return what was recognised, which signals are live and what is missing; other ranks only refer to rank 0."""
        if self.observer is not None and self.observer.ranks.rank:
            return "only rank 0 evaluates and writes: ask there"
        text = "not watching yet: the training has not started" if self.observer is None else status(self.observer, self.hints)
        text = terminal_lines(text)
        print(text)  # noqa: T201  # the purpose of the method
        return text
