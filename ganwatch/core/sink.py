"""Base class of sinks, which receive readings, incidents and samples."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from ganwatch.core.checkpoints import SavedCheckpoint
from ganwatch.core.incidents import Incident
from ganwatch.core.outcome import Outcome
from ganwatch.core.readings import Readings, Run, SampleImages


class Sink(ABC):
    """Base class of sinks. A sink is called from a background thread. It may be slow and may raise."""

    name: ClassVar[str] = "sink"
    retry_on: ClassVar[tuple[type[Exception], ...]] = ()
    """Errors after which a call has taken nothing, so that it may be made again with the same records."""
    failures: int = 0
    """Errors so far that were kept from the training."""
    dropped: int = 0
    """Records lost so far."""

    def describe_losses(self) -> str:
        """Describe the records lost so far; empty if there are none."""
        return f"{self.dropped:,} records" if self.dropped else ""

    def start(self, run: Run) -> None:  # noqa: B027  # optional
        """Begin a run or a further attempt at it."""

    @abstractmethod
    def readings(self, readings: Sequence[Readings]) -> None:
        """Take readings in the order of their steps."""

    @abstractmethod
    def incident(self, incident: Incident) -> None:
        """Take an incident that was opened or has changed. The same id may come again; the latest state counts."""

    def restore(self, incident: Incident) -> None:  # noqa: B027  # optional
        """Take an incident that an earlier attempt at this run has reported.

        Called after ``start`` with the state that the incident has now. The state is ``pending`` if the resumed run has not reached
        the incident again. A sink need not notify anybody a second time.
        """

    def samples(self, samples: SampleImages) -> None:  # noqa: B027  # optional
        """Take the images of a step."""

    def outcome(self, outcome: Outcome) -> None:  # noqa: B027  # optional
        """Take what is known about the run so far: now and then, and once at the end before ``finish``."""

    def drift(self, verdict: Mapping[str, Any]) -> None:  # noqa: B027  # optional
        """Take the verdict of a drift check during the run, as plain types: ``ganwatch.drift.verdict.Drift.as_dict``."""

    def checkpoint(self, checkpoint: SavedCheckpoint) -> None:  # noqa: B027  # optional
        """Take a checkpoint that was saved, or whose verdict has changed; the same path may come again."""

    def sync(self) -> None:  # noqa: B027  # optional
        """Write everything received so far, because a checkpoint is being saved. May wait for a few seconds, no longer."""

    def finish(self, state: str) -> None:  # noqa: B027  # optional
        """End the run. ``state`` is ``finished``, ``failed`` or ``stopped``."""

    def close(self) -> None:  # noqa: B027  # optional
        """Write the rest and release files and sockets."""
