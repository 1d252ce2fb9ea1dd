"""Time and memory, ganwatch's own share included."""

from __future__ import annotations

import time

import psutil
import torch

from ganwatch.capture.step import StepView
from ganwatch.core.probe import Probe


class Resources(Probe):
    """StepView time, time spent waiting for data, ganwatch's own time, memory of process and accelerator.

    Times are means over the steps since the previous reading, in seconds.
    """

    name = "resources"
    signals = ("step_time", "data_time", "observer_time", "process_memory", "gpu_memory")
    every = 40
    needs_calls = False

    def __init__(self) -> None:
        self._last: tuple[int, float] | None = None

    def read(self, step: StepView) -> dict[str, float]:
        now = time.perf_counter()
        values = {"observer_time": step.observer_time, "process_memory": float(psutil.Process().memory_info().rss)}
        if step.data_time is not None:
            values["data_time"] = step.data_time
        if self._last is not None and step.index > self._last[0]:
            values["step_time"] = (now - self._last[1]) / (step.index - self._last[0])
        self._last = (step.index, now)
        if torch.cuda.is_available():
            values["gpu_memory"] = float(torch.cuda.memory_allocated())
        return values
