"""A new detector, probe, metric or sink is one file: it is discovered, checked and used by a live ``watch``."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType

import pytest
import torch
from torch import nn

import ganwatch
from ganwatch.core import signals
from ganwatch.core.detector import Detector
from ganwatch.core.discovery import discover
from ganwatch.core.probe import Probe
from ganwatch.core.sink import Sink
from ganwatch.metrics.base import QualityMetric
from ganwatch.testing import check_detector, check_metric, check_probe, check_sink

PROBE = '''"""Largest absolute weight."""

from ganwatch.core.probe import Probe
from ganwatch.core.signals import Signal, register

register(Signal("largest_weight", "Largest absolute weight of the network.", label="network", low=0.0, group="gradients"))


class LargestWeight(Probe):
    name, signals, every, needs_calls = "largest weight", ("largest_weight",), 2, False

    def __init__(self):
        self._values = {}

    def after_update(self, update):
        self._values[f"largest_weight/{update.network}"] = max(weight.detach().abs().max() for weight in update.parameters)

    def read(self, step):
        values, self._values = self._values, {}
        return values
'''

DETECTOR = '''"""The generator's weights are huge.

How it is detected
    The largest weight against its own healthy median.

Why it matters
    Outputs leave every range.

Likely causes
    A learning rate that is far too high.

What to do
    Lower it.

Blind spots
    Weights that grow slowly.

Calibration
    Not measured.

References
    None.
"""

from ganwatch.core.detector import Detector, Severity, Verdict
from ganwatch.core.statistics import HealthyMedian, Streak


class HugeWeights(Detector):
    code, title, severity, inputs = "GW999", "huge weights", Severity.TICKET, ("largest_weight/g",)
    tunable = {"ratio": (10.0, 1000.0)}

    def __init__(self, *, ratio=100.0):
        self.ratio = ratio
        self._healthy, self._streak = HealthyMedian(warmup=5), Streak(3)

    def update(self, readings):
        weight = readings.get("largest_weight/g")
        if weight is None:
            return None
        is_huge = self._healthy.is_ready and weight > self.ratio * self._healthy.value
        self._healthy.update(weight, exclude=is_huge)
        if not self._streak.update(is_huge):
            return None
        threshold = self.ratio * self._healthy.value
        return Verdict(weight, threshold, "largest_weight/g", 3, "the run's own healthy median", f"The largest weight is {weight:.3g}.")

    @classmethod
    def demo(cls, seed):
        return cls.simulate(seed, onset=100, before={"largest_weight/g": 0.5}, after={"largest_weight/g": 5e3}, length=100), 100
'''

METRIC = '''"""Distance of the means."""

from ganwatch.metrics.base import QualityMetric


class MeanDistance(QualityMetric):
    """Distance of the mean of the generated features from that of the real ones."""

    higher_is_better = False

    def measure(self, real, fake):
        return float((fake.mean(0) - real.mean(0)).norm())
'''

SINK = '''"""Lists incidents."""

from ganwatch.core.sink import Sink


class IncidentList(Sink):
    name = "incident list"

    def __init__(self):
        self.steps, self.states = [], []

    def readings(self, readings):
        self.steps += [one.step for one in readings if "largest_weight/g" in one.values]

    def incident(self, incident):
        self.states.append((incident.code, str(incident.state), incident.onset))
'''

FILES = {"largest_weight.py": PROBE, "huge_weights.py": DETECTOR, "mean_distance.py": METRIC, "incident_list.py": SINK, "__init__.py": ""}


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory):
    """A package outside ganwatch with one file of each kind."""
    root = tmp_path_factory.mktemp("packages")
    (root / "drop_in").mkdir()
    for name, text in FILES.items():
        (root / "drop_in" / name).write_text(text, "utf-8")
    sys.path.insert(0, str(root))
    yield importlib.import_module("drop_in")
    sys.path.remove(str(root))
    for name in [name for name in sys.modules if name.partition(".")[0] == "drop_in"]:
        del sys.modules[name]
    signals._CATALOGUE.pop("largest_weight", None)


def only(package: ModuleType, base: type) -> type:
    [cls] = discover(package, base)
    return cls


def test_a_probe_is_one_file(package) -> None:
    check_probe(only(package, Probe))


def test_a_detector_is_one_file(package) -> None:
    discover(package, Probe)  # registers the signal
    check_detector(only(package, Detector), seeds=[0])


def test_a_metric_is_one_file(package) -> None:
    check_metric(only(package, QualityMetric))


def test_a_sink_is_one_file(package) -> None:
    check_sink(only(package, Sink))


def train(g: nn.Module, d: nn.Module, steps: int, *, grows_at: int) -> None:
    optimizers = [torch.optim.SGD(network.parameters(), 1e-2) for network in (g, d)]
    loss = nn.functional.softplus
    for step in range(1, steps + 1):
        real, fake = torch.randn(16, 3), g(torch.randn(16, 2))
        optimizers[1].zero_grad()
        (loss(-d(real)) + loss(d(fake.detach()))).mean().backward()
        optimizers[1].step()
        optimizers[0].zero_grad()
        loss(-d(fake)).mean().backward()
        if step == grows_at:
            with torch.no_grad():
                g.weight.mul_(1e6)
        optimizers[0].step()


def test_a_live_watch_uses_them(package) -> None:
    probe, detector, sink = (only(package, base)() for base in (Probe, Detector, Sink))
    torch.manual_seed(0)
    g, d = nn.Linear(2, 3), nn.Linear(3, 1)
    with ganwatch.watch(G=g, D=d, store=None, probes=[probe], detectors=[detector], sinks=[sink], audit_seconds=0.0) as watching:
        train(g, d, 40, grows_at=20)
    assert watching.observer.guard.errors == {}
    assert sink.steps == list(range(2, 41, 2))
    assert [state for state in sink.states if state[1] == "firing"] == [("GW999", "firing", 22)]
