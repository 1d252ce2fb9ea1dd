"""Runs a sink in a thread of its own behind a bounded queue, so that the training never waits for it."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Sequence
from typing import Any

from ganwatch.core.incidents import Incident
from ganwatch.core.readings import Readings, Run, SampleImages
from ganwatch.core.sink import Sink

log = logging.getLogger("ganwatch")

SYNC = 5.0
"""Seconds that the saving of a checkpoint waits for a sink at most."""


class Background(Sink):
    """Wrap a slow sink.

    Readings and samples beyond ``capacity`` are dropped, oldest first, and counted; incidents are never dropped. An error of
    the wrapped sink is counted, logged once, and goes no further.

    Parameters
    ----------
    sink : Sink
        Called from the background thread only, after ``start``.
    capacity : int, records
        Bound of the queue.
    interval : float, seconds
        Longest time that a record waits for company in a batch.
    """

    def __init__(self, sink: Sink, *, capacity: int = 10_000, interval: float = 5.0) -> None:
        if capacity < 1:
            raise ValueError(f"capacity must be >= 1 (records), got {capacity}")
        self.sink, self.capacity, self.interval = sink, capacity, interval
        self.name = sink.name  # type: ignore[misc]  # speaks for the sink that it wraps
        self._dropped = 0
        self.failures = 0
        self._queue: deque[tuple[str, tuple[Any, ...]]] = deque()
        self._droppable = 0
        self._condition = threading.Condition()
        self._closing = False
        self._thread: threading.Thread | None = None

    @property
    def dropped(self) -> int:  # type: ignore[override]  # counted here and by the wrapped sink
        """Readings, with the times of their steps, and sets of samples that the queue, or the wrapped sink, has given up."""
        return self._dropped + self.sink.dropped

    def start(self, run: Run) -> None:
        self._put("start", run)
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name=f"ganwatch-{self.name}", daemon=True)
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

    def sync(self) -> None:
        """Wait until the queue is written, ``SYNC`` seconds at most."""
        if self._thread is not None and self._thread.is_alive():
            written = threading.Event()
            self._put("sync", written)
            written.wait(SYNC)

    def finish(self, state: str) -> None:
        self._put("finish", state)

    def close(self, timeout: float = 30.0) -> None:
        """Write what is queued, close the sink, end the thread; gives up after ``timeout`` seconds. A second call does nothing."""
        if self._closing:
            return
        with self._condition:
            self._closing = True
            self._condition.notify()
        if self._thread is not None:
            self._thread.join(timeout)
            if self._thread.is_alive():
                log.warning("sink %s did not finish within %g s; what it had not written is lost", self.name, timeout)
            self._thread = None
        else:
            self._call("close")

    def _put(self, method: str, *args: Any) -> None:
        with self._condition:
            if method in {"readings", "samples"}:
                if self._droppable >= self.capacity:
                    self._drop_oldest()
                self._droppable += 1
            self._queue.append((method, args))
            if method not in {"readings", "samples"}:
                self._condition.notify()

    def _drop_oldest(self) -> None:
        for position, (method, args) in enumerate(self._queue):
            if method in {"readings", "samples"}:
                del self._queue[position]
                self._droppable -= 1
                self._dropped += len(args[0].values) + 1 if method == "readings" else 1
                return

    def _work(self) -> None:
        while True:
            with self._condition:
                if not self._closing:
                    self._condition.wait(self.interval)
                batch = list(self._queue)
                self._queue.clear()
                self._droppable = 0
                closing = self._closing
            self._write(batch)
            if closing:
                self._call("close")
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
                    self._call("readings", readings)
                for one in samples:
                    self._call("samples", one)
                readings, samples = [], []
                if method == "sync":
                    args[0].set()
                elif method:
                    self._call(method, *args)

    def _call(self, method: str, *args: Any) -> None:
        try:
            getattr(self.sink, method)(*args)
        except Exception:
            if not self.failures:
                log.exception("sink %s failed; training goes on, further errors of it are counted only", self.name)
            self.failures += 1
