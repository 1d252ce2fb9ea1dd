"""A detector dropped into a temporary package, and a real Prometheus with a real Alertmanager for rehearsals."""

from __future__ import annotations

import importlib
import json
import socket
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlencode
from urllib.request import urlopen

import pytest
import yaml

from ganwatch.alerting import render
from ganwatch.core.detector import Detector
from ganwatch.core.discovery import discover

ALERTS = Path(__file__).parents[2] / "alerts"

DETECTOR = '''"""The generator makes one mode.

Detail that the summary leaves out.

How it is detected
    Diversity against that of reals.

Why it matters
    Losses look ordinary.

Likely causes
    - learning rates
    - too small a batch

What to do
    Data first.

Blind spots
    A run that never was diverse.

Calibration
    None, this is an example.

References
    None.
"""

from ganwatch.core.detector import Detector, Severity


class ModeCollapse(Detector):
    code, title, severity, inputs = "GW101", "mode collapse", Severity.PAGE, ("vendi_ratio", "layer_grad_norm/g.0")

    def update(self, readings):
        return None

    @classmethod
    def demo(cls, seed):
        return cls.simulate(seed, onset=1, before={}, after={}), 1
'''


@pytest.fixture
def make_detectors(tmp_path, monkeypatch):
    """Write a package of one module, with parts of its text replaced, and discover what is in it."""

    def make(*replaced: tuple[str, str], name: str = "detectors_of_a_user") -> list[type[Detector]]:
        source = DETECTOR
        for old, new in replaced:
            source = source.replace(old, new)
        package = tmp_path / name
        package.mkdir()
        (package / "__init__.py").touch()
        (package / "one.py").write_text(source, "utf-8")
        monkeypatch.syspath_prepend(tmp_path)
        for module in (name, f"{name}.one"):
            monkeypatch.delitem(sys.modules, module, raising=False)
        importlib.invalidate_caches()
        return discover(name, Detector)

    return make


@pytest.fixture
def detectors(make_detectors):
    return make_detectors()


class Rehearsal:
    """Prometheus with our rules, Alertmanager with our routes, and receivers that keep all notifications.

    Scrapes and evaluations come every second, durations of rules are multiplied by ``scale``, grouping waits a second; nothing
    else differs from the shipped files. ``notifications`` holds (receiver, payload) in order of arrival.
    """

    def __init__(self, folder: Path, detectors: list[type[Detector]], scale: float) -> None:
        self.folder, self.notifications, self._children = folder, [], []
        self._notified = threading.Condition()
        self._receivers = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._receivers.serve_forever, args=(0.05,))
        self._thread.start()
        self.prometheus, self.alertmanager = f"127.0.0.1:{self.free_port()}", f"127.0.0.1:{self.free_port()}"
        (folder / "targets").mkdir()
        (folder / render.RULES).write_text(render.render_rules(detectors, scale=scale), "utf-8")
        self._write("alertmanager.yml", self._routes)
        self._write("prometheus.yml", self._scrapes)

    def start(self) -> None:
        self._run("prometheus-alertmanager", "--config.file=alertmanager.yml", "--storage.path=notified",
                  f"--web.listen-address={self.alertmanager}", "--cluster.listen-address=")
        self._run("prometheus", "--config.file=prometheus.yml", "--storage.tsdb.path=series", f"--web.listen-address={self.prometheus}")
        for address in (self.alertmanager, self.prometheus):
            self.until(f"{address} is ready", lambda at=address: self._get(at, "/-/ready"))

    @staticmethod
    def free_port() -> int:
        """A port that nothing listens on."""
        with socket.create_server(("127.0.0.1", 0)) as server:
            return server.getsockname()[1]

    def watch(self, port: int, **labels: str) -> None:
        """Scrape a training's exporter, with labels of the target; every later call adds one."""
        target = [{"targets": [f"127.0.0.1:{port}"], "labels": labels}]
        partial = self.folder / "targets" / f"{port}.partial"
        partial.write_text(json.dumps(target), "utf-8")
        partial.rename(partial.with_suffix(".json"))

    def query(self, expr: str) -> list[dict]:
        """Return the result of an instant query."""
        answer = self._get(self.prometheus, f"/api/v1/query?{urlencode({'query': expr})}")
        return json.loads(answer)["data"]["result"] if answer else []

    def alerts(self, name: str) -> list[dict]:
        """Alerts of a name that fire in Prometheus."""
        answer = self._get(self.prometheus, "/api/v1/alerts")
        found = json.loads(answer)["data"]["alerts"] if answer else []
        return [alert for alert in found if alert["labels"]["alertname"] == name and alert["state"] == "firing"]

    def rules(self) -> list[dict]:
        """The rules as Prometheus has loaded them."""
        groups = json.loads(self._get(self.prometheus, "/api/v1/rules"))["data"]["groups"]
        return [rule for group in groups for rule in group["rules"]]

    def received(self, name: str) -> list[dict]:
        """Alerts of a name as Alertmanager holds them."""
        answer = self._get(self.alertmanager, "/api/v2/alerts")
        return [alert for alert in json.loads(answer or b"[]") if alert["labels"]["alertname"] == name]

    def notified(self, name: str, status: str = "firing") -> list[tuple[str, dict]]:
        """Receiver and alert of every notification about an alert."""
        return [
            (receiver, alert)
            for receiver, payload in list(self.notifications)
            for alert in payload["alerts"]
            if alert["labels"]["alertname"] == name and alert["status"] == status
        ]

    def until(self, what: str, true, attempts: int = 600):
        """Ask at every notification, and ten times a second, until something true is returned, and return it."""
        for _ in range(attempts):
            with self._notified:
                if found := true():
                    return found
                self._notified.wait(0.1)
            for child in self._children:
                assert child.poll() is None, f"{child.args[0]} ended: {self._log(child)}"
        raise AssertionError(f"waited in vain until {what}; " + " ".join(self._log(child) for child in self._children))

    def close(self) -> None:
        for child in self._children:
            child.terminate()
        for child in self._children:
            child.wait(timeout=30)
        self._receivers.shutdown()
        self._receivers.server_close()
        self._thread.join()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        notifications, notified = self.notifications, self._notified

        class Receiver(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                payload = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with notified:
                    notifications.append((self.path.strip("/"), payload))
                    notified.notify_all()
                self.send_response(200)
                self.end_headers()

            def log_message(self, *args) -> None:
                pass

        return Receiver

    def _routes(self, config: dict) -> None:
        config["route"] |= {"group_wait": "1s", "group_interval": "1s"}
        port = self._receivers.server_address[1]
        config["receivers"] = [
            {"name": receiver["name"], "webhook_configs": [{"url": f"http://127.0.0.1:{port}/{receiver['name']}"}]}
            for receiver in config["receivers"]
        ]

    def _scrapes(self, config: dict) -> None:
        config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
        config["alerting"]["alertmanagers"][0]["static_configs"][0]["targets"] = [self.alertmanager]

    def _write(self, name: str, change) -> None:
        config = yaml.safe_load((ALERTS / name).read_text("utf-8"))
        change(config)
        (self.folder / name).write_text(yaml.safe_dump(config), "utf-8")

    def _run(self, *command: str) -> None:
        with (self.folder / f"{command[0]}.log").open("wb") as log:
            self._children.append(subprocess.Popen(command, cwd=self.folder, stdout=log, stderr=log))

    def _log(self, child: subprocess.Popen) -> str:
        return (self.folder / f"{child.args[0]}.log").read_text("utf-8")[-2000:]

    def _get(self, address: str, path: str) -> bytes:
        try:
            with urlopen(f"http://{address}{path}", timeout=10) as answer:
                return answer.read()
        except OSError:
            return b""


@pytest.fixture
def rehearse(tmp_path):
    """Start a rehearsal: ``rehearse(detectors, scale=1 / 60)``."""
    started = []

    def start(detectors: list[type[Detector]], scale: float = 1 / 60) -> Rehearsal:
        folder = tmp_path / f"rehearsal-{len(started)}"
        folder.mkdir()
        started.append(Rehearsal(folder, detectors, scale))
        started[-1].start()
        return started[-1]

    yield start
    for rehearsal in started:
        rehearsal.close()
