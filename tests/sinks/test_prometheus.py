"""The exporter: what a scrape shows, and that nothing is left behind."""

from __future__ import annotations

import math
import socket
import subprocess
import threading
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from prometheus_client.parser import text_string_to_metric_families

from ganwatch.core.detector import Severity
from ganwatch.core.errors import UserError
from ganwatch.core.incidents import Incident, State
from ganwatch.core.outcome import Conclusion, Outcome, Unjudged
from ganwatch.core.readings import Readings, Run
from ganwatch.core.signals import catalogue
from ganwatch.sinks.prometheus import MAX_LABEL_VALUES, PrometheusSink


class Collapse:
    code, severity = "GW101", Severity.PAGE


def incident(number: int, *, code="GW101", state=State.FIRING, cause: str | None = None, severity=Severity.PAGE) -> Incident:
    return Incident(f"{code}-{number}", code, "title", severity, state, onset=1, opened=2, cause=cause)


@pytest.fixture
def sink():
    sink = PrometheusSink(detectors=[Collapse])
    yield sink
    sink.close()


def page(sink: PrometheusSink, **headers: str) -> str:
    with urlopen(Request(f"http://127.0.0.1:{sink.port}/metrics", headers=headers), timeout=10) as answer:
        return answer.read().decode()


def scrape(sink: PrometheusSink) -> dict[tuple[str, ...], float]:
    """Value by name and label values."""
    families = text_string_to_metric_families(page(sink))
    return {(sample.name, *sample.labels.values()): sample.value for each in families for sample in each.samples}


def everything() -> dict[str, float]:
    return {f"{name}/one" if signal.label else name: 1.0 for name, signal in catalogue().items()}


def test_every_exported_family_is_there_once_and_no_other(sink):
    sink.readings([Readings(4, everything() | {"unheard/of": 1.0}, wall_time=123.0)])
    shown = scrape(sink)
    for name, signal in catalogue().items():
        names = {key for key in shown if key[0] in (signal.exported_name, f"{signal.exported_name}_total")}
        assert len(names) == signal.exported, name
    assert shown["ganwatch_step",] == 4
    assert shown["ganwatch_last_step_timestamp_seconds",] == 123
    assert not any("unheard" in key[0] for key in shown)


def test_values_hold_until_measured_again_and_non_finite_ones_pass_through(sink):
    sink.readings([Readings(1, {"loss/g": math.nan, "loss/d": math.inf, "d_auc": -math.inf}), Readings(2, {"loss/d": 0.25})])
    shown = scrape(sink)
    assert math.isnan(shown["ganwatch_loss", "g"])
    assert shown["ganwatch_loss", "d"] == 0.25
    assert shown["ganwatch_discriminator_auc_ratio",] == -math.inf


def test_the_step_at_which_a_signal_was_measured_last_tells_its_age(sink):
    sink.readings([Readings(80, {"frechet": 2.0, "loss/g": 0.5, "layer_grad_norm/g.0": 1.0}), Readings(2000, {"loss/g": 0.25})])
    shown = scrape(sink)
    measured = {key[1]: value for key, value in shown.items() if key[0] == "ganwatch_measured_step"}
    assert (measured, shown["ganwatch_step",]) == ({"frechet": 80.0, "loss": 2000.0}, 2000.0)


def test_faults_of_the_observer_are_counters_that_exist_from_the_start(sink):
    assert scrape(sink)["ganwatch_observer_dropped_total",] == 0
    sink.readings([Readings(1, {"observer_errors": 3.0, "store_failures": 2.0})])
    shown = scrape(sink)
    assert (shown["ganwatch_observer_errors_total",], shown["ganwatch_store_failures_total",]) == (3, 2)
    assert "# TYPE ganwatch_observer_errors_total counter" in page(sink)


def test_label_values_are_bounded_and_the_rest_is_counted(sink):
    sink.readings([Readings(1, {f"loss/{number}": 1.0 for number in range(MAX_LABEL_VALUES + 3)})])
    sink.readings([Readings(2, {"loss/0": 9.0})])
    shown = scrape(sink)
    assert sum(key[0] == "ganwatch_loss" for key in shown) == MAX_LABEL_VALUES
    assert shown["ganwatch_exporter_rejected_readings_total",] == 3
    assert shown["ganwatch_loss", "0"] == 9


def test_an_incident_is_a_gauge_from_the_start_and_counted_once(sink):
    assert scrape(sink)["ganwatch_incident", "GW101", "page"] == 0
    for state in (State.PENDING, State.FIRING, State.FIRING):
        sink.incident(incident(1, state=state))
    shown = scrape(sink)
    assert (shown["ganwatch_incident", "GW101", "page"], shown["ganwatch_incidents_total", "GW101"]) == (1, 1)
    sink.incident(incident(1, state=State.RESOLVED))
    sink.incident(incident(2))
    sink.incident(incident(2, state=State.RESOLVED))
    shown = scrape(sink)
    assert (shown["ganwatch_incident", "GW101", "page"], shown["ganwatch_incidents_total", "GW101"]) == (0, 2)


def test_a_code_is_explained_while_the_cause_of_all_its_incidents_fires(sink):
    sink.incident(incident(1, code="GW501"))
    sink.incident(incident(1, cause="GW501-1"))
    assert scrape(sink)["ganwatch_incident_explained", "GW101"] == 1
    sink.incident(incident(2))
    assert scrape(sink)["ganwatch_incident_explained", "GW101"] == 0
    sink.incident(incident(2, state=State.RESOLVED))
    sink.incident(incident(1, code="GW501", state=State.RESOLVED))
    assert scrape(sink)["ganwatch_incident_explained", "GW101"] == 0


@pytest.mark.parametrize("severity", [Severity.PAGE, Severity.TICKET])
def test_a_cause_that_nobody_is_paged_for_does_not_explain_a_page(sink, severity):
    sink.incident(incident(1, code="GW301", severity=Severity.TICKET))
    sink.incident(incident(1, cause="GW301-1", severity=severity))
    assert scrape(sink)["ganwatch_incident_explained", "GW101"] == (severity is Severity.TICKET)


def test_the_run_is_identified_in_one_place_and_its_state_is_told(sink):
    assert scrape(sink)["ganwatch_run_state", "running"] == 1
    sink.start(Run("r-17", "digits", attempt=2))
    sink.finish("failed")
    text = page(sink)
    assert 'ganwatch_run_info{attempt="2",name="digits",run_id="r-17"} 1.0' in text
    assert text.count("r-17") == 1
    shown = scrape(sink)
    assert (shown["ganwatch_run_state", "failed"], shown["ganwatch_run_state", "running"]) == (1, 0)


def test_the_outcome_and_the_detectors_that_cannot_judge_are_gauges(sink):
    def exported():
        lines = page(sink).splitlines()
        return {line for line in lines if line.startswith(("ganwatch_run_outcome", "ganwatch_unjudged")) and line.endswith(" 1.0")}

    assert exported() == {'ganwatch_run_outcome{outcome="not judged"} 1.0'}
    assert "ganwatch_unjudged{" not in page(sink)  # nothing about detectors that nobody may have
    sink.outcome(Outcome(9, Conclusion.INCIDENTS, ("GW303",), (Unjudged("GW301", "vanishing gradients", "too early"),)))
    assert exported() == {'ganwatch_run_outcome{outcome="incidents"} 1.0', 'ganwatch_unjudged{code="GW301"} 1.0'}
    sink.outcome(Outcome(19, Conclusion.INCIDENTS, ("GW303",)))
    assert 'ganwatch_unjudged{code="GW301"} 0.0' in page(sink)


def test_close_leaves_no_thread_and_no_socket_even_with_a_silent_client():
    before = set(threading.enumerate())
    sink = PrometheusSink(detectors=[])
    with socket.create_connection(("127.0.0.1", sink.port), timeout=10):
        page(sink)
        sink.close()
        sink.close()
    assert set(threading.enumerate()) == before
    PrometheusSink(sink.port, detectors=[]).close()


def test_close_waits_for_the_scrape_that_tells_prometheus_how_the_run_ended():
    sink = PrometheusSink(detectors=[], linger=60)
    page(sink, **{"X-Prometheus-Scrape-Timeout-Seconds": "10"})
    sink.finish("finished")
    closing = threading.Thread(target=sink.close)
    closing.start()
    text = page(sink, **{"X-Prometheus-Scrape-Timeout-Seconds": "10"})
    closing.join(timeout=30)
    assert 'ganwatch_run_state{state="finished"} 1.0' in text
    assert not closing.is_alive()


def test_a_scraper_by_name_needs_the_name_allowed():
    def status(sink):
        try:
            return urlopen(Request(f"http://127.0.0.1:{sink.port}/metrics", headers={"Host": "gpu7.lab:9090"}), timeout=10).status
        except HTTPError as error:
            return error.code

    unknown, known = PrometheusSink(detectors=[]), PrometheusSink(detectors=[], hosts=["gpu7.lab"])
    assert (status(unknown), status(known)) == (403, 200)
    unknown.close()
    known.close()


def test_a_taken_port_is_named(sink):
    with pytest.raises(UserError, match=rf"port must be free on 127\.0\.0\.1, got {sink.port}"):
        PrometheusSink(sink.port, detectors=[])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"port": -1}, "port must be an integer from 0 to 65535.*got -1"),
        ({"port": "80"}, "port must be an integer.*got '80'"),
        ({"address": "203.0.113.7"}, "address must be one of this machine's, got '203.0.113.7'"),
        ({"linger": -2.0}, "linger must be >= 0"),
        ({"linger": math.nan}, "linger must be >= 0 and finite"),
        ({"hosts": ["gpu7.lab:9090"]}, "allowed host must be a host name"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(UserError, match=message):
        PrometheusSink(**arguments, detectors=[])


@pytest.mark.service
def test_promtool_finds_nothing_to_complain_about(sink):
    sink.start(Run("r", "n"))
    sink.readings([Readings(1, everything())])
    sink.incident(incident(1))
    checked = subprocess.run(["promtool", "check", "metrics"], input=page(sink), text=True, capture_output=True, check=False)
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")
