"""General detectors of change, from ``river`` at its defaults, on both losses.

Sources: Bifet and Gavaldà, Learning from time-changing data with adaptive windowing, SDM 2007 (ADWIN, delta 0.002); Page, Continuous
inspection schemes, Biometrika 1954 (delta 0.005, threshold 50, alpha 0.9999); riverml.xyz. They claim that the mean of a signal has
changed and not which failure that is, so an alarm counts for any failure. A change happens at one step, so the verdict lasts for one.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from river.base import DriftDetector
from river.drift import ADWIN, PageHinkley

from ganwatch.core.detector import Detector, DetectorResult, Severity, Verdict
from ganwatch.core.readings import Readings, is_finite
from ganwatch.core.statistics import Stateful


class RiverDetector(Stateful):
    """A detector of ``river``. It has no state of plain types, so the values are saved and replayed on restore."""

    def __init__(self, cls: type[DriftDetector]) -> None:
        self.detector = cls()
        self._values: list[float] = []

    def update(self, value: float) -> bool:
        """Take one value. Return True if the mean has changed with it."""
        self._values.append(value)
        self.detector.update(value)
        return bool(self.detector.drift_detected)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.detector, self._values = type(self.detector)(), []
        for value in state["_values"]:
            self.update(value)


class AdaptiveWindow(Detector):
    """ADWIN: two parts of an adaptive window differ in their means."""

    code = "BL361"
    title = "river: ADWIN"
    claims = ()
    severity = Severity.TICKET
    inputs = ("loss/g", "loss/d")

    def __init__(self) -> None:
        self._detectors = [RiverDetector(ADWIN) for _ in self.inputs]

    def update(self, readings: Readings) -> DetectorResult:
        return _evaluate(self.inputs, readings, self._detectors)

    @classmethod
    def demo(cls, seed: int) -> tuple[Iterator[Readings], int]:
        return cls.simulate(seed, onset=300, before={"loss/g": 0.7, "loss/d": 1.3}, after={"loss/g": 3.0}), 300


class CumulativeSum(Detector):
    """Page-Hinkley: the sum of deviations from the mean so far leaves its extreme by more than the threshold."""

    code = "BL362"
    title = "river: Page-Hinkley"
    claims = ()
    severity = Severity.TICKET
    inputs = ("loss/g", "loss/d")

    def __init__(self) -> None:
        self._detectors = [RiverDetector(PageHinkley) for _ in self.inputs]

    def update(self, readings: Readings) -> DetectorResult:
        return _evaluate(self.inputs, readings, self._detectors)

    @classmethod
    def demo(cls, seed: int) -> tuple[Iterator[Readings], int]:
        return AdaptiveWindow.demo(seed)


def _evaluate(names: tuple[str, ...], readings: Readings, detectors: list[RiverDetector]) -> DetectorResult:
    result: DetectorResult = None
    for name, value, one in zip(names, readings.select(names), detectors, strict=True):
        if is_finite(value) and one.update(value):
            result = Verdict(value, value, name, 1, "default of river", f"The mean of {name} has changed.")
    return result
