"""Numbers of the networks' parameter tensors: trainable, held by an optimizer, with a gradient."""

from __future__ import annotations

from ganwatch.capture.step import StepView
from ganwatch.core.probe import Probe


class Tensors(Probe):
    """Parameter tensors of each network, by what the loop does with them."""

    name = "tensors"
    signals = ("tensors", "tensors_trainable", "tensors_held", "tensors_with_gradient")
    every = 20
    needs_calls = False
    deferrable = True

    def read(self, step: StepView) -> dict[str, float]:
        counts = step.tensor_counts.items()
        return {f"{signal}/{role}": float(count) for role, of_role in counts for signal, count in zip(self.signals, of_role, strict=True)}
