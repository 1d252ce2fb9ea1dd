"""Calls a function of the user with every incident that fires or ends."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from typing import Any, ClassVar

from ganwatch.core.incidents import Incident, State
from ganwatch.core.readings import Readings, Run
from ganwatch.core.sink import Sink


class CallbackSink(Sink):
    """Call a function once where an incident fires and once where it ends, from a background thread.

    Examples
    --------
    >>> from ganwatch.core.detector import Severity
    >>> sink = CallbackSink(lambda incident: print(incident.id, incident.state))
    >>> sink.incident(Incident("GW101-1", "GW101", "mode collapse", Severity.PAGE, State.FIRING, 5, 9, fired=9))
    GW101-1 firing
    """

    name: ClassVar[str] = "on_incident"

    def __init__(self, function: Callable[[Incident], Any]) -> None:
        self.function = function
        self._told: dict[str, State] = {}

    def readings(self, readings: Sequence[Readings]) -> None:
        """Do nothing."""

    def start(self, run: Run) -> None:  # noqa: ARG002  # the base's signature
        """Forget an earlier run."""
        self._told.clear()

    def restore(self, incident: Incident) -> None:
        """Remember what an earlier attempt has reported."""
        if incident.fired is not None:
            self._told[incident.id] = State.RESOLVED if incident.resolved is not None else State.FIRING

    def incident(self, incident: Incident) -> None:
        """Call the function if the state is new."""
        if incident.state is State.PENDING or self._told.get(incident.id) is incident.state:
            return
        self._told[incident.id] = incident.state
        self.function(deepcopy(incident))
