"""Losses, as they were back-propagated."""

from __future__ import annotations

from torch import Tensor

from ganwatch.capture.step import StepView
from ganwatch.core.probe import Probe


class Losses(Probe):
    """Sum of the scalars that were back-propagated before a network's own update."""

    name = "losses"
    signals = ("loss",)
    needs_calls = False
    deferrable = True

    def read(self, step: StepView) -> dict[str, Tensor]:
        return {f"loss/{network}": loss for network, loss in step.losses.items()}
