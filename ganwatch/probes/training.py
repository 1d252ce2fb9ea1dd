"""Learning rates and batch sizes."""

from __future__ import annotations

from typing import Any

from ganwatch.capture.step import StepView
from ganwatch.core.probe import Probe


class Training(Probe):
    """Learning rates and batch sizes, which the loop itself sets."""

    name = "training"
    signals = ("learning_rate", "batch_size")
    every = 20

    def read(self, step: StepView) -> dict[str, Any]:
        values: dict[str, Any] = {f"learning_rate/{network}": rate for network, rate in step.learning_rates.items()}
        for origin in ("real", "fake"):
            batch = step.batch(origin)
            if batch is not None:
                values[f"batch_size/{origin}"] = float(len(batch))
        return values
