"""Replay of a recorded run: the detectors get the readings that they got live, thousands of times faster."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ganwatch.core.detector import Detector
from ganwatch.core.incidents import Incident
from ganwatch.core.monitor import Monitor
from ganwatch.core.readings import Readings


def replay(readings: Iterable[Readings], detectors: Sequence[Detector]) -> list[Incident]:
    """Return the incidents that these detectors raise on a recorded run, in the order in which they were opened.

    Examples
    --------
    >>> from ganwatch.detectors.non_finite import NonFinite
    >>> stream, onset = NonFinite.demo(seed=0)
    >>> [incident.onset == onset for incident in replay(stream, [NonFinite()])]
    [True]
    """
    return replay_monitor(readings, detectors).incidents.history


def replay_monitor(readings: Iterable[Readings], detectors: Sequence[Detector]) -> Monitor:
    """Return the monitor of a run after these readings."""
    monitor = Monitor(detectors=detectors)
    for step_readings in readings:
        monitor.add_readings(step_readings)
    return monitor
