"""Judge a recorded run again: the detectors see what they saw live, thousands of times faster."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ganwatch.core.detector import Detector
from ganwatch.core.incidents import Incident
from ganwatch.core.monitor import Monitor
from ganwatch.core.readings import Readings


def replay(readings: Iterable[Readings], detectors: Sequence[Detector]) -> list[Incident]:
    """The incidents that these detectors open on a recorded run, in the order in which they were opened.

    Examples
    --------
    >>> from ganwatch.detectors.non_finite import NonFinite
    >>> stream, onset = NonFinite.demo(seed=0)
    >>> [incident.onset == onset for incident in replay(stream, [NonFinite()])]
    [True]
    """
    return replayed(readings, detectors).incidents.known


def replayed(readings: Iterable[Readings], detectors: Sequence[Detector]) -> Monitor:
    """The monitor of a run after these readings, with what it knows beside the incidents."""
    monitor = Monitor(detectors=detectors)
    for one in readings:
        monitor.judge(one)
    return monitor
