"""What a user holds while a training is watched, the same for both front ends."""

from __future__ import annotations

from typing import Any, ClassVar

from ganwatch.session.diagnostics import Wording, status
from ganwatch.session.observer import Observer


class Handle:
    """What a loop may say about its batches, and what it may ask."""

    observer: Observer | None
    wording: ClassVar[Wording]

    def real(self, batch: Any) -> None:
        """Say that a batch about to be used is real; only where ``status`` asks for it."""
        if self.observer is not None:
            self.observer.on_real_batch(batch, 0.0)

    def fake(self, batch: Any) -> None:
        """Say that a batch about to be used is generated; only where ``status`` asks for it."""
        if self.observer is not None:
            self.observer.on_fake_batch(batch)

    def status(self) -> str:
        """What was recognised so far, which signals are live, and what is missing; also printed, by rank 0 alone."""
        if self.observer is not None and self.observer.ranks.rank:
            return "rank 0 judges and writes"
        text = "not watching yet" if self.observer is None else status(self.observer, self.wording)
        print(text)  # noqa: T201  # that is what it is for
        return text
