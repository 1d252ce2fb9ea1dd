"""Numbers of calls and updates, zero where there were none."""

from __future__ import annotations

from collections.abc import Mapping

from ganwatch.capture.step import COUNTED, StepView
from ganwatch.core.probe import Probe


class Activity(Probe):
    """Calls of each network and attempted, performed and skipped updates of it since the previous step.

    An update is attempted by each step of an optimizer that has parameters of the network. It is performed if some of them has a gradient
    and skipped if a scaler found that gradients are not finite.
    """

    name = "activity"
    signals = COUNTED
    needs_calls = False
    deferrable = True

    def read(self, step: StepView) -> Mapping[str, int]:
        return step.counts
