from __future__ import annotations

import logging
from dataclasses import replace

import pytest

from ganwatch.core.detector import Severity, Verdict
from ganwatch.core.incidents import Incident, State
from ganwatch.core.readings import Readings, Run, SampleImages
from ganwatch.sinks.log import LogSink
from ganwatch.sinks.memory import MemorySink

INCIDENT = Incident(
    "GW101-1", "GW101", "mode collapse", Severity.PAGE, State.PENDING, 100, 110, seen=130, runbook="alerts/runbooks/GW101.md",
    remedies="- Look at the data\n  first.\n- Lower the learning rate.",
    evidence=Verdict(0.0312, 0.25, "vendi_ratio", 50, "reals of the same step", "few outputs"),
)  # fmt: skip


def test_memory_keeps_each_record_as_it_was() -> None:
    sink = MemorySink()
    incident = replace(INCIDENT)
    sink.start(Run("r", "demo"))
    sink.readings([Readings(1, {"x": 1.0})])
    sink.readings([Readings(2, {"y": 1.0}), Readings(3, {"x": 3.0})])
    sink.incident(incident)
    incident.state = State.FIRING
    sink.incident(incident)
    sink.samples(SampleImages(1, "fake", (1, 1, 1, 1), b"a"))
    sink.finish("finished")
    sink.close()
    assert sink.series("x") == ([1, 3], [1.0, 3.0])
    assert [report.state for report in sink.reports] == ["pending", "firing"]
    assert sink.incidents == {"GW101-1": incident}
    assert ([run.id for run in sink.runs], len(sink.images), sink.state, sink.closed) == (["r"], 1, "finished", True)


def test_the_log_has_one_line_for_each_change_of_state(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "ganwatch")
    sink = LogSink()
    firing = replace(INCIDENT, state=State.FIRING, cause="GW302-1")
    sink.restore(replace(INCIDENT, id="GW302-1", title="exploding gradients"))
    for incident in (INCIDENT, firing, replace(firing, seen=140), replace(firing, state=State.RESOLVED, resolved=300)):
        sink.incident(incident)
    sink.incident(replace(firing, id="GW101-2", severity=Severity.TICKET, evidence=None, remedies="", runbook=""))
    broken = Verdict(float("nan"), 0.0, "loss/g", 1, "definition", "no number")
    sink.incident(replace(firing, id="GW303-1", evidence=broken, cause=None, remedies="", runbook=""))
    sink.readings([Readings(1, {"x": 1.0})])
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        (
            "ERROR",
            (
                "mode collapse (GW101-1) since step 100 (seen at step 130); "
                "vendi_ratio = 0.0312 against 0.25 (reals of the same step): few outputs; explained by exploding gradients (GW302-1); "
                "try first: Look at the data first; see alerts/runbooks/GW101.md"
            ),
        ),
        ("INFO", "mode collapse (GW101-1) resolved at step 300"),
        ("WARNING", "mode collapse (GW101-2) since step 100 (seen at step 130); explained by exploding gradients (GW302-1)"),
        ("ERROR", "mode collapse (GW303-1) since step 100 (seen at step 130); loss/g = nan (definition): no number"),
    ]
