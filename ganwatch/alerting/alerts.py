"""Alerts with their tests: one on the incidents of each detector, and those about the observer and its training."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ganwatch.core.detector import Severity
from ganwatch.core.errors import UserError
from ganwatch.core.names import name_failure

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ganwatch.core.detector import Detector

REQUIRED_SECTIONS = ("How it is detected", "Why it matters", "Likely causes", "What to do", "Blind spots", "Calibration", "References")
"""Sections that the docstring of a detector's module must have."""

_PLATFORM_CODES = ("GW511", "GW521", "GW6", "GW9")
_TARGET_TEXT = "instance {{ $labels.instance }} of job {{ $labels.job }}"
_INFO = "ganwatch_run_info"
_RUN_TEXT = (
    f'{{{{ with printf "{_INFO}{{job=%[1]q,instance=%[2]q}} or on (job, instance) last_over_time({_INFO}{{job=%[1]q,instance=%[2]q}}[1h])"'
    ' $labels.job $labels.instance | query }}, run {{ . | first | label "run_id" }} ({{ . | first | label "name" }}){{ end }}'
)
_TARGET = {"instance": "trainer:9464", "job": "ganwatch"}
_COUNTERS = {
    "GanwatchStoreFailures": (
        "ganwatch_store_failures_total",
        "Writes to the store fail",
        "Writes to the store failed in the last 15 minutes: the record of the run has gaps. The training continues.",
    ),
    "GanwatchObserverErrors": (
        "ganwatch_observer_errors_total",
        "The observer has errors",
        "A probe, detector or sink raised an error in the last 15 minutes. It was isolated: the training continues, observed in part.",
    ),
    "GanwatchRecordsDropped": (
        "ganwatch_observer_dropped_total",
        "The observer drops records",
        "A full queue dropped records in the last 15 minutes: a sink is slower than the training.",
    ),
    "GanwatchSeriesRejected": (
        "ganwatch_exporter_rejected_readings_total",
        "The exporter does not export all series",
        "A family has more label values than the exporter exports. The store has all of them.",
    ),
}


@dataclass(frozen=True, slots=True)
class Alert:
    """One alerting rule and its test.

    Parameters
    ----------
    name, expr, summary : str
        Fields of the rule.
    description : str
        First part of the description. The target and the run are added.
    runbook : str
        File name of the runbook, without ``.md``.
    severity : Severity
    owner : str
        Team that receives the alert: ``model`` or ``platform``.
    for_seconds, keep_firing_for : float, seconds
        Time for which the condition must hold before the alert fires, and for which the alert keeps firing after it ends.
    firing_series, silent_series : mapping of str to str
        Series to values, a minute apart, in promtool's notation. With ``firing_series`` the alert is silent at minute 4 and fires at
        minute 20; with ``silent_series`` it never fires.
    labels : mapping of str to str
        Labels of the alert besides instance, job, severity and owner.
    """

    name: str
    expr: str
    summary: str
    description: str
    runbook: str
    severity: Severity
    owner: str
    firing_series: Mapping[str, str]
    silent_series: Mapping[str, str]
    for_seconds: float = 0.0
    keep_firing_for: float = 0.0
    labels: Mapping[str, str] = field(default_factory=dict)

    def as_rule(self, base: str, scale: float) -> dict[str, Any]:
        """Return the rule as Prometheus reads it."""
        durations = {"for": self.for_seconds, "keep_firing_for": self.keep_firing_for}
        return {
            "alert": self.name,
            "expr": self.expr,
            **{name: _duration(seconds * scale) for name, seconds in durations.items() if seconds},
            "labels": {"severity": str(self.severity), "owner": self.owner},
            "annotations": self._annotations(base, _TARGET_TEXT + _RUN_TEXT),
        }

    def as_tests(self, base: str) -> list[dict[str, Any]]:
        """Return one test case that fires and one that does not."""
        target = f"instance {_TARGET['instance']} of job {_TARGET['job']}, run r1 (digits)"
        alert = {
            "exp_labels": {**_TARGET, **self.labels, "severity": str(self.severity), "owner": self.owner},
            "exp_annotations": self._annotations(base, target),
        }
        return [
            _test_case(f"{self.name} fires", self.name, self.firing_series, {"4m": [], "20m": [alert]}),
            _test_case(f"{self.name} stays silent", self.name, self.silent_series, {"6m": [], "12m": [], "20m": []}),
        ]

    def _annotations(self, base: str, target: str) -> dict[str, str]:
        return {
            "summary": self.summary,
            "description": f"{self.description} On {target}.",
            "runbook_url": f"{base.rstrip('/')}/{self.runbook}.md",
        }


def detector_alert(detector: type[Detector], scale: float = 1.0) -> Alert:
    """Build the alert on a detector's incidents.

    An incident that is explained by another firing one, at least as severe, sends no alert: its cause does. The last exported values
    stay valid for a while after the process has ended, so that an incident in the last minute of a run sends an alert too.
    """
    sections, code = runbook_sections(detector), detector.code
    gauge = _series("ganwatch_incident", code=code, severity=detector.severity)
    explained = _series("ganwatch_incident_explained", code=code)
    brief = _series("ganwatch_incident", code=code, severity=detector.severity, instance="other:9464")
    matching = f'{{code="{code}"}}[{_duration(900 * scale)}]'
    return Alert(
        name="Ganwatch" + "".join(word[:1].upper() + word[1:] for word in re.findall(r"\w+", detector.title)),
        expr=f"max without (severity) (last_over_time(ganwatch_incident{matching})) == 1"
        f" unless last_over_time(ganwatch_incident_explained{matching}) == 1",
        summary=f"{code} {detector.title}",
        description=" ".join(sections["summary"].split("\n\n")[0].split()).replace("{{", "{ {"),
        runbook=code,
        severity=detector.severity,
        owner="platform" if code.startswith(_PLATFORM_CODES) else "model",
        for_seconds=60,
        keep_firing_for=300,
        labels={"code": code},
        firing_series={gauge: "0x4 1x2 _x30", explained: "0x7 _x30"},
        silent_series={gauge: "0x4 1x30", explained: "0x4 1x30", brief: "0x4 1 0x30"},
    )


def operational_alerts(scale: float = 1.0) -> list[Alert]:
    """Build the alerts about the observer and the training that it observes."""
    silent, recent, day = _duration(600 * scale), _duration(900 * scale), _duration(86_400)
    up, step, last = _series("up"), _series("ganwatch_step"), _series("ganwatch_last_step_timestamp_seconds")
    running, finished = (_series("ganwatch_run_state", state=state) for state in ("running", "finished"))
    return [
        Alert(
            name="GanwatchTargetDown",
            expr=f"up == 0 and on (job, instance) last_over_time(ganwatch_step[{day}])"
            f' unless on (job, instance) last_over_time(ganwatch_run_state{{state=~"finished|stopped"}}[{day}]) == 1',
            summary="A training cannot be scraped any more",
            description="A training that was scraped within the last day does not answer, and its run had not finished.",
            runbook="target-down",
            severity=Severity.PAGE,
            owner="platform",
            for_seconds=300,
            firing_series={up: "1x5 0x30", step: "0+9x5", running: "1x5", finished: "0x5"},
            silent_series={
                up: "1x5 0x30",
                step: "0+9x5",
                running: "1x4 0",
                finished: "0x4 1",
                _series("up", instance="never:9464"): "0x40",
            },
        ),
        Alert(
            name="GanwatchJobSilent",
            expr=f"time() - ganwatch_last_step_timestamp_seconds > {600 * scale:g}"
            ' and ignoring (state) ganwatch_run_state{state="running"} == 1',
            summary="A training makes no steps",
            description=f"The process answers and its run has not ended, but there was no step for more than {silent}.",
            runbook="job-silent",
            severity=Severity.PAGE,
            owner="platform",
            for_seconds=60,
            firing_series={last: "0+60x3 180x40", running: "1x40"},
            silent_series={last: "0+60x40", running: "1x40", **_on_other_instance({last: "0x40", running: "0x40", finished: "1x40"})},
        ),
        *(_counter_alert(name, recent, *facts) for name, facts in _COUNTERS.items()),
    ]


def runbook_sections(detector: type[Detector]) -> dict[str, str]:
    """Return the sections of a detector's runbook by heading, all of them present.

    Raises
    ------
    UserError
        Its module's docstring lacks one of ``REQUIRED_SECTIONS``.
    """
    sections = detector.runbook_sections()
    for heading in ("summary", *REQUIRED_SECTIONS):
        if not sections.get(heading):
            rule = f"{detector.__module__} must have the section {heading!r} in its docstring"
            raise UserError(f"{rule} ({name_failure(detector.title, detector.code)}), got none")
    return sections


def _counter_alert(name: str, window: str, counter: str, summary: str, description: str) -> Alert:
    return Alert(
        name=name,
        expr=f"increase({counter}[{window}]) > 0",
        summary=summary,
        description=description,
        runbook=re.sub(r"(?<=[a-z])(?=[A-Z])", "-", name.removeprefix("Ganwatch")).lower(),
        severity=Severity.TICKET,
        owner="platform",
        keep_firing_for=900,
        firing_series={_series(counter): "0x5 0+1x30"},
        silent_series={_series(counter): "7x40"},
    )


def _test_case(name: str, alert: str, series: Mapping[str, str], expected: Mapping[str, list[Any]]) -> dict[str, Any]:
    series = {_series(_INFO, run_id="r1", name="digits"): "1x40", **series}
    return {
        "name": name,
        "interval": "1m",
        "input_series": [{"series": key, "values": values} for key, values in series.items()],
        "alert_rule_test": [{"eval_time": at, "alertname": alert, "exp_alerts": alerts} for at, alerts in expected.items()],
    }


def _series(name: str, /, **labels: str) -> str:
    pairs = ", ".join(f'{key}="{value}"' for key, value in sorted((_TARGET | labels).items()))
    return f"{name}{{{pairs}}}"


def _on_other_instance(series: Mapping[str, str]) -> dict[str, str]:
    return {key.replace(_TARGET["instance"], "other:9464"): values for key, values in series.items()}


def _duration(seconds: float) -> str:
    """Format a duration as Prometheus does.

    >>> _duration(900), _duration(1.5)
    ('15m', '1500ms')
    """
    for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)):
        if seconds >= size and seconds % size == 0:
            return f"{seconds / size:.0f}{unit}"
    return f"{max(round(seconds * 1000), 1)}ms"
