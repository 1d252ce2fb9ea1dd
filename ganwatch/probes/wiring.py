"""Facts about the loop that capture finds while networks are trained."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from ganwatch.capture.step import StepView
from ganwatch.core.probe import Probe


class Wiring(Probe):
    """Gradients that nothing has cleared, and updates that something takes back, right after sampled updates; updates of a lookalike."""

    name = "wiring"
    signals = ("gradient_kept", "gradient_left", "update_kept", "lookalike_updates")
    needs_calls = False
    deferrable = True

    def read(self, step: StepView) -> Mapping[str, float | Tensor]:
        return step.wiring
