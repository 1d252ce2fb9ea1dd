"""A long run takes no more memory than a short one."""

import gc
import random
import tracemalloc

import pytest

from ganwatch.capture.gatherer import Gatherer
from ganwatch.capture.step import Step, StepView
from ganwatch.core.monitor import Monitor
from ganwatch.core.probe import Probe
from ganwatch.session.defaults import default_detectors


class Noise(Probe):
    name, signals = "noise", ()

    def __init__(self, names):
        self.names, self.draws = names, random.Random(0)

    def read(self, step):
        return {name: 1.0 + 0.1 * self.draws.random() for name in self.names}


@pytest.mark.slow
def test_memory_is_constant_over_100_000_observed_steps():
    detectors = default_detectors()
    names = sorted({name for detector in detectors for name in detector.inputs})
    monitor = Monitor(detectors=detectors, gatherer=Gatherer())
    held, due = [], [Noise(names)]
    tracemalloc.start()
    for first, last in ((1, 10_000), (10_000, 100_001)):
        for index in range(first, last):
            monitor.process_step(StepView(Step(index, due=due)))
            monitor.send_readings()
        gc.collect()
        held.append(tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    assert monitor.latest.keys() == set(names) | {"observer_errors", "observer_dropped", "store_failures"}
    assert held[1] - held[0] < 64 * 1024
