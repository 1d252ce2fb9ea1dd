"""The alerts, each with its tests: one on every detector's incidents, and those about the observer and its job."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ganwatch.core.detector import Severity
from ganwatch.core.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ganwatch.core.detector import Detector

SECTIONS = ("How it is detected", "Why it matters", "Likely causes", "What to do", "Blind spots", "Calibration", "References")
"""What the docstring of a detector's module must hold."""

_PLATFORM = ("GW511", "GW521", "GW6", "GW9")
_WHERE = "instance {{ $labels.instance }} of job {{ $labels.job }}"
_INFO = "ganwatch_run_info"
_RUN = (
    f'{{{{ with printf "{_INFO}{{job=%[1]q,instance=%[2]q}} or on (job, instance) last_over_time({_INFO}{{job=%[1]q,instance=%[2]q}}[1h])"'
    ' $labels.job $labels.instance | query }}, run {{ . | first | label "run_id" }} ({{ . | first | label "name" }}){{ end }}'
)
_TARGET = {"instance": "trainer:9464", "job": "ganwatch"}
_COUNTERS = {
    "GanwatchStoreFailures": (
        "ganwatch_store_failures_total",
        "Writes to the store fail",
        "Writes to the store failed lately: the record of the run has gaps. The training goes on.",
    ),
    "GanwatchObserverErrors": (
        "ganwatch_observer_errors_total",
        "The observer has errors",
        "A probe, detector or sink raised lately; it was isolated and the training goes on, observed in part.",
    ),
    "GanwatchRecordsDropped": (
        "ganwatch_observer_dropped_total",
        "The observer drops records",
        "A full queue dropped records lately: a sink is slower than the training.",
    ),
    "GanwatchSeriesRejected": (
        "ganwatch_exporter_rejected_readings_total",
        "The exporter leaves series out",
        "A family has more label values than are exported; the store has them all.",
    ),
}


@dataclass(frozen=True, slots=True)
class Alert:
    """One alerting rule and its test.

    Parameters
    ----------
    name, expr, summary : str
        As in the rule.
    text : str
        First part of the description; the place and the run are added.
    runbook : str
        File name of the runbook, without ``.md``.
    severity : Severity
    owner : str
        ``model`` or ``platform``: whose alert it is.
    hold, keep : float, seconds
        For how long the condition must stand, and for how long the alert outlives it.
    fires, quiet : mapping of str to str
        Series to values, a minute apart, in promtool's notation. The first stays silent up to minute 4 and fires at minute 20.
    labels : mapping of str to str
        What the alert carries beside instance, job, severity and owner.
    """

    name: str
    expr: str
    summary: str
    text: str
    runbook: str
    severity: Severity
    owner: str
    fires: Mapping[str, str]
    quiet: Mapping[str, str]
    hold: float = 0.0
    keep: float = 0.0
    labels: Mapping[str, str] = field(default_factory=dict)

    def rule(self, base: str, scale: float) -> dict[str, Any]:
        """The rule as Prometheus reads it."""
        durations = {"for": self.hold, "keep_firing_for": self.keep}
        return {
            "alert": self.name,
            "expr": self.expr,
            **{name: _duration(seconds * scale) for name, seconds in durations.items() if seconds},
            "labels": {"severity": str(self.severity), "owner": self.owner},
            "annotations": self._annotations(base, _WHERE + _RUN),
        }

    def tests(self, base: str) -> list[dict[str, Any]]:
        """One case that fires and one that does not."""
        where = f"instance {_TARGET['instance']} of job {_TARGET['job']}, run r1 (digits)"
        alert = {
            "exp_labels": {**_TARGET, **self.labels, "severity": str(self.severity), "owner": self.owner},
            "exp_annotations": self._annotations(base, where),
        }
        return [
            _case(f"{self.name} fires", self.name, self.fires, {"4m": [], "20m": [alert]}),
            _case(f"{self.name} stays silent", self.name, self.quiet, {"6m": [], "12m": [], "20m": []}),
        ]

    def _annotations(self, base: str, where: str) -> dict[str, str]:
        return {
            "summary": self.summary,
            "description": f"{self.text} On {where}.",
            "runbook_url": f"{base.rstrip('/')}/{self.runbook}.md",
        }


def of_detector(detector: type[Detector], scale: float = 1.0) -> Alert:
    """The alert on a detector's incidents.

    An incident that another firing one, at least as severe, explains raises none: the cause does. What a process said last counts
    for a while after it has gone, so that an incident in the last minute of a run is told, too.
    """
    guide, code = sections(detector), detector.code
    gauge = _series("ganwatch_incident", code=code, severity=detector.severity)
    explained = _series("ganwatch_incident_explained", code=code)
    brief = _series("ganwatch_incident", code=code, severity=detector.severity, instance="other:9464")
    matching = f'{{code="{code}"}}[{_duration(900 * scale)}]'
    return Alert(
        name="Ganwatch" + "".join(word[:1].upper() + word[1:] for word in re.findall(r"\w+", detector.title)),
        expr=f"max without (severity) (last_over_time(ganwatch_incident{matching})) == 1"
        f" unless last_over_time(ganwatch_incident_explained{matching}) == 1",
        summary=f"{code} {detector.title}",
        text=" ".join(guide["summary"].split("\n\n")[0].split()).replace("{{", "{ {"),
        runbook=code,
        severity=detector.severity,
        owner="platform" if code.startswith(_PLATFORM) else "model",
        hold=60,
        keep=300,
        labels={"code": code},
        fires={gauge: "0x4 1x2 _x30", explained: "0x7 _x30"},
        quiet={gauge: "0x4 1x30", explained: "0x4 1x30", brief: "0x4 1 0x30"},
    )


def operational(scale: float = 1.0) -> list[Alert]:
    """The alerts about the observer and the job that it observes."""
    silent, recent, day = _duration(600 * scale), _duration(900 * scale), _duration(86_400)
    up, step, last = _series("up"), _series("ganwatch_step"), _series("ganwatch_last_step_timestamp_seconds")
    running, finished = (_series("ganwatch_run_state", state=state) for state in ("running", "finished"))
    return [
        Alert(
            name="GanwatchTargetDown",
            expr=f"up == 0 and on (job, instance) last_over_time(ganwatch_step[{day}])"
            f' unless on (job, instance) last_over_time(ganwatch_run_state{{state=~"finished|stopped"}}[{day}]) == 1',
            summary="A training cannot be scraped any more",
            text="A training that was observed within the last day does not answer, and had not said that it was done.",
            runbook="target-down",
            severity=Severity.PAGE,
            owner="platform",
            hold=300,
            fires={up: "1x5 0x30", step: "0+9x5", running: "1x5", finished: "0x5"},
            quiet={up: "1x5 0x30", step: "0+9x5", running: "1x4 0", finished: "0x4 1", _series("up", instance="never:9464"): "0x40"},
        ),
        Alert(
            name="GanwatchJobSilent",
            expr=f"time() - ganwatch_last_step_timestamp_seconds > {600 * scale:g}"
            ' and ignoring (state) ganwatch_run_state{state="running"} == 1',
            summary="A training makes no steps",
            text=f"The process answers, and its run is not over, yet there was no step for more than {silent}.",
            runbook="job-silent",
            severity=Severity.PAGE,
            owner="platform",
            hold=60,
            fires={last: "0+60x3 180x40", running: "1x40"},
            quiet={last: "0+60x40", running: "1x40", **_elsewhere({last: "0x40", running: "0x40", finished: "1x40"})},
        ),
        *(_rising(name, recent, *facts) for name, facts in _COUNTERS.items()),
    ]


def sections(detector: type[Detector]) -> dict[str, str]:
    """What a detector says of itself, by heading.

    Raises
    ------
    UserError
        Its module's docstring lacks one of ``SECTIONS``.
    """
    guide = detector.guide()
    for heading in ("summary", *SECTIONS):
        if not guide.get(heading):
            raise UserError(f"{detector.__module__} must say {heading!r} in its docstring (detector {detector.code}), got none")
    return guide


def _rising(name: str, window: str, counter: str, summary: str, text: str) -> Alert:
    return Alert(
        name=name,
        expr=f"increase({counter}[{window}]) > 0",
        summary=summary,
        text=text,
        runbook=re.sub(r"(?<=[a-z])(?=[A-Z])", "-", name.removeprefix("Ganwatch")).lower(),
        severity=Severity.TICKET,
        owner="platform",
        keep=900,
        fires={_series(counter): "0x5 0+1x30"},
        quiet={_series(counter): "7x40"},
    )


def _case(name: str, alert: str, series: Mapping[str, str], expected: Mapping[str, list[Any]]) -> dict[str, Any]:
    series = {_series(_INFO, run_id="r1", name="digits"): "1x40", **series}
    return {
        "name": name,
        "interval": "1m",
        "input_series": [{"series": key, "values": values} for key, values in series.items()],
        "alert_rule_test": [{"eval_time": at, "alertname": alert, "exp_alerts": found} for at, found in expected.items()],
    }


def _series(name: str, /, **labels: str) -> str:
    shown = ", ".join(f'{key}="{value}"' for key, value in sorted((_TARGET | labels).items()))
    return f"{name}{{{shown}}}"


def _elsewhere(series: Mapping[str, str]) -> dict[str, str]:
    return {key.replace(_TARGET["instance"], "other:9464"): values for key, values in series.items()}


def _duration(seconds: float) -> str:
    """A duration as Prometheus writes it.

    >>> _duration(900), _duration(1.5)
    ('15m', '1500ms')
    """
    for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)):
        if seconds >= size and seconds % size == 0:
            return f"{seconds / size:.0f}{unit}"
    return f"{max(round(seconds * 1000), 1)}ms"
