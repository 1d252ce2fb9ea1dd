"""A detector, a probe and a sink of another installed package are found by their entry points and used by a live ``watch``."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

PYPROJECT = """
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"

[project]
name = "acme-gan"
version = "1.0"

[project.entry-points."ganwatch.probes"]
bias = "acme_gan:Bias"

[project.entry-points."ganwatch.detectors"]
bias = "acme_gan:LargeBias"
broken = "acme_gan:NoSuchThing"
clash = "acme_gan:Clash"

[project.entry-points."ganwatch.sinks"]
file = "acme_gan:FileSink"
"""
MODULE = '''"""Parts for ganwatch."""

import json
import os
import random

from ganwatch.core.detector import Detector, FailureKind, Severity, Verdict
from ganwatch.core.probe import Probe
from ganwatch.core.signals import Signal, register
from ganwatch.core.sink import Sink

random.random()
register(Signal("bias", "Mean bias of the network.", label="network", group="gradients"))


class Bias(Probe):
    name, signals, every, needs_calls = "bias", ("bias",), 2, False

    def __init__(self):
        self._values = {}

    def after_update(self, update):
        self._values[f"bias/{update.network}"] = update.parameters[-1].detach().mean().clone()

    def read(self, step):
        values, self._values = self._values, {}
        return values


class LargeBias(Detector):
    """The bias is large."""

    code, title, severity, inputs, kind = "ACME-7", "large bias", Severity.TICKET, ("bias/g",), FailureKind.NUMERICS

    def update(self, readings):
        bias = readings.get("bias/g")
        if bias is None or abs(bias) < 100.0:
            return None
        return Verdict(bias, 100.0, "bias/g", 1, "definition", f"The bias is {bias:.3g}.")

    @classmethod
    def demo(cls, seed):
        return cls.simulate(seed, onset=100, before={"bias/g": 0.5}, after={"bias/g": 5e3}, length=100), 100


class Clash(LargeBias):
    code = "GW101"


class FileSink(Sink):
    name = "file"

    def __init__(self):
        self.lines = []

    def readings(self, readings):
        self.lines += [one.values["bias/g"] for one in readings if "bias/g" in one.values]

    def incident(self, incident):
        self.lines.append([incident.code, str(incident.state), incident.cause, incident.runbook])

    def finish(self, state):
        with open(os.environ["ACME_FILE"], "w") as file:
            json.dump([state, self.lines], file)
'''
TRAINING = """
import logging, random
import torch
from torch import nn
import ganwatch
from ganwatch.core.detector_settings import discover_detectors

logging.basicConfig(format="%(message)s")
torch.manual_seed(0)
random.seed(0)
state = random.getstate()
g, d = nn.Linear(2, 3), nn.Linear(3, 1)
optimizers = [torch.optim.SGD(network.parameters(), 1e-2) for network in (g, d)]
with ganwatch.watch(G=g, D=d, store=None, audit_seconds=0.0) as watching:
    assert random.getstate() == state
    for step in range(60):
        real, fake = torch.randn(16, 3), g(torch.randn(16, 2))
        optimizers[1].zero_grad()
        (d(fake.detach()) - d(real)).mean().backward()
        optimizers[1].step()
        optimizers[0].zero_grad()
        (-d(fake).mean()).backward()
        if step == 30:
            nn.init.constant_(g.bias, 1e4)
        optimizers[0].step()
assert watching.observer.guard.errors == {}, watching.observer.guard.errors
assert sorted(cls.code for cls in discover_detectors()).count("GW101") == 1
"""


@pytest.mark.xdist_group("wheel")
def test_parts_of_another_package_are_used_by_being_installed(tmp_path: Path) -> None:
    source, target, output = tmp_path / "source", tmp_path / "installed", tmp_path / "output.json"
    (source / "acme_gan").mkdir(parents=True)
    (source / "pyproject.toml").write_text(PYPROJECT)
    (source / "acme_gan" / "__init__.py").write_text(MODULE)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--no-build-isolation", "--target"]
    subprocess.run([*pip, str(target), str(source)], check=True, capture_output=True)
    environment = {"PYTHONPATH": str(target), "ACME_FILE": str(output), "OMP_NUM_THREADS": "1", "PATH": ""}
    done = subprocess.run([sys.executable, "-c", TRAINING], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    state, lines = json.loads(output.read_text())
    assert state == "finished"
    assert len([line for line in lines if isinstance(line, float)]) == 30
    assert ["ACME-7", "firing", None, ""] in lines
    assert "entry point broken = acme_gan:NoSuchThing of group ganwatch.detectors cannot be loaded" in done.stderr
    assert "detector Clash must have a code of its own, got that of mode collapse (GW101); it is left out" in done.stderr
