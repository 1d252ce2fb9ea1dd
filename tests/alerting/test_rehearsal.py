"""From an incident in a training to one notification, through the real programs."""

from __future__ import annotations

import pytest

from ganwatch.core.detector import Severity
from ganwatch.core.incidents import Incident, State
from ganwatch.core.readings import Readings, Run
from ganwatch.sinks.prometheus import PrometheusSink

pytestmark = pytest.mark.service


def test_a_collapse_pages_once_and_a_dead_process_silences_it(detectors, rehearse):
    rehearsal = rehearse(detectors)
    sink = PrometheusSink(detectors=detectors)
    try:
        sink.start(Run("r1", "digits"))
        sink.readings([Readings(1, {"loss/g": 1.0})])
        rehearsal.watch(sink.port, model="digits", experiment="e7")
        rehearsal.until("the healthy run is scraped", lambda: rehearsal.query('ganwatch_incident{code="GW101"} == 0'))
        assert not rehearsal.notifications

        sink.incident(Incident("GW101-1", "GW101", "mode collapse", Severity.PAGE, State.FIRING, onset=1, opened=1))
        rehearsal.until("the alert fires", lambda: rehearsal.alerts("GanwatchModeCollapse"))
        rehearsal.until("Alertmanager has it", lambda: rehearsal.received("GanwatchModeCollapse"))
        rehearsal.until("it is notified", lambda: rehearsal.notified("GanwatchModeCollapse"))
    finally:
        sink.close()

    [down] = rehearsal.until("the dead process is noticed", lambda: rehearsal.received("GanwatchTargetDown"))
    inhibited = rehearsal.until(
        "the dead process silences the collapse",
        lambda: [alert for alert in rehearsal.received("GanwatchModeCollapse") if alert["status"]["inhibitedBy"]],
    )
    assert inhibited[0]["status"]["inhibitedBy"] == [down["fingerprint"]]
    assert rehearsal.until("it is notified too", lambda: rehearsal.notified("GanwatchTargetDown"))[0][0] == "platform-page"
    [(receiver, alert)] = rehearsal.notified("GanwatchModeCollapse")
    assert receiver == "model-page"
    assert alert["labels"].items() >= {"code": "GW101", "severity": "page", "owner": "model", "model": "digits", "experiment": "e7"}.items()
    assert "run r1 (digits)" in alert["annotations"]["description"]


def test_a_run_that_ended_well_raises_no_alarm_when_its_process_is_gone(detectors, rehearse):
    rehearsal = rehearse(detectors, scale=1 / 600)
    sink = PrometheusSink(detectors=detectors)
    try:
        sink.start(Run("r1", "digits"))
        sink.readings([Readings(1, {"loss/g": 1.0})])
        rehearsal.watch(sink.port)
        rehearsal.until("the run is scraped", lambda: rehearsal.query("ganwatch_step == 1"))
        sink.finish("finished")
    finally:
        sink.close()
    rehearsal.until("the target is down", lambda: rehearsal.query('up{job="ganwatch"} == 0'))
    [rule] = [rule for rule in rehearsal.rules() if rule["name"] == "GanwatchTargetDown"]
    assert rehearsal.query(rule["query"]) == []
