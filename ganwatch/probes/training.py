"""Learning rates, batch sizes, and whether D is given reals."""

from __future__ import annotations

from typing import Any

from ganwatch.capture.step import StepView
from ganwatch.core.probe import Probe


class Training(Probe):
    """Learning rates, batch sizes, and whether the discriminator is given reals, as the loop itself sets them."""

    name = "training"
    signals = ("learning_rate", "batch_size", "reals_given")
    every = 20

    def read(self, step: StepView) -> dict[str, Any]:
        values: dict[str, Any] = {f"learning_rate/{network}": rate for network, rate in step.learning_rates.items()}
        for origin in ("real", "fake"):
            batch = step.batch(origin)
            if batch is not None:
                values[f"batch_size/{origin}"] = float(len(batch))
        d_phase = [call for call in step.calls if call.network == "d" and not call.in_g_phase and call.has_graph]
        if d_phase:
            values["reals_given"] = float(any(call.origin != "fake" or call.is_inferred for call in d_phase))
        return values
