"""Runs a sink in its own thread behind a bounded queue, so that the training never waits for it."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from ganwatch.core.guard import Guard
from ganwatch.core.incidents import Incident
from ganwatch.core.outcome import Outcome
from ganwatch.core.readings import Readings, Run, SampleImages
from ganwatch.core.sink import Sink

log = logging.getLogger("ganwatch")

SYNC_TIMEOUT = 5.0
"""Longest time that the saving of a checkpoint waits for a sink, in seconds."""
_DROPPABLE = {"readings", "samples"}


class BackgroundSink(Sink):
    """Wrap a slow sink.

    Readings and samples beyond ``capacity`` are dropped, oldest first, and counted. Incidents are never dropped. An error of the
    wrapped sink is counted and logged once, and does not reach the training.

    Parameters
    ----------
    sink : Sink
        After ``start``, only the background thread calls it.
    capacity : int, records
        Bound of the queue.
    interval : float, seconds
        Longest time that a reading waits in the queue for others to be written with it. Other records are written at once.
    """

    def __init__(self, sink: Sink, *, capacity: int = 10_000, interval: float = 5.0) -> None:
        if capacity < 1:
            raise ValueError(f"capacity must be >= 1 (records), got {capacity}")
        self.sink, self.capacity, self.interval = sink, capacity, interval
        self.name = sink.name  # type: ignore[misc]  # the name of the wrapped sink
        self._dropped = 0
        self._guard = Guard()
        self._queue: deque[tuple[str, tuple[Any, ...]]] = deque()
        self._queued_droppable = 0
        self._is_urgent = False  # True if the queue has a record that must not wait for the interval
        self._condition = threading.Condition()
        self._closing = False
        self._thread: threading.Thread | None = None

    @property
    def dropped(self) -> int:  # type: ignore[override]  # counted here and by the wrapped sink
        """Number of readings, including wall times of steps, and sets of samples that the queue or the wrapped sink has dropped."""
        return self._dropped + self.sink.dropped

    @property
    def failures(self) -> int:  # type: ignore[override]  # counted by the guard
        """Number of errors of the wrapped sink."""
        return self._guard.errors.total()

    def start(self, run: Run) -> None:
        self._put("start", run)
        if self._thread is None:
            self._thread = threading.Thread(target=self._write_until_closed, name=f"ganwatch-{self.name}", daemon=True)
            self._thread.start()

    def readings(self, readings: Sequence[Readings]) -> None:
        for one in readings:
            self._put("readings", one)

    def incident(self, incident: Incident) -> None:
        self._put("incident", incident)

    def restore(self, incident: Incident) -> None:
        self._put("restore", incident)

    def samples(self, samples: SampleImages) -> None:
        self._put("samples", samples)

    def outcome(self, outcome: Outcome) -> None:
        self._put("outcome", outcome)

    def drift(self, verdict: Mapping[str, Any]) -> None:
        self._put("drift", verdict)

    def sync(self) -> None:
        """Wait until the queue is written, for ``SYNC_TIMEOUT`` seconds at most."""
        if self._thread is not None and self._thread.is_alive():
            written = threading.Event()
            self._put("sync", written)
            written.wait(SYNC_TIMEOUT)

    def finish(self, state: str) -> None:
        self._put("finish", state)

    def close(self, timeout: float = 30.0) -> None:
        """Write the queue, close the sink and end the thread. Gives up after ``timeout`` seconds. A second call does nothing."""
        if self._closing:
            return
        with self._condition:
            self._closing = True
            self._condition.notify()
        if self._thread is not None:
            self._thread.join(timeout)
            if self._thread.is_alive():
                log.warning("sink %s did not finish within %g s; records that it had not written are lost", self.name, timeout)
            self._thread = None
        else:
            self._call_sink("close")

    def _put(self, method: str, *args: Any) -> None:
        with self._condition:
            if method in _DROPPABLE:
                if self._queued_droppable >= self.capacity:
                    self._drop_oldest()
                self._queued_droppable += 1
            self._queue.append((method, args))
            if method not in _DROPPABLE:
                self._is_urgent = True
                self._condition.notify()

    def _drop_oldest(self) -> None:
        for position, (method, args) in enumerate(self._queue):
            if method in _DROPPABLE:
                del self._queue[position]
                self._queued_droppable -= 1
                self._dropped += len(args[0].values) + 1 if method == "readings" else 1
                return

    def _write_until_closed(self) -> None:
        while True:
            with self._condition:
                self._condition.wait_for(lambda: self._is_urgent or self._closing, self.interval)
                batch = list(self._queue)
                self._queue.clear()
                self._queued_droppable, self._is_urgent = 0, False
                closing = self._closing
            self._write(batch)
            if closing:
                self._call_sink("close")
                return

    def _write(self, batch: list[tuple[str, tuple[Any, ...]]]) -> None:
        readings: list[Readings] = []
        samples: list[SampleImages] = []
        for method, args in [*batch, ("", ())]:
            if method == "readings":
                readings.append(args[0])
            elif method == "samples":
                samples.append(args[0])
            else:
                if readings:
                    self._call_sink("readings", readings)
                for one in samples:
                    self._call_sink("samples", one)
                readings, samples = [], []
                if method == "sync":
                    args[0].set()
                elif method:
                    self._call_sink(method, *args)

    def _call_sink(self, method: str, *args: Any) -> None:
        self._guard(f"sink {self.name}", partial(getattr(self.sink, method), *args))
