"""Stops a training at the first incident of some codes, where the user asked for it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from ganwatch.core.detector_settings import discover_detectors
from ganwatch.core.errors import UserError
from ganwatch.core.incidents import Incident
from ganwatch.core.names import name_failure
from ganwatch.distributed.rank_detection import world_size
from ganwatch.sinks.callback import CallbackSink

if TYPE_CHECKING:
    from ganwatch.core.sink import Sink
    from ganwatch.session.observer import Observer

log = logging.getLogger("ganwatch")

EXIT_CODE = 10
"""Exit code of a process that ``stop_on`` has stopped."""


class TrainingStopped(SystemExit):
    """Ends a plain loop, and the process with exit code 10 unless somebody catches it.

    Attributes
    ----------
    incident : Incident
    """

    def __init__(self, incident: Incident) -> None:
        super().__init__(EXIT_CODE)
        self.incident = incident

    def __str__(self) -> str:
        """Name the failure."""
        return f"stopped by {name_failure(self.incident.title, self.incident.id)} since step {self.incident.onset}"


class StopRule:
    """Waits for the first incident of some codes.

    Parameters
    ----------
    codes : sequence of str
        As of ``parse_stop_on``.
    observer : Observer

    Attributes
    ----------
    incident : Incident or None
        The one that asks to stop.
    """

    def __init__(self, codes: Sequence[str], observer: Observer) -> None:
        self.codes, self._observer = frozenset(codes), observer
        self.incident: Incident | None = None
        self._is_armed = True
        if self.codes:
            observer.add_listener(self._on_incident)

    def _on_incident(self, incident: Incident) -> None:
        if self._observer.ranks.size > 1:
            log.error("stop_on is ignored: %d processes train together, of which only one would stop", self._observer.ranks.size)
            self.codes = frozenset()
        if self.incident is None and incident.has_just_fired and incident.code in self.codes:
            self.incident = incident

    def raise_if_due(self) -> None:
        """Raise ``TrainingStopped`` once if an incident has asked for it."""
        if self.incident is not None and self._is_armed:
            self._is_armed = False
            raise TrainingStopped(self.incident)

    def disarm(self) -> None:
        """Raise nothing any more: the training has ended."""
        self._is_armed = False


def parse_stop_on(stop_on: Any) -> tuple[str, ...]:
    """Return the codes of ``stop_on``.

    Raises
    ------
    UserError
        It is no sequence of codes of detectors, or several processes train together, of which only one would stop.
    """
    known = sorted(detector.code for detector in discover_detectors())
    codes = () if stop_on is None else tuple(stop_on) if isinstance(stop_on, list | tuple | set | frozenset) else (stop_on,)
    unknown = [code for code in codes if code not in known]
    if unknown:
        raise UserError(f"stop_on must be codes of detectors ({', '.join(known)}), got {unknown[0]!r:.100}")
    if codes and world_size() > 1:
        raise UserError(f"stop_on must be empty where several processes train together, got {', '.join(codes)} in one of {world_size()}")
    return codes


def parse_on_incident(on_incident: Any) -> list[Sink]:
    """Return the sinks that call the functions of ``on_incident``.

    Raises
    ------
    UserError
        It is no function, nor a sequence of them.
    """
    functions: Sequence[Callable[[Incident], Any]] = (
        () if on_incident is None else tuple(on_incident) if isinstance(on_incident, list | tuple) else (on_incident,)
    )
    if wrong := [one for one in functions if not callable(one)]:
        raise UserError(f"on_incident must be a function of an incident, or a list of them, got {type(wrong[0]).__name__}")
    return [CallbackSink(one) for one in functions]
