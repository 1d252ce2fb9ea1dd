"""Exports a run as series that Prometheus scrapes over loopback."""

from __future__ import annotations

import math
import threading
import time
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry, make_wsgi_app
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from ganwatch.core.detector import Detector, Severity
from ganwatch.core.detector_settings import discover_detectors
from ganwatch.core.errors import UserError
from ganwatch.core.incidents import Incident, State
from ganwatch.core.outcome import Conclusion, Outcome
from ganwatch.core.signals import Signal, catalogue, find_signal
from ganwatch.core.sink import Sink
from ganwatch.web.wsgi_server import WsgiServer

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from ganwatch.core.readings import Readings, Run

MAX_LABEL_VALUES = 32
"""Largest number of exported label values per family. Readings of further label values are counted, not exported."""

RUN_STATES = ("running", "finished", "failed", "stopped")

_SCRAPE_HEADER = "HTTP_X_PROMETHEUS_SCRAPE_TIMEOUT_SECONDS"
_MAX_PORT = 65535


class PrometheusSink(Sink, Collector):
    """Serve the last value of every exported series, the incidents and the state of the run.

    Names, help texts and labels come from the catalogue of signals. Every sink has its own registry. A series that was not measured at
    a step keeps its last value. NaN and infinities are exported as they are. In data-parallel training only rank 0 creates the sink.

    Parameters
    ----------
    port : int
        0 to 65535. 0 chooses a free port; the attribute ``port`` holds it.
    address : str
        Address to listen on. The default is loopback, because the exporter has no authentication.
    hosts : iterable of str
        Host names under which Prometheus may scrape, beside loopback names, ``address`` and those of ``GANWATCH_ALLOWED_HOSTS``.
    detectors : iterable of Detector classes, optional
        Detectors whose incident gauges exist, at 0, from the start. By default all discovered detectors.
    linger : float, seconds
        Longest time that ``close`` waits for one more scrape after the run ended. Prometheus then knows the final state and sends no
        alert about a missing target. ``close`` waits only if a Prometheus has scraped before.

    Attributes
    ----------
    port : int
        The port that the exporter listens on.

    Raises
    ------
    UserError
        The port is in use or out of range, the address does not belong to this machine, ``linger`` is negative, or a host is no
        host name.

    Examples
    --------
    >>> from urllib.request import urlopen
    >>> from ganwatch.core.readings import Readings
    >>> sink = PrometheusSink(detectors=[])
    >>> sink.readings([Readings(step=7, values={"loss/g": 0.5}, wall_time=1.0)])
    >>> page = urlopen(f"http://127.0.0.1:{sink.port}/metrics").read().decode()
    >>> [line for line in page.splitlines() if line.startswith(("ganwatch_loss", "ganwatch_step"))]
    ['ganwatch_loss{network="g"} 0.5', 'ganwatch_step 7.0']
    >>> sink.close()
    """

    name = "prometheus"

    def __init__(
        self,
        port: int = 0,
        address: str = "127.0.0.1",
        *,
        hosts: Iterable[str] = (),
        detectors: Iterable[type[Detector]] | None = None,
        linger: float = 20.0,
    ) -> None:
        if isinstance(port, bool) or not isinstance(port, int) or not 0 <= port <= _MAX_PORT:
            raise UserError(f"port must be an integer from 0 to {_MAX_PORT} (0 chooses a free one), got {port!r}")
        if not 0 <= linger < math.inf:
            raise UserError(f"linger must be >= 0 and finite (seconds), got {linger!r}")
        self.linger = linger
        known = discover_detectors() if detectors is None else detectors
        self._lock = threading.Lock()
        self._values: dict[str, dict[str, float]] = {
            signal.name: {"": 0.0} for signal in catalogue().values() if _is_counter(signal) and not signal.label
        }
        self._measured: dict[str, int] = {}
        """Step of the latest value of each signal."""
        self._severities: dict[str, set[Severity]] = {cls.code: {cls.severity} for cls in known}
        self._fire_counts: dict[str, int] = dict.fromkeys(self._severities, 0)
        self._firing: dict[str, Incident] = {}
        self._rejected = 0
        self._step = 0
        self._last_step = time.time()
        self._run: Run | None = None
        self._state = "running"
        self._outcome = Outcome()
        self._ever_unjudged: set[str] = set()
        self._scraped = threading.Event()
        self._final_state_scraped = threading.Event()
        self._server: WsgiServer | None = WsgiServer(self._application(), address, port, hosts=hosts, name="exporter")
        self.port = self._server.port

    def start(self, run: Run) -> None:
        """Export the identity of the run. From now on a run without steps counts as silent."""
        with self._lock:
            self._run, self._state, self._last_step = run, "running", time.time()
            self._final_state_scraped.clear()

    def readings(self, readings: Sequence[Readings]) -> None:
        """Set the newest value of every exported series."""
        with self._lock:
            for each in readings:
                self._step, self._last_step = each.step, each.wall_time or time.time()
                for series, value in each.values.items():
                    self._set_value(series, float(value), each.step)

    def incident(self, incident: Incident) -> None:
        """Set the gauge of the incident's code."""
        with self._lock:
            self._severities.setdefault(incident.code, set()).add(incident.severity)
            self._fire_counts.setdefault(incident.code, 0)
            if incident.state is not State.FIRING:
                self._firing.pop(incident.id, None)
                return
            self._fire_counts[incident.code] += incident.id not in self._firing
            self._firing[incident.id] = incident

    def restore(self, incident: Incident) -> None:
        """Set the gauge again if the incident is still firing."""
        self.incident(incident)

    def outcome(self, outcome: Outcome) -> None:
        """Set the gauges of the outcome and of each detector that cannot judge."""
        with self._lock:
            self._outcome = outcome
            self._ever_unjudged |= {one.code for one in outcome.unjudged}

    def finish(self, state: str) -> None:
        """Export the final state of the run."""
        with self._lock:
            self._state = state
            self._final_state_scraped.clear()

    def close(self) -> None:
        """Stop listening, after the last scrape if one is expected. A second call does nothing."""
        server, self._server = self._server, None
        if server is None:
            return
        try:
            if self._state == "finished" and self._scraped.is_set():
                self._final_state_scraped.wait(self.linger)
        finally:
            server.close()

    def collect(self) -> Iterator[Metric]:
        """Return the present value of every exported series, for the registry."""
        with self._lock:
            return iter([*self._signal_metrics(), *self._incident_metrics(), *self._run_metrics()])

    def _set_value(self, series: str, value: float, step: int) -> None:
        signal = find_signal(series)
        if signal is None or not signal.exported:
            return
        label = series.partition("/")[2] if signal.label else ""
        values = self._values.setdefault(signal.name, {})
        if label in values or len(values) < MAX_LABEL_VALUES:
            values[label], self._measured[signal.name] = value, step
        else:
            self._rejected += 1

    def _signal_metrics(self) -> Iterator[Metric]:
        for signal in catalogue().values():
            values = self._values.get(signal.name)
            if not values:
                continue
            metric_family = CounterMetricFamily if _is_counter(signal) else GaugeMetricFamily
            metric = metric_family(signal.exported_name, signal.help, labels=[signal.label] if signal.label else [])
            for label, value in values.items():
                metric.add_metric([label] if signal.label else [], value)
            yield metric
        measured = GaugeMetricFamily(
            "ganwatch_measured_step", "Step at which a signal was measured last; less than ganwatch_step for one of a slower cadence.",
            labels=["signal"],
        )  # fmt: skip
        for name, step in self._measured.items():
            measured.add_metric([name], step)
        yield measured

    def _incident_metrics(self) -> Iterator[Metric]:
        firing = GaugeMetricFamily("ganwatch_incident", "1 if an incident of the code is firing.", labels=["code", "severity"])
        explained = GaugeMetricFamily(
            "ganwatch_incident_explained",
            "1 if every firing incident of the code is explained by another firing one that is at least as severe.",
            labels=["code"],
        )
        fired = CounterMetricFamily("ganwatch_incidents", "Incidents that have fired in this process.", labels=["code"])
        for code, severities in sorted(self._severities.items()):
            of_code = [incident for incident in self._firing.values() if incident.code == code]
            for severity in sorted(severities):
                firing.add_metric([code, severity], any(incident.severity == severity for incident in of_code))
            explained.add_metric([code], bool(of_code) and all(map(self._is_explained, of_code)))
            fired.add_metric([code], self._fire_counts[code])
        return iter((firing, explained, fired))

    def _is_explained(self, incident: Incident) -> bool:
        cause = self._firing.get(incident.cause or "")
        return cause is not None and (cause.severity is Severity.PAGE or incident.severity is not Severity.PAGE)

    def _run_metrics(self) -> Iterator[Metric]:
        yield GaugeMetricFamily("ganwatch_step", "Observed steps: main-phase updates of the primary generator.", self._step)
        yield GaugeMetricFamily(
            "ganwatch_last_step_timestamp_seconds", "Unix time of the last observed step, or of the start before it.", self._last_step
        )
        state = GaugeMetricFamily("ganwatch_run_state", "1 if the run is in the state.", labels=["state"])
        for name in dict.fromkeys((*RUN_STATES, self._state)):
            state.add_metric([name], name == self._state)
        yield state
        conclusion = GaugeMetricFamily("ganwatch_run_outcome", "1 for what is known about the run so far.", labels=["outcome"])
        for each in Conclusion:
            conclusion.add_metric([str(each)], each is self._outcome.conclusion)
        yield conclusion
        unjudged = GaugeMetricFamily("ganwatch_unjudged", "1 if the detector of the code applies and cannot judge.", labels=["code"])
        codes = {one.code for one in self._outcome.unjudged}
        for code in sorted(self._ever_unjudged):
            unjudged.add_metric([code], code in codes)
        yield unjudged
        yield CounterMetricFamily(
            "ganwatch_exporter_rejected_readings", f"Readings of families with more than {MAX_LABEL_VALUES} label values.", self._rejected
        )
        if self._run is not None:
            facts = {"run_id": self._run.id, "name": self._run.name, "attempt": str(self._run.attempt)}
            yield InfoMetricFamily("ganwatch_run", "The run that this process trains.", facts)

    def _application(self) -> Any:
        registry = CollectorRegistry()
        registry.register(self)
        page = make_wsgi_app(registry)

        def application(environ: dict[str, Any], start_response: Any) -> Any:
            ended = self._state != "running"
            answer = page(environ, start_response)
            if _SCRAPE_HEADER in environ:
                self._scraped.set()
                if ended:
                    self._final_state_scraped.set()
            return answer

        return application


def _is_counter(signal: Signal) -> bool:
    """Return True if the family counts the observer's own faults since the start, and is not a level."""
    return signal.unit == "count" and signal.group == "observer"
