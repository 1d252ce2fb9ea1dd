from __future__ import annotations

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ganwatch.core.detector import Detector, FailureKind, NotApplicable, Severity, Verdict
from ganwatch.core.diagnosis import CAUSAL_WINDOW, ONSET_TOLERANCE, CausalGraph
from ganwatch.core.incident_book import MAX_WAIT, RECURRENCE, IncidentBook
from ganwatch.core.incidents import Incident, State, incident_from_plain, incident_to_plain

KINDS = {"1": FailureKind.DIVERSITY, "2": FailureKind.BALANCE, "3": FailureKind.NUMERICS, "4": FailureKind.QUALITY, "5": FailureKind.DATA}


def detector_class(
    code: str, *, fire_after: int = 0, resolve_after: int = 3, causal_priority: int = 0, is_fact: bool = False
) -> type[Detector]:
    facts = {"code": code, "title": f"failure {code}", "severity": Severity.TICKET, "inputs": ("loss/g",)}
    facts["kind"] = KINDS.get(code[2], FailureKind.OTHER)
    timing = {"fire_after": fire_after, "resolve_after": resolve_after, "causal_priority": causal_priority, "is_fact": is_fact}
    return type(code, (Detector,), facts | timing)


def verdict(onset: int | None = None, *, window: int = 1) -> Verdict:
    return Verdict(0.5, 1.0, "loss/g", window, "the test", "It failed.", onset=onset)


COLLAPSE, QUALITY, DOMINATION, GRADIENTS, DATA = (detector_class(code) for code in ("GW101", "GW401", "GW201", "GW301", "GW501"))
OTHER = detector_class("ACME-7")


def causes(book: IncidentBook) -> dict[str, str | None]:
    return {incident.id: incident.cause for incident in book.history}


def test_a_verdict_must_last_for_fire_after_steps() -> None:
    book, slow = IncidentBook(), detector_class("GW101", fire_after=3)
    assert [bool(book.update(step, slow, verdict())) for step in range(10, 15)] == [False, False, False, True, False]
    [incident] = book.history
    assert (incident.opened, incident.fired, incident.seen, incident.onset) == (10, 13, 14, 10)


def test_a_verdict_that_does_not_last_leaves_nothing() -> None:
    book, slow = IncidentBook(), detector_class("GW101", fire_after=3)
    for step, result in enumerate((verdict(), verdict(), None, verdict(), NotApplicable("no"), verdict(), verdict()), start=1):
        assert book.update(step, slow, result) == []
    assert book.history == []
    book.update(8, slow, verdict())
    book.update(9, slow, verdict())
    assert [incident.id for incident in book.history] == ["GW101-1"]


def reports_of(book: IncidentBook, failing: set[int], last: int) -> list[tuple[str, State, int]]:
    steps = range(1, last + 1)
    return [(one.id, one.state, at) for at in steps for one in book.update(at, COLLAPSE, verdict() if at in failing else None)]


def test_one_incident_while_verdicts_go_on_and_another_long_after_it_was_resolved() -> None:
    book, again = IncidentBook(), 16 + RECURRENCE
    failing = {*range(5, 10), 12, again}  # a gap of 2 is shorter than resolve_after
    assert reports_of(book, failing, again + 3) == [
        ("GW101-1", State.FIRING, 5),
        ("GW101-1", State.RESOLVED, 15),
        ("GW101-2", State.FIRING, again),
        ("GW101-2", State.RESOLVED, again + 3),
    ]
    assert [(one.seen, one.resolved, one.recurrences) for one in book.history] == [(12, 15, 0), (again, again + 3, 0)]
    assert book.firing == []


def test_a_failure_that_comes_back_soon_is_one_incident_that_takes_longer_to_end() -> None:
    book = IncidentBook()
    assert reports_of(book, {5, 10, 15, 20}, 40) == [
        ("GW101-1", State.FIRING, 5),
        ("GW101-1", State.RESOLVED, 8),
        ("GW101-1", State.FIRING, 10),
        ("GW101-1", State.RESOLVED, 26),
    ]
    [incident] = book.history
    assert (incident.onset, incident.fired, incident.seen, incident.resolved, incident.recurrences) == (5, 5, 20, 26, 1)


@pytest.mark.parametrize(("given", "expected"), [(verdict(onset=7), 7), (verdict(window=5), 16), (verdict(window=50), 1)])
def test_the_onset_is_that_of_the_verdict_or_the_start_of_the_window(given: Verdict, expected: int) -> None:
    [incident] = IncidentBook().update(20, COLLAPSE, given)
    assert incident.onset == expected


def test_evidence_is_the_latest() -> None:
    book = IncidentBook()
    book.update(1, COLLAPSE, verdict())
    latest = verdict(onset=1)
    book.update(2, COLLAPSE, latest)
    assert book.firing[0].evidence is latest
    assert book.firing[0].severity is Severity.TICKET


def test_the_causal_order_decides_between_onsets_within_the_causal_window() -> None:
    order = [DATA, GRADIENTS, DOMINATION, COLLAPSE, QUALITY, OTHER]
    for cause, symptom in pairwise(order):
        book = IncidentBook()
        book.update(1000 + CAUSAL_WINDOW - ONSET_TOLERANCE, symptom, verdict(onset=1000))
        changed = book.update(1301, cause, verdict(onset=1000 + CAUSAL_WINDOW))
        assert {one.id for one in changed} == {f"{cause.code}-1", f"{symptom.code}-1"}
        assert causes(book) == {f"{cause.code}-1": None, f"{symptom.code}-1": f"{cause.code}-1"}


def test_what_goes_on_for_long_explains_what_it_brings_about() -> None:
    for symptom, cause in ((DOMINATION, "GW101-1"), (GRADIENTS, "GW101-1"), (DATA, None), (detector_class("GW301", is_fact=True), None)):
        book = IncidentBook()
        book.update(1000, COLLAPSE, verdict(onset=1000))
        book.update(1500, symptom, verdict(onset=1001 + CAUSAL_WINDOW))
        assert causes(book) == {"GW101-1": None, f"{symptom.code}-1": cause}


@pytest.mark.parametrize(("late", "cause"), [(0, "GW501-1"), (1, None)])
def test_an_incident_that_begins_after_the_alarm_of_a_symptom_is_not_its_cause(late: int, cause: str | None) -> None:
    book = IncidentBook()
    book.update(1000, COLLAPSE, verdict(onset=1000))
    book.update(1200, DATA, verdict(onset=1000 + ONSET_TOLERANCE + late))
    assert causes(book)["GW101-1"] == cause


def test_within_a_hundred_the_priority_decides_then_the_onset() -> None:
    book = IncidentBook()
    book.update(10, detector_class("GW303", causal_priority=1), verdict(onset=5))
    book.update(11, detector_class("GW302"), verdict(onset=9))
    assert causes(book) == {"GW303-1": "GW302-1", "GW302-1": None}
    book = IncidentBook()
    book.update(10, detector_class("GW301"), verdict(onset=9))
    book.update(11, detector_class("GW302"), verdict(onset=5))
    assert causes(book) == {"GW301-1": "GW302-1", "GW302-1": None}


def test_all_overlapping_incidents_get_a_new_cause_when_it_fires_late() -> None:
    book = IncidentBook()
    book.update(100, QUALITY, verdict(onset=90))
    book.update(110, COLLAPSE, verdict(onset=95))
    assert causes(book) == {"GW401-1": "GW101-1", "GW101-1": None}
    changed = book.update(300, DATA, verdict(onset=50))
    assert {one.id for one in changed} == {"GW501-1", "GW401-1", "GW101-1"}
    assert causes(book) == {"GW401-1": "GW501-1", "GW101-1": "GW501-1", "GW501-1": None}


def test_a_resolved_incident_explains_nothing() -> None:
    book = IncidentBook()
    book.update(10, DATA, verdict())
    book.update(13, DATA, None)
    book.update(14, COLLAPSE, verdict())
    assert causes(book) == {"GW501-1": None, "GW101-1": None}


def test_a_symptom_waits_for_a_cause_that_is_pending() -> None:
    book, slow = IncidentBook(), detector_class("GW501", fire_after=5)
    book.update(10, slow, verdict(onset=10))
    assert book.update(11, COLLAPSE, verdict(onset=11)) == []
    book.update(15, slow, verdict(onset=10))
    assert [one.id for one in book.update(16, COLLAPSE, verdict(onset=11))] == ["GW101-1"]
    assert causes(book) == {"GW501-1": None, "GW101-1": "GW501-1"}


def test_a_symptom_does_not_wait_for_ever() -> None:
    book, slow = IncidentBook(), detector_class("GW501", fire_after=1000)
    fired = [step for step in range(10, 100) for one in (slow, COLLAPSE) if book.update(step, one, verdict(onset=10))]
    assert fired == [10 + MAX_WAIT]
    assert causes(book) == {"GW101-1": None}


def test_of_incidents_that_would_explain_each_other_in_a_circle_the_first_kind_is_the_root() -> None:
    first, second, third = (
        Incident(f"{code}-1", code, "t", Severity.TICKET, State.FIRING, onset, fired, fired=fired)
        for code, onset, fired in (("GW501", 900, 900), ("GW302", 500, 510), ("GW101", 1, 300))
    )
    graph = CausalGraph()
    for detector in (DATA, detector_class("GW302"), COLLAPSE):
        graph.add(detector)
    circle = {(first.id, third.id), (second.id, first.id), (third.id, second.id)}
    graph.explains = lambda cause, symptom: (cause.id, symptom.id) in circle
    assert {one.id: cause for one, cause in graph.find_roots([third, second, first])} == {
        "GW501-1": None, "GW302-1": "GW501-1", "GW101-1": "GW501-1",
    }  # fmt: skip


def test_incidents_as_plain_types() -> None:
    full = Incident(
        "GW101-1", "GW101", "t", Severity.PAGE, State.RESOLVED, 1, 2, resolved=9, cause="GW501-1", evidence=verdict(3), extras={"a": 1}
    )
    bare = Incident("GW101-1", "GW101", "t", Severity.TICKET, State.PENDING, 1, 2)
    for incident in (full, bare):
        plain = json.loads(json.dumps(incident_to_plain(incident)))
        back = incident_from_plain(plain)
        assert back == incident
        assert isinstance(back.severity, Severity)
        assert isinstance(back.state, State)


DETECTORS = [
    detector_class("GW101", fire_after=2),
    detector_class("GW301", causal_priority=1),
    detector_class("GW501", fire_after=1),
    detector_class("GW302", resolve_after=1),
]


@given(st.lists(st.tuples(st.integers(1, 4), st.lists(st.booleans(), min_size=4, max_size=4)), max_size=40), st.data())
def test_a_book_restored_at_any_step_reports_the_same(script: list[tuple[int, list[bool]]], data: st.DataObject) -> None:
    whole, cut = IncidentBook(5), IncidentBook(5)
    at = data.draw(st.integers(0, len(script)))
    step = 0
    for position, (stride, failing) in enumerate(script):
        step += stride
        if position == at:
            state = json.loads(json.dumps(cut.state_dict()))
            cut = IncidentBook(5)
            for detector in DETECTORS:
                cut.graph.add(detector)
            cut.load_state_dict(state)
        for detector, bad in zip(DETECTORS, failing, strict=True):
            result = verdict(window=3) if bad else None
            assert cut.update(step, detector, result) == whole.update(step, detector, result)
    assert cut.history == whole.history
    assert cut.firing == whole.firing
    assert len({one.id for one in whole.history}) == len(whole.history)
    for one in whole.history:
        assert one.onset <= one.opened <= one.fired <= one.seen
        assert one.cause is None or next(other for other in whole.history if other.id == one.cause).cause is None


def test_an_incident_has_just_fired_only_at_the_step_at_which_it_fires() -> None:
    book, slow = IncidentBook(), detector_class("GW101", fire_after=2)
    seen = []
    for step in range(10, 15):
        book.update(step, slow, verdict())
        seen.append(book.active["GW101"].has_just_fired)
    assert seen == [False, False, True, False, False]
