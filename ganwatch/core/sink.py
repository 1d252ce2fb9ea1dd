"""What a sink is: the place where readings, incidents and samples go."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

from ganwatch.core.incidents import Incident
from ganwatch.core.readings import Readings, Run, SampleImages


class Sink(ABC):
    """Where records go. Called from a background thread; may be slow, may raise."""

    name: ClassVar[str] = "sink"
    failures: int = 0
    """Errors so far that the training did not notice."""
    dropped: int = 0
    """Readings and sets of samples given up so far."""

    def start(self, run: Run) -> None:  # noqa: B027  # optional
        """A run (or a further attempt at it) begins."""

    @abstractmethod
    def readings(self, readings: Sequence[Readings]) -> None:
        """Readings in order of step."""

    @abstractmethod
    def incident(self, incident: Incident) -> None:
        """An incident was opened or changed. The same id may come again: the last one holds."""

    def restore(self, incident: Incident) -> None:  # noqa: B027  # optional
        """An earlier attempt at this run has reported this incident. Told after ``start``, with the state that holds now:
        ``pending`` where the resumed run has yet to come to it again. Nobody needs to be notified a second time.
        """

    def samples(self, samples: SampleImages) -> None:  # noqa: B027  # optional
        """Images of a step."""

    def sync(self) -> None:  # noqa: B027  # optional
        """A checkpoint is being saved: whatever was told so far is to be kept when this returns, because a resumed run goes on
        behind it. May wait for a few seconds, no longer.
        """

    def finish(self, state: str) -> None:  # noqa: B027  # optional
        """The run ended: ``finished``, ``failed`` or ``stopped``."""

    def close(self) -> None:  # noqa: B027  # optional
        """Write what is left and let go of files and sockets."""
