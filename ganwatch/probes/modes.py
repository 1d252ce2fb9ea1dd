"""Modes of the networks' layers in the calls that train them."""

from __future__ import annotations

from ganwatch.capture.step import StepView
from ganwatch.core.probe import Probe


class LayerModes(Probe):
    """Share of layers in training mode, in the latest call with a graph before a network's update.

    A network none of whose layers depends on the mode gives no readings.
    """

    name = "layer_modes"
    signals = ("norm_training", "layers_training")
    every = 20

    def read(self, step: StepView) -> dict[str, float]:
        values: dict[str, float] = {}
        for role in ("g", "d"):
            calls = [call for call in step.calls if call.network == role and call.index == step.index and not call.in_g_phase]
            modes = next((call.modes for call in reversed(calls) if call.modes is not None), None)
            if modes is not None and modes.dependent is not None and step.counts[f"updates_performed/{role}"]:
                values |= {f"norm_training/{role}": modes.dependent, f"layers_training/{role}": modes.others}
        return values
