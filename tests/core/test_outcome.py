"""A run is clean only if every detector that applies judged to the end."""

from __future__ import annotations

import json

import pytest

from ganwatch.core.coverage import MAX_PATTERNS, Coverage, Span
from ganwatch.core.detector import Detector, FailureKind, NotApplicable, Severity, Verdict
from ganwatch.core.monitor import Monitor
from ganwatch.core.outcome import Conclusion, Outcome, find_unjudged
from ganwatch.core.readings import Readings


class Stub(Detector):
    code, title, severity, kind = "ACME-1", "stub", Severity.TICKET, FailureKind.OTHER
    inputs = ("d_auc", "energy_distance", "loss/g")
    ready_at, fires_at = 0, 10**9

    def __init__(self):
        self._step = 0

    def update(self, readings):
        self._step = readings.step
        return Verdict(1.0, 0.0, "loss/g", 1, "test", "It failed.") if readings.step >= self.fires_at else None

    @property
    def is_ready(self):
        return self._step >= self.ready_at

    @classmethod
    def demo(cls, seed):
        return iter(()), 1


def run(detector, series, steps=1000):
    """Return the outcome of a run in which each series is measured at every so many steps up to a last one."""
    monitor = Monitor(detectors=[detector])
    for step in range(1, steps + 1):
        values = {name: 1.0 for name, (every, last) in series.items() if step % every == 0 and step <= last}
        monitor.add_readings(Readings(step, values))
    return monitor.outcome()


ALWAYS = {"loss/g": (1, 1000)}


def stub(**facts):
    return type("Stubbed", (Stub,), facts)()


@pytest.mark.parametrize(
    ("detector", "series", "reason", "last_step"),
    [
        (stub(required=(("d_auc",),)), ALWAYS, "needs d_auc (or d_margin)", None),
        (stub(required=(("d_auc", "energy_distance"),)), ALWAYS | {"d_auc": (20, 1000)}, "needs energy_distance", None),
        (stub(required=(("d_auc",),)), ALWAYS | {"d_auc": (20, 600)}, "no d_auc since", 600),
        (stub(required=(("d_auc", "loss/g"), ("frechet",))), ALWAYS, "needs d_auc (or d_margin), or frechet", None),
        (stub(required=(("d_auc",), ("frechet",))), ALWAYS | {"d_auc": (20, 600), "frechet": (20, 400)}, "no d_auc since", 600),
        (stub(inputs=("d_auc", "energy_distance")), ALWAYS, "needs one of d_auc, energy_distance", None),
        (stub(inputs=("d_auc", "energy_distance")), ALWAYS | {"d_auc": (20, 300), "energy_distance": (20, 500)},
         "no d_auc and energy_distance since", 300),
        (stub(required=(("d_auc",),), ready_at=2000), ALWAYS | {"d_auc": (20, 600)}, "no d_auc since step 600", None),
        (stub(ready_at=1001), ALWAYS, "too early", None),
    ],
)  # fmt: skip
def test_a_detector_that_cannot_judge_is_named_with_what_it_lacks(detector, series, reason, last_step):
    outcome = run(detector, series)
    assert outcome.conclusion is Conclusion.NOT_JUDGED
    [unjudged] = outcome.unjudged
    assert (unjudged.code, unjudged.reason, unjudged.last_step) == ("ACME-1", reason, last_step)
    assert f"stub (ACME-1): {unjudged.cause}" in outcome.describe()
    assert Outcome.from_plain(json.loads(json.dumps(outcome.to_plain()))) == outcome


def test_a_run_is_clean_if_all_was_judged_and_has_incidents_if_one_fired():
    series = ALWAYS | {"d_auc": (20, 1000)}
    assert run(stub(required=(("d_auc",),)), series).conclusion is Conclusion.CLEAN
    assert run(stub(required=(("d_auc",),)), ALWAYS | {"d_auc": (20, 940)}).conclusion is Conclusion.CLEAN  # the next one may still come
    outcome = run(stub(required=(("energy_distance",),), fires_at=500), series)
    assert (outcome.conclusion, outcome.incidents, len(outcome.unjudged)) == (Conclusion.INCIDENTS, ("ACME-1",), 1)
    assert outcome.headline == "1 incident: stub (ACME-1)"
    older = {name: value for name, value in outcome.to_plain().items() if name != "titles"}
    assert Outcome.from_plain(older).headline == "1 incident: ACME-1"
    assert Monitor(detectors=[Stub()]).outcome().conclusion is Conclusion.NOT_JUDGED  # without a step
    assert run(stub(inputs=("x",)), ALWAYS).describe().startswith("no incident was found, but not everything was judged")
    nothing = Monitor()
    nothing.add_readings(Readings(1, {"loss/g": 1.0}))
    assert nothing.outcome().describe() == "no incident was found, but nothing was judged"


def test_what_does_not_apply_is_not_missing():
    assert run(stub(required=(("d_auc",),), is_optional=True), ALWAYS).conclusion is Conclusion.CLEAN
    assert run(stub(required=(("d_auc",),), is_optional=True), ALWAYS | {"d_auc": (20, 600)}).conclusion is Conclusion.NOT_JUDGED
    results = {"ACME-1": NotApplicable("needs labels")}
    assert find_unjudged([stub(required=(("d_auc",),))], results, {"loss/g": Span(1, 900, 900)}, 900) == []


def test_errors_problems_and_networks_without_updates_are_told():
    monitor = Monitor(detectors=[Stub()])
    for step in range(1, 201):
        monitor.add_readings(Readings(step, {"loss/g": 1.0, "updates_performed/g": float(step <= 80), "updates_performed/d": 1.0}))
    monitor.guard("probe x", lambda: 1 / 0)
    monitor.problems["y"] = "y is not measured"
    outcome = monitor.outcome()
    assert outcome.conclusion is Conclusion.NOT_JUDGED
    assert outcome.idle == {"g": 120}
    text = outcome.describe()
    assert "the generator had no update in the last 120 steps" in text
    assert "probe x failed 1 time" in text
    assert text.endswith("y is not measured")


def test_a_resumed_run_continues_its_coverage():
    first, second = Monitor(detectors=[stub(required=(("d_auc",),))]), Monitor(detectors=[stub(required=(("d_auc",),))])
    for step in range(1, 301):
        first.add_readings(Readings(step, {"loss/g": 1.0, "updates_performed/d": 1.0} | ({"d_auc": 0.5} if step % 20 == 0 else {})))
    second.load_state_dict(json.loads(json.dumps(first.state_dict())))
    for step in range(301, 600):
        second.add_readings(Readings(step, {"loss/g": 1.0, "updates_performed/d": 0.0}))
    outcome = second.outcome()
    assert outcome.unjudged[0].last_step == 300
    assert outcome.idle == {"g": 599, "d": 299}


def test_coverage_counts_however_many_sets_of_series_there_are():
    coverage = Coverage()
    for step in range(1, 3 * MAX_PATTERNS):
        coverage.add(("loss/g", f"logged/{step % 300}"), step)
    spans = coverage.spans()
    assert spans["loss/g"] == Span(1, 3 * MAX_PATTERNS - 1, 3 * MAX_PATTERNS - 1)
    assert spans["logged/7"].first == 7
    assert len(coverage.state_dict()) == 301
