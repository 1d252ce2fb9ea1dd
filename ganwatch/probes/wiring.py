"""Facts about the loop that capture finds while networks are trained."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from ganwatch.capture.step import StepView
from ganwatch.core.probe import Probe


class Wiring(Probe):
    """Whether updates apply gradients that nothing has cleared, right after sampled updates."""

    name = "wiring"
    signals = ("gradient_kept", "gradient_left")
    needs_calls = False
    deferrable = True

    def read(self, step: StepView) -> Mapping[str, float | Tensor]:
        return step.wiring
