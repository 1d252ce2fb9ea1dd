"""Gradient norms at each network's own update, and what the update does to the weights."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ganwatch.capture.step import Step, Update
from ganwatch.contracts import Probe


class Gradients(Probe):
    """Total norm of a network's gradient at every step, from one fused reduction over all parameters."""

    name = "gradients"
    signals = ("grad_norm",)

    def __init__(self) -> None:
        self._values: dict[str, Tensor] = {}

    def before_update(self, update: Update) -> None:
        self._values[f"grad_norm/{update.network}"] = norm([p.grad for p in update.parameters])

    def read(self, step: Step) -> dict[str, Tensor]:
        values, self._values = self._values, {}
        return values


class Layers(Probe):
    """Layer by layer, less often: gradient norms, first layer against last, update against weight, slope at D's output.

    A layer is a module with parameters of its own; its weight and bias count together. First and last are layers whose weights
    have two or more dimensions, and their norms are divided by the root of the parameter count, so that widths do not matter.
    """

    name = "layers"
    signals = ("layer_grad_norm", "grad_first_to_last", "grad_to_output", "output_slope", "update_to_weight", "weight_norm")
    every = 10
    wants_slopes = True

    def __init__(self) -> None:
        self._values: dict[str, Tensor] = {}
        self._norms: dict[str, Tensor] = {}
        self._before: dict[str, list[Tensor]] = {}

    def before_update(self, update: Update) -> None:
        role = update.network
        norms = torch.stack(torch._foreach_norm([p.grad for p in update.parameters if p.grad is not None]))
        layers: dict[str, list[int]] = {}
        for position, name in enumerate(update.names):
            layers.setdefault(name.rpartition(".")[0], []).append(position)
        for layer, positions in layers.items():
            self._values[f"layer_grad_norm/{role}.{layer}"] = norms[positions[0]] if len(positions) == 1 else norms[positions].norm()
        matrices = [position for position, p in enumerate(update.parameters) if p.ndim >= 2]
        if len(matrices) >= 2:
            first, last = matrices[0], matrices[-1]
            sizes = (update.parameters[last].numel() / update.parameters[first].numel()) ** 0.5
            self._values[f"grad_first_to_last/{role}"] = norms[first] / norms[last].clamp_min(1e-38) * sizes
        self._norms[role] = norms.norm()
        self._before[role] = [p.detach().clone() for p in update.parameters]

    def after_update(self, update: Update) -> None:
        role = update.network
        before = self._before.pop(role, None)
        if before is None or len(before) != len(update.parameters):  # gradients came into being inside the optimizer's own step
            return
        weight = norm(before)
        moved = norm(torch._foreach_sub([p.detach() for p in update.parameters], before))
        self._values[f"weight_norm/{role}"] = weight
        self._values[f"update_to_weight/{role}"] = moved / weight.clamp_min(1e-38)

    def read(self, step: Step) -> dict[str, Tensor]:
        seen = {
            "g": [step.last("d", "fake", attached=True)],
            "d": [step.last("d", "fake", attached=False), step.last("d", "real", attached=False)],
        }
        for role, calls in seen.items():
            slopes = [per_sample(call.slope) for call in calls if call is not None and call.slope is not None]
            if slopes:
                slope = torch.cat(slopes)
                self._values[f"output_slope/{role}"] = slope.norm() * len(slope) ** 0.5 / len(slopes)
                if role in self._norms:
                    self._values[f"grad_to_output/{role}"] = self._norms[role] / slope.norm()
        values, self._values, self._norms = self._values, {}, {}
        return values


def per_sample(slope: Tensor) -> Tensor:
    """dL/d(output) summed over everything but the batch: shape (N,), float32."""
    return slope.float().flatten(1).sum(1) if slope.ndim > 1 else slope.float()


def norm(tensors: Any) -> Tensor:
    """L2 norm over a list of tensors, one fused call and no synchronisation; 0-d."""
    total: Tensor = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(tensors)))
    return total
