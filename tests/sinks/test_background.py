from __future__ import annotations

import logging
import threading

import pytest

from ganwatch.core.detector import Severity
from ganwatch.core.incidents import Incident, State
from ganwatch.core.readings import Readings, Run, SampleImages
from ganwatch.sinks.background import MAX_SAMPLE_SETS, BackgroundSink
from ganwatch.sinks.memory import MemorySink

RUN = Run("r", "r")
SECONDS = 60.0
"""Longest wait for another thread; reached only where a test fails."""


class Gated(MemorySink):
    """Waits in ``start`` until it is let through, so that the queue fills up."""

    name = "gated"

    def __init__(self) -> None:
        super().__init__()
        self.entered, self.gate, self.reported = threading.Event(), threading.Event(), threading.Event()
        self.threads: set[str] = set()
        self.batches: list[int] = []

    def start(self, run: Run) -> None:
        super().start(run)
        self.entered.set()
        assert self.gate.wait(SECONDS)

    def readings(self, readings) -> None:
        self.threads.add(threading.current_thread().name)
        self.batches.append(len(readings))
        super().readings(readings)


    def incident(self, incident: Incident) -> None:
        super().incident(incident)
        self.reported.set()


class Failing(MemorySink):
    """Refuses readings of even steps."""

    name = "failing"

    def readings(self, readings) -> None:
        for one in readings:
            if one.step % 2 == 0:
                raise OSError("disk full")
            super().readings([one])


class Refusing(MemorySink):
    """Takes nothing for a while, and then everything; says that it may be called again."""

    name = "refusing"
    retry_on = (ConnectionError,)
    refuses = True

    def readings(self, readings) -> None:
        self.refuse()
        super().readings(readings)

    def incident(self, incident: Incident) -> None:
        self.refuse()
        super().incident(incident)

    def refuse(self) -> None:
        if self.refuses:
            raise ConnectionResetError("not now")


def incident(ordinal: int) -> Incident:
    return Incident(f"GW101-{ordinal}", "GW101", "t", Severity.PAGE, State.FIRING, ordinal, ordinal)


def images(step: int) -> SampleImages:
    return SampleImages(step, "fake", (1, 1, 1, 1), b"a")


def started(sink: Gated, capacity: int) -> BackgroundSink:
    background = BackgroundSink(sink, capacity=capacity)
    background.start(RUN)
    assert sink.entered.wait(SECONDS)
    return background


def test_what_is_queued_is_written_in_order_by_another_thread_and_then_closed() -> None:
    sink = Gated()
    background = started(sink, 100)
    background.readings([Readings(1, {}), Readings(2, {})])
    background.incident(incident(1))
    background.readings([Readings(3, {})])
    background.samples(images(3))
    background.restore(incident(9))
    background.finish("finished")
    assert sink.steps == []
    sink.gate.set()
    background.close()
    assert [one.step for one in sink.steps] == [1, 2, 3]
    assert sink.batches == [2, 1]
    assert list(sink.incidents) == ["GW101-1"]
    assert ([one.step for one in sink.images], sink.state, sink.closed) == ([3], "finished", True)
    assert sink.threads == {"ganwatch-gated"}
    assert "ganwatch-gated" not in {thread.name for thread in threading.enumerate()}
    assert (background.dropped, background.failures, background.name) == (0, 0, "gated")


def test_a_full_queue_drops_the_oldest_readings_and_images_and_never_an_incident() -> None:
    sink = Gated()
    background = started(sink, 3)
    for step in range(1, 6):
        background.readings([Readings(step, {})])
        background.incident(incident(step))
    for step in range(MAX_SAMPLE_SETS + 1):
        background.samples(images(step))
    assert background.dropped == 2 + 1
    sink.gate.set()
    background.close()
    assert [one.step for one in sink.steps] == [3, 4, 5]
    assert [one.step for one in sink.images] == [*range(1, MAX_SAMPLE_SETS + 1)]
    assert list(sink.incidents) == [f"GW101-{step}" for step in range(1, 6)]


def test_what_a_sink_refuses_for_now_is_passed_again_in_order() -> None:
    sink = Refusing()
    background = BackgroundSink(sink, capacity=3)
    background.start(RUN)
    for step in range(1, 6):
        background.readings([Readings(step, {})])
        background.incident(incident(step))
        background.sync()
    assert (background.failures >= 5, background.dropped, sink.steps) == (True, 2, [])
    sink.refuses = False
    background.finish("finished")
    background.close()
    assert [one.step for one in sink.steps] == [3, 4, 5]
    assert list(sink.incidents) == [f"GW101-{step}" for step in range(1, 6)]
    assert sink.state == "finished"


def test_what_is_refused_to_the_end_is_counted() -> None:
    background = BackgroundSink(Refusing())
    background.start(RUN)
    background.readings([Readings(1, {"a": 1.0, "b": 2.0})])
    background.close()
    assert background.dropped == 3


def test_drops_of_the_wrapped_sink_count_too() -> None:
    sink = MemorySink()
    sink.dropped = 5
    assert BackgroundSink(sink).dropped == 5


def test_a_failing_sink_is_counted_logged_once_and_called_again(caplog: pytest.LogCaptureFixture) -> None:
    sink = Failing()
    background = BackgroundSink(sink)
    background.start(RUN)
    for step in range(1, 6):
        background.readings([Readings(step, {})])
        background.incident(incident(step))
    background.close()
    assert [one.step for one in sink.steps] == [1, 3, 5]
    assert len(sink.incidents) == 5
    assert (background.failures, background.dropped) == (2, 2)
    [record] = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert record.getMessage().startswith("sink failing failed")
    assert sink.closed


def test_closing_gives_up_on_a_sink_that_hangs(caplog: pytest.LogCaptureFixture) -> None:
    sink = Gated()
    background = started(sink, 3)
    [thread] = [thread for thread in threading.enumerate() if thread.name == "ganwatch-gated"]
    background.close(timeout=0.0)
    assert "did not finish within 0 s" in caplog.text
    sink.gate.set()
    thread.join(SECONDS)
    assert sink.closed


def test_a_sink_that_was_never_started_is_closed() -> None:
    sink = MemorySink()
    BackgroundSink(sink).close()
    assert sink.closed


def test_the_bound_must_be_positive() -> None:
    with pytest.raises(ValueError, match=r"capacity must be >= 1 \(readings\), got 0"):
        BackgroundSink(MemorySink(), capacity=0)


def test_a_record_that_comes_while_the_sink_is_busy_does_not_wait_for_the_interval() -> None:
    sink = Gated()
    background = BackgroundSink(sink, interval=3600.0)
    background.start(RUN)
    assert sink.entered.wait(SECONDS)
    background.incident(incident(1))
    sink.gate.set()
    assert sink.reported.wait(SECONDS)
    background.close()


def test_sync_returns_when_all_earlier_records_are_written() -> None:
    memory = MemorySink()
    background = BackgroundSink(memory, interval=3600.0)
    background.start(Run("r", "n"))
    background.readings([Readings(step, {"loss/g": 1.0}) for step in range(1, 51)])
    background.sync()
    assert [reading.step for reading in memory.steps] == list(range(1, 51))
    background.close()
    background.sync()
