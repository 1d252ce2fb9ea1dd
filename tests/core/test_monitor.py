from __future__ import annotations

import json
import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ganwatch.core.detector import Detector, NotApplicable, Severity, Verdict
from ganwatch.core.incidents import Incident, State
from ganwatch.core.monitor import OBSERVER_EVERY, Monitor
from ganwatch.core.probe import Probe
from ganwatch.core.readings import Readings, Run
from ganwatch.core.replay import replay
from ganwatch.core.sink import Sink
from ganwatch.session.defaults import default_detectors
from ganwatch.sinks.memory import MemorySink


class High(Detector):
    """A value above one, three times in a row."""

    code, title, severity, inputs, resolve_after = "GW201", "high", Severity.TICKET, ("loss/d",), 4

    def __init__(self) -> None:
        self._count = 0

    def update(self, readings: Readings) -> Verdict | NotApplicable | None:
        value = readings.values["loss/d"]
        if value < 0:
            return NotApplicable("needs a loss that is not negative")
        self._count = self._count + 1 if value > 1 else 0
        return Verdict(value, 1.0, "loss/d", 3, "the test", "It is high.") if self._count >= 3 else None

    @classmethod
    def demo(cls, seed: int) -> tuple[Iterator[Readings], int]:
        return cls.simulate(seed, onset=2, before={"loss/d": 0.5}, after={"loss/d": 5.0}), 2


class Broken(High):
    code = "GW301"

    def update(self, readings: Readings) -> None:
        raise RuntimeError("detector")


@dataclass
class FakeStep:
    """The attributes of a step that a monitor reads itself."""

    index: int
    due: Sequence[Probe] = ()
    logged: Mapping[str, Any] = field(default_factory=dict)
    wall_time: float = 0.0


class FixedProbe(Probe):
    """A probe with given values."""

    signals = ("loss",)

    def __init__(self, values: Any, name: str = "given") -> None:
        self.values, self.name = values, name

    def read(self, step: FakeStep) -> Any:
        return self.values(step.index) if callable(self.values) else self.values


class LaggingGatherer:
    """A gatherer of floats that returns a step when the next one comes."""

    def __init__(self) -> None:
        self.held: list[tuple[int, dict[str, float], float]] = []

    def put(self, step: int, values: dict[str, Any], wall_time: float) -> list[tuple[int, dict[str, float], float]]:
        self.held.append((step, {name: float(value) for name, value in values.items()}, wall_time))
        complete, self.held = self.held[:-1], self.held[-1:]
        return complete

    def flush(self) -> list[tuple[int, dict[str, float], float]]:
        complete, self.held = self.held, []
        return complete


class Vector:
    ndim, shape = 1, (3,)


def fail(*_: object) -> None:
    raise RuntimeError("on purpose")


class RaisingSink(Sink):
    name = "refusing"
    start = readings = incident = restore = samples = finish = close = fail


def run_live(values: Any, detectors: list[Detector], steps: int, **parts: Any) -> tuple[Monitor, MemorySink]:
    sink = MemorySink()
    monitor = Monitor(detectors=detectors, sinks=[*parts.get("sinks", ()), sink], gatherer=LaggingGatherer())
    monitor.listeners += parts.get("listeners", ())
    monitor.start(Run("r", "r"))
    for index in range(1, steps + 1):
        monitor.process_step(FakeStep(index, [*parts.get("probes", ()), FixedProbe(values)]))
        monitor.send_readings()
    return monitor, sink


def test_every_part_that_raises_is_isolated_counted_and_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    probes = [
        FixedProbe(fail, "raising"),
        FixedProbe(7, "numberless"),
        FixedProbe({"loss/x": Vector()}, "shapeless"),
        FixedProbe({"loss/x": "much"}, "wordy"),
    ]
    monitor, sink = run_live({"loss/d": 5.0}, [Broken(), High()], 5, probes=probes, sinks=[RaisingSink()], listeners=[fail])
    monitor.finish("finished")
    assert monitor.guard.errors == {
        **{f"probe {name}": 5 for name in ("raising", "numberless", "shapeless", "wordy")},
        "detector high (GW301)": 5,
        "sink refusing": 1 + 5 + 1 + 2,  # start, readings, the incident, finish and close
        "listener": 1,
    }
    assert sorted(record.getMessage().partition(" failed")[0] for record in caplog.records) == sorted(monitor.guard.errors)
    assert all(record.levelno == logging.ERROR and record.exc_info for record in caplog.records)
    assert sink.series("loss/d") == ([1, 2, 3, 4, 5], [5.0] * 5)
    assert list(sink.incidents) == ["GW201-1"]
    assert (sink.state, sink.closed) == ("finished", True)


def test_a_broken_gatherer_is_isolated_too() -> None:
    gatherer = LaggingGatherer()
    gatherer.put = gatherer.flush = fail
    monitor = Monitor(gatherer=gatherer)
    monitor.process_step(FakeStep(1, [FixedProbe({"loss/d": 1.0})]))
    monitor.finish("finished")
    assert monitor.guard.errors == {"gatherer": 2}


def test_own_errors_and_drops_are_signals() -> None:
    dropping = MemorySink()
    dropping.dropped, dropping.failures = 4, 2
    monitor, sink = run_live({"loss/d": 0.5}, [], OBSERVER_EVERY, probes=[FixedProbe(fail, "raising")], sinks=[dropping])
    monitor.flush()
    assert sink.series("observer_errors") == ([OBSERVER_EVERY], [float(OBSERVER_EVERY + 2)])
    assert sink.series("observer_dropped")[1] == [4.0]


def test_a_result_holds_between_the_readings_of_its_inputs() -> None:
    monitor = Monitor(detectors=[High()])
    for step in range(1, 31):
        monitor.add_readings(Readings(step, {"loss/d": 5.0} if step % 5 == 0 else {"loss/g": 0.1}))
    [incident] = monitor.incidents.history
    assert (incident.opened, incident.state, incident.seen) == (15, State.FIRING, 30)
    assert not monitor.guard.errors  # it was not updated without inputs
    resumed = Monitor(detectors=[High()])
    resumed.load_state_dict(json.loads(json.dumps(monitor.state_dict())))
    for step in range(31, 51):
        assert resumed.add_readings(Readings(step, {"loss/g": 0.1})) == []
    assert resumed.incidents.firing[0].seen == 50


def test_a_detector_that_is_not_applicable_says_what_it_needs() -> None:
    monitor = Monitor(detectors=[High(), Broken()])
    assert {one.code: one.reason for one in monitor.outcome().unjudged} == dict.fromkeys(("GW201", "GW301"), "needs one of loss/d")
    assert Monitor(detectors=[type("Optional", (High,), {"is_optional": True})()]).outcome().unjudged == ()
    monitor.add_readings(Readings(1, {"loss/d": -1.0}))
    assert monitor.not_applicable()["GW201"] == "needs a loss that is not negative"
    resumed = Monitor(detectors=[High()])
    resumed.load_state_dict(json.loads(json.dumps(monitor.state_dict())))
    assert resumed.not_applicable() == {"GW201": "needs a loss that is not negative"}
    monitor.add_readings(Readings(2, {"loss/d": 1.0}))
    assert "GW201" not in monitor.not_applicable()


def test_sinks_get_copies_and_listeners_the_incident() -> None:
    heard: list[Incident] = []
    received: list[Incident] = []
    plain = MemorySink()
    plain.incident = received.append
    monitor, _ = run_live({"loss/d": 5.0}, [High()], 8, listeners=[heard.append], sinks=[plain])
    assert heard == monitor.incidents.history
    assert heard[0] is monitor.incidents.history[0]
    assert received[0].seen == 3
    assert heard[0].seen == 7


def test_a_resumed_run_restores_reported_incidents_at_the_sinks() -> None:
    first, sink = run_live({"loss/d": 5.0}, [High()], 4)
    ahead = sink.reports[0]
    later = Incident("GW301-1", "GW301", "t", Severity.TICKET, State.FIRING, 9, 9)
    restored: list[Incident] = []
    sink = MemorySink()
    sink.restore = restored.append
    monitor = Monitor(detectors=[High()], sinks=[sink])
    monitor.load_state_dict(first.state_dict())
    monitor.start(Run("r", "r", attempt=2), reported=[ahead, later])
    assert [(one.id, one.state) for one in restored] == [("GW201-1", State.FIRING), ("GW301-1", State.PENDING)]
    assert monitor.attempt == 2


VALUES = st.lists(st.sampled_from([0.5, 5.0, 5.0, 5.0, -1.0, None]), max_size=40)


@given(VALUES, st.data())
def test_a_monitor_restored_at_any_step_raises_the_same_incidents(values: list[float | None], data: st.DataObject) -> None:
    stream = [Readings(step, {"loss/g": 1.0} if value is None else {"loss/d": value}) for step, value in enumerate(values, start=1)]
    at = data.draw(st.integers(0, len(stream)))
    whole, cut = Monitor(detectors=[High(), Broken()]), Monitor(detectors=[Broken(), High()])
    whole.guard.errors["detector vanishing gradients (GW301)"] = cut.guard.errors["detector vanishing gradients (GW301)"] = 1
    for position, one in enumerate(stream):
        if position == at:
            state = json.loads(json.dumps(cut.state_dict()))
            cut = Monitor(detectors=[High(), Broken()])
            cut.guard.errors["detector vanishing gradients (GW301)"] = 1
            cut.load_state_dict(state)
        assert cut.add_readings(one) == whole.add_readings(one)
    assert cut.incidents.history == whole.incidents.history
    assert cut.state_dict() == whole.state_dict()


def test_default_detectors_continue_after_a_restart_in_the_middle_of_every_failure() -> None:
    for detector in default_detectors():
        steps = list(detector.demo(1)[0])
        whole, cut = Monitor(detectors=default_detectors()), Monitor(detectors=default_detectors())
        for position, one in enumerate(steps):
            if position % 97 == 50:
                state = json.loads(json.dumps(cut.state_dict()))
                cut = Monitor(detectors=default_detectors())
                cut.load_state_dict(state)
            whole.add_readings(one)
            cut.add_readings(one)
        assert not whole.guard.errors | cut.guard.errors
        assert whole.incidents.history
        assert repr(cut.incidents.history) == repr(whole.incidents.history)


def test_state_includes_steps_that_were_not_yet_evaluated() -> None:
    monitor, sink = run_live({"loss/d": 5.0}, [High()], 3)
    assert sink.series("loss/d")[0] == [1, 2]
    assert monitor.state_dict()["step"] == 3
    assert sink.series("loss/d")[0] == [1, 2, 3]


def test_a_replay_raises_the_incidents_of_the_live_run() -> None:
    def values(step: int) -> dict[str, float]:
        every = {"loss/d": 5.0 if 20 < step < 60 else 0.5, "loss/g": math.nan if step > 80 else 0.7}
        return every | ({"vendi_ratio": 1.0} if step % 10 == 0 else {})

    detectors = [*default_detectors(), High()]
    monitor, sink = run_live(values, detectors, 120)
    monitor.finish("finished")
    assert [one.code for one in monitor.incidents.history] == ["GW201", "GW303"]
    again = [*(type(one)() for one in detectors)]
    assert repr(replay(sink.steps, again)) == repr(monitor.incidents.history)
