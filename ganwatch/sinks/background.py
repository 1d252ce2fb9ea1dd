"""Runs a sink in its own thread behind a bounded queue, so that the training never waits for it."""

from __future__ import annotations

import logging
import threading
from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any

from ganwatch.core.checkpoints import SavedCheckpoint
from ganwatch.core.guard import Guard
from ganwatch.core.incidents import Incident
from ganwatch.core.outcome import Outcome
from ganwatch.core.readings import Readings, Run, SampleImages
from ganwatch.core.sink import Sink

log = logging.getLogger("ganwatch")

SYNC_TIMEOUT = 5.0
"""Longest time that the saving of a checkpoint waits for a sink, in seconds."""
MAX_SAMPLE_SETS = 16
"""Most sets of samples that wait."""
_Record = tuple[str, tuple[Any, ...]]
"""Name of a method of the sink, and its arguments."""
_NOUNS = {
    "readings": "readings", "samples": "sets of images", "incident": "reports of incidents", "restore": "earlier incidents",
    "outcome": "outcomes", "drift": "verdicts on drift", "checkpoint": "checkpoints", "start": "starts", "finish": "end states",
}  # fmt: skip
"""Names of the records that a method takes."""


class BackgroundSink(Sink):
    """Wrap a slow sink.

    Records wait in one queue until the sink has taken them. Readings and samples beyond the bounds are dropped, oldest first. All that is
    dropped is counted, and all that the sink has not taken at the end, incidents and the end state too. An error of the sink is counted
    and logged once, and does not reach the training. If it is one of the sink's ``retry_on``, the records are passed again; otherwise they
    count as lost.

    Parameters
    ----------
    sink : Sink
        After ``start``, only the background thread calls it.
    capacity : int, readings
        Most readings, each with all values of a step, that wait; of samples ``MAX_SAMPLE_SETS`` sets.
    interval : float, seconds
        Longest time that a reading waits in the queue for others to be written with it. Other records are written at once.
    """

    def __init__(self, sink: Sink, *, capacity: int = 10_000, interval: float = 5.0) -> None:
        if capacity < 1:
            raise ValueError(f"capacity must be >= 1 (readings), got {capacity}")
        self.sink, self.interval = sink, interval
        self.name = sink.name  # type: ignore[misc]  # the name of the wrapped sink
        self._bounds = {"readings": capacity, "samples": MAX_SAMPLE_SETS}
        self._lost: Counter[str] = Counter()
        """Values and other records lost, by method."""
        self._guard = Guard()
        self._queue: deque[_Record] = deque()
        self._in_flight: Sequence[_Record] = ()
        """Records that the sink is taking."""
        self._waiting: Counter[str] = Counter()
        """Records in the queue, by method."""
        self._is_urgent = False  # True if the queue has a record that must not wait for the interval
        self._condition = threading.Condition()
        self._closing = False
        self._thread: threading.Thread | None = None

    @property
    def dropped(self) -> int:  # type: ignore[override]  # counted here and by the wrapped sink
        """Number of records that were lost, here or by the wrapped sink: values including wall times of steps, sets of images, others."""
        return self._lost.total() + self.sink.dropped

    def describe_losses(self) -> str:
        kinds = [f"{count:,} {_NOUNS[method]}" for method, count in self._lost.items()]
        return ", ".join([*kinds, *filter(None, [self.sink.describe_losses()])])

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

    def checkpoint(self, checkpoint: SavedCheckpoint) -> None:
        self._put("checkpoint", checkpoint)

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
                with self._condition:
                    self._count_lost([*self._in_flight, *self._queue])
                lost = self.describe_losses() or "nothing"
                log.warning("sink %s did not finish within %g s; what it had not written is lost: %s", self.name, timeout, lost)
            self._thread = None
        else:
            self._call_sink("close")

    def _put(self, method: str, *args: Any) -> None:
        with self._condition:
            self._queue.append((method, args))
            self._waiting[method] += 1
            self._drop_excess()
            if method not in self._bounds:
                self._is_urgent = True
                self._condition.notify()

    def _drop_excess(self) -> None:
        """Drop the oldest records of each kind that are too many."""
        for method, bound in self._bounds.items():
            while self._waiting[method] > bound:
                position = next(position for position, record in enumerate(self._queue) if record[0] == method)
                self._count_lost([self._queue[position]])
                del self._queue[position]
                self._waiting[method] -= 1

    def _count_lost(self, records: Iterable[_Record]) -> None:
        for method, args in records:
            if method in _NOUNS:
                self._lost[method] += len(args[0].values) + 1 if method == "readings" else 1

    def _write_until_closed(self) -> None:
        while True:
            with self._condition:
                self._condition.wait_for(lambda: self._is_urgent or self._closing, self.interval)
                self._in_flight = batch = list(self._queue)
                self._queue.clear()
                self._waiting.clear()
                self._is_urgent, closing = False, self._closing
            refused = self._write(batch)
            if closing:
                self._count_lost(self._write(refused))  # once more
                self._call_sink("close")
                return
            with self._condition:
                self._in_flight = ()
                self._queue.extendleft(reversed(refused))
                self._waiting.update(method for method, _ in refused)
                self._drop_excess()

    def _write(self, batch: Sequence[_Record]) -> list[_Record]:
        """Pass records on, in order. Return those that the sink could not take now; only samples let others pass them."""
        refused: list[_Record] = []
        is_blocked = False
        for method, group in groupby(batch, key=itemgetter(0)):
            for records in [list(group)] if method == "readings" else ([one] for one in group):
                if method == "sync":
                    records[0][1][0].set()
                elif is_blocked or not self._pass_on(method, records):
                    refused += records
                    is_blocked |= method != "samples"
        return refused

    def _pass_on(self, method: str, records: Sequence[_Record]) -> bool:
        """Call the sink with records of one kind; return False if it is to be called again with them."""
        args = ([args[0] for _, args in records],) if method == "readings" else records[0][1]
        error = self._call_sink(method, *args)
        if error is not None and not isinstance(error, self.sink.retry_on):
            self._count_lost(records)
            return True
        return error is None

    def _call_sink(self, method: str, *args: Any) -> Exception | None:
        """Call the sink, and return its error."""
        try:
            getattr(self.sink, method)(*args)
        except Exception as error:  # noqa: BLE001  # counted and logged
            self._guard.note(f"sink {self.name}", error)
            return error
        return None
