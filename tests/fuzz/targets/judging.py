"""What decides: readings of any steps and values, saved states, incidents, and facts of recordings."""

from __future__ import annotations

import copy
import math
from functools import cache
from pathlib import Path
from typing import Any

from cases import MUTATED, ODD, VALID, Case, Cases, Target
from hypothesis import strategies as st
from mutations import JSON, SHARES, replace_leaf

from ganwatch.calibration.rates import count_false_alarms, detection_rates_by_label
from ganwatch.calibration.replayed_runs import replay_run
from ganwatch.core.detector import NotApplicable, Verdict
from ganwatch.core.detector_settings import discover_detectors
from ganwatch.core.guard import Guard
from ganwatch.core.incident_book import IncidentBook
from ganwatch.core.monitor import Monitor
from ganwatch.core.readings import Readings
from ganwatch.core.signals import catalogue
from ganwatch.recordings.recording import Recording

SEEDS = st.integers(0, 2**32 - 1)
STEPS = st.integers(-5, 400) | st.sampled_from((0, -1, 10**18, 2**31 - 1, 2**31, 2**63, -(10**18), 10**30))
VALUES = st.floats() | st.sampled_from((0.0, -0.0, 1.0, math.nan, math.inf, -math.inf, 1e308, 5e-324, -1e308, 0.5))


@cache
def series() -> tuple[str, ...]:
    """Return the series that detectors read, and some that none does."""
    known = sorted({name for cls in discover_detectors() for name in cls.inputs})
    return (*known, *catalogue(), "", "/", "loss/", "\0", "\ud800", "x" * 1000)


@cache
def demo(index: int, seed: int = 0) -> tuple[tuple[Readings, ...], int]:
    stream, onset = discover_detectors()[index].demo(seed)
    return tuple(stream), onset


def new_monitor() -> Monitor:
    return Monitor(detectors=[cls() for cls in discover_detectors()], guard=KeepingGuard())


class KeepingGuard(Guard):
    """Keeps the first error."""

    kept: Exception | None = None

    def note(self, part: str, error: Exception, meaning: str = "") -> None:
        self.kept = self.kept or error
        super().note(part, error, meaning)


def check(monitor: Monitor) -> None:
    """Refuse errors of detectors, which the guard keeps to itself, and ask for all that is known."""
    monitor.outcome().describe()
    monitor.state_dict()
    if isinstance(monitor.guard, KeepingGuard) and monitor.guard.kept is not None:
        raise monitor.guard.kept


class AddReadings(Target):
    """Readings of any steps, values and series."""

    name = "readings"

    def prepare(self) -> None:
        for index in range(len(discover_detectors())):
            demo(index)

    def cases(self) -> Cases:
        count = len(discover_detectors())
        valid = st.builds(lambda index, seed: Case(VALID, (index, seed % 3), True), st.integers(0, count - 1), SEEDS)
        part = st.sampled_from(series()).flatmap(lambda name: st.tuples(st.just(name), VALUES))
        steps = st.lists(st.tuples(STEPS, st.lists(part, min_size=1, max_size=6).map(dict)), min_size=1, max_size=12)

        def bend(index: int, start: int, odd: list[tuple[int, dict[str, float]]]) -> Case:
            """Put odd readings into the middle of a demonstration."""
            return Case(MUTATED, [*((one.step, dict(one.values)) for one in demo(index)[0][:start]), *odd, *((one.step,
                dict(one.values)) for one in demo(index)[0][start : start + 150])])

        constant = st.builds(
            lambda names, value, gap: Case(ODD, [(step * gap, dict.fromkeys(names, value)) for step in range(300)]),
            st.lists(st.sampled_from(series()), min_size=1, max_size=8),
            VALUES,
            st.sampled_from((0, 1, 5, 10**6, -1, 10**15)),
        )
        return Cases(valid, st.builds(bend, st.integers(0, count - 1), st.integers(0, 300), steps) | constant)

    def read(self, case: Case, folder: Path) -> Any:
        monitor = new_monitor()
        if case.kind != VALID:
            for step, values in case.value:
                monitor.add_readings(Readings(step, values))
            return check(monitor)
        stream, onset = demo(*case.value)
        code = discover_detectors()[case.value[0]].code
        for one in stream:
            monitor.add_readings(one)
        check(monitor)
        return any(one.code == code and (one.fired or 0) >= onset for one in monitor.incidents.history)


@cache
def saved_states() -> list[dict[str, Any]]:
    states = []
    for index in range(len(discover_detectors())):
        monitor = new_monitor()
        for one in demo(index)[0][:250]:
            monitor.add_readings(one)
        states.append(monitor.state_dict())
    return states


class LoadState(Target):
    """A saved state with another part: it is refused and nothing changes, or the run continues."""

    name = "saved-state"

    def prepare(self) -> None:
        saved_states()

    def cases(self) -> Cases:
        index = st.integers(0, len(discover_detectors()) - 1)
        mutated = st.builds(lambda one, place, value: Case(MUTATED, (one, replace_leaf(saved_states()[one], place, value))), index, SHARES,
            JSON)
        whole = st.builds(lambda one, value: Case(ODD, (one, value)), index, JSON)
        return Cases(index.map(lambda one: Case(VALID, (one, saved_states()[one]), saved_states()[one])), mutated | mutated | whole)

    def read(self, case: Case, folder: Path) -> Any:
        index, state = case.value
        monitor = new_monitor()
        before = copy.deepcopy(monitor.state_dict())
        try:
            monitor.load_state_dict(state)
        except Exception:
            if repr(monitor.state_dict()) != repr(before):
                raise AssertionError("a refused state has changed the monitor") from None
            raise
        if case.kind == VALID:
            return monitor.state_dict()
        for one in demo(index)[0][250:300]:
            monitor.add_readings(one)
        return check(monitor)


RESULTS = st.none() | st.builds(NotApplicable, st.text(max_size=5)) | st.builds(
    Verdict, VALUES, VALUES, st.text(max_size=5), st.integers(-5, 10**18), st.text(max_size=5), st.text(max_size=5), st.none() | STEPS
)


class Book(Target):
    """Results of detectors at any steps."""

    name = "incident-book"

    def cases(self) -> Cases:
        classes = st.sampled_from(discover_detectors())
        valid = st.builds(lambda cls, step: Case(VALID, (cls, step), [step + cls.fire_after, step, "firing"]), classes,
            st.integers(1, 10**6))
        updates = st.lists(st.tuples(STEPS, classes, RESULTS), min_size=1, max_size=30)
        return Cases(valid, updates.map(lambda value: Case(ODD, value)))

    def read(self, case: Case, folder: Path) -> Any:
        book = IncidentBook()
        if case.kind == VALID:
            cls, step = case.value
            verdict = Verdict(1.0, 0.5, "loss/g", 1, "test", "It is.", onset=step)
            for now in range(step, step + cls.fire_after + 1):
                book.update(now, cls, verdict)
            [incident] = book.history
            return [incident.fired, incident.onset, str(incident.state)]
        for step, cls, result in case.value:
            book.update(step, cls, result)
        other = IncidentBook()
        other.load_state_dict(book.state_dict())
        if repr(other.state_dict()) != repr(book.state_dict()):
            raise AssertionError("a book is not restored as it was")
        return None


class Facts(Target):
    """Facts of a recording, and the rates of its replay."""

    name = "facts"
    refusals = (ValueError,)

    def cases(self) -> Cases:
        valid = st.builds(
            lambda index, onset: Case(VALID, (index, {"label": "failure", "codes": [discover_detectors()[index].code], "onset": onset}),
            onset), st.integers(0, len(discover_detectors()) - 1), st.integers(1, 50)
        )
        known = st.fixed_dictionaries({}, optional=dict.fromkeys(("label", "onset", "onset_low", "codes", "unused"), JSON))
        typed = st.fixed_dictionaries(
            {}, optional={"label": st.text(max_size=9), "onset": STEPS, "onset_low": STEPS,
                "codes": st.lists(st.text(max_size=4), max_size=3), "unused": st.lists(st.text(max_size=4), max_size=3)}
        )
        return Cases(valid, st.builds(lambda index, facts: Case(ODD, (index, facts)), st.integers(0, 16), known | typed))

    def read(self, case: Case, folder: Path) -> Any:
        index, facts = case.value
        recording = Recording("run", demo(index)[0], facts)
        run = replay_run(recording, [cls() for cls in discover_detectors()])
        count_false_alarms([run])
        detection_rates_by_label([run])
        return run.onset


TARGETS = [AddReadings(), LoadState(), Book(), Facts()]
