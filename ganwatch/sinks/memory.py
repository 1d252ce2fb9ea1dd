"""Keeps all records in lists, for tests and notebooks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import replace
from typing import Any, ClassVar

from ganwatch.core.checkpoints import SavedCheckpoint
from ganwatch.core.incidents import Incident
from ganwatch.core.outcome import Outcome
from ganwatch.core.readings import Readings, Run, SampleImages
from ganwatch.core.sink import Sink


class MemorySink(Sink):
    """Keep every record in a list, in order of arrival.

    Attributes
    ----------
    runs, steps, reports, images : lists of Run, Readings, Incident, SampleImages
        ``reports`` holds a copy of each report of an incident.
    drift_verdicts : list of mapping
        Arguments of ``drift``.
    latest_outcome : Outcome or None
        Argument of the last ``outcome``.
    checkpoints : list of SavedCheckpoint
        Arguments of ``checkpoint``.
    state : str or None
        Argument of ``finish``.
    closed : bool

    Examples
    --------
    >>> sink = MemorySink()
    >>> sink.readings([Readings(1, {"loss/g": 0.7}), Readings(2, {"loss/g": 0.6, "loss/d": 1.2})])
    >>> sink.series("loss/g")
    ([1, 2], [0.7, 0.6])
    """

    name: ClassVar[str] = "memory"

    def __init__(self) -> None:
        self.runs: list[Run] = []
        self.steps: list[Readings] = []
        self.reports: list[Incident] = []
        self.images: list[SampleImages] = []
        self.drift_verdicts: list[Mapping[str, Any]] = []
        self.checkpoints: list[SavedCheckpoint] = []
        self.latest_outcome: Outcome | None = None
        self.state: str | None = None
        self.closed = False

    def start(self, run: Run) -> None:
        """Add a run."""
        self.runs.append(run)

    def readings(self, readings: Sequence[Readings]) -> None:
        """Add readings; those that come late for the last step join it."""
        for each in readings:
            last = self.steps[-1] if self.steps else None
            if last is not None and (last.step, last.attempt) == (each.step, each.attempt):
                self.steps[-1] = replace(last, values={**last.values, **each.values})
            else:
                self.steps.append(each)

    def incident(self, incident: Incident) -> None:
        """Add a copy of a report."""
        self.reports.append(deepcopy(incident))

    def samples(self, samples: SampleImages) -> None:
        """Add images."""
        self.images.append(samples)

    def outcome(self, outcome: Outcome) -> None:
        """Store what is known about the run."""
        self.latest_outcome = outcome

    def drift(self, verdict: Mapping[str, Any]) -> None:
        """Add the verdict of a drift check."""
        self.drift_verdicts.append(verdict)

    def checkpoint(self, checkpoint: SavedCheckpoint) -> None:
        """Add a checkpoint and the verdict on it."""
        self.checkpoints.append(checkpoint)

    def finish(self, state: str) -> None:
        """Store the final state of the run."""
        self.state = state

    def close(self) -> None:
        """Mark the sink as closed."""
        self.closed = True

    @property
    def incidents(self) -> dict[str, Incident]:
        """The last report of each incident by id, in order of the first reports."""
        return {report.id: report for report in self.reports}

    def series(self, name: str) -> tuple[list[int], list[float]]:
        """Return the steps and values of a series."""
        measured = [reading for reading in self.steps if name in reading.values]
        return [reading.step for reading in measured], [reading.values[name] for reading in measured]
