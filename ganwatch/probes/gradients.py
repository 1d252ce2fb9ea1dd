"""Gradient norms at each network's own update, and the effect of the update on the weights."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ganwatch.capture.step import StepView, Update, sum_per_sample
from ganwatch.core.probe import Probe


class Gradients(Probe):
    """Total norm of a network's gradient, from one fused reduction over all parameters, and the share of parameters without any."""

    name = "gradients"
    signals = ("grad_norm", "clipped_grad_norm", "zero_gradient")
    every = 10
    needs_calls = False
    deferrable = True

    def __init__(self) -> None:
        self._values: dict[int, dict[str, Tensor]] = {}

    def before_update(self, update: Update) -> None:
        values = self._values.setdefault(update.index, {})
        norms = update.gradient_norms()
        values[f"grad_norm/{update.network}"] = torch.linalg.vector_norm(norms)
        share = norms.eq(0).mean(dtype=torch.float32)
        if update.without_gradient:
            share = (share * len(norms) + update.without_gradient) / (len(norms) + update.without_gradient)
        values[f"zero_gradient/{update.network}"] = share
        if update.unclipped_norms is not None:
            values[f"clipped_grad_norm/{update.network}"] = torch.linalg.vector_norm(update.applied_norms())

    def read(self, step: StepView) -> dict[str, Any]:
        values: dict[str, Any] = self._values.pop(step.index, {})
        for role in ("g", "d"):
            attempted, performed, skipped = (step.counts[f"updates_{how}/{role}"] for how in ("attempted", "performed", "skipped"))
            if attempted > skipped and not performed:  # no parameter had a gradient
                values[f"zero_gradient/{role}"] = 1.0
        return values


class Layers(Probe):
    """Gradient norms of each layer, for people only: no detector reads them.

    A layer is a module with parameters of its own; its weight and bias count together.
    """

    name = "layers"
    signals = ("layer_grad_norm",)
    every = 100
    needs_calls = False
    deferrable = True

    def __init__(self) -> None:
        self._values: dict[str, Tensor] = {}

    def before_update(self, update: Update) -> None:
        layers = list(dict.fromkeys(map(_layer_name, update.names)))
        norms = update.gradient_norms()
        layer_of = torch.tensor([layers.index(_layer_name(name)) for name in update.names], device=norms.device)
        squares = norms.new_zeros(len(layers)).index_add_(0, layer_of, norms.square())
        self._values |= zip((f"layer_grad_norm/{update.network}.{layer}" for layer in layers), squares.sqrt().unbind(), strict=True)

    def read(self, step: StepView) -> dict[str, Tensor]:
        values, self._values = self._values, {}
        return values


class GradientFlow(Probe):
    """Flow of gradients through a network: first layer against last, update against weight, slope at D's output.

    First and last are layers whose weights have two or more dimensions. Their norms are divided by the root of the parameter count, so that
    widths do not matter. If a network has had no update since the previous sampled step, its update against weight is 0.
    """

    name = "gradient_flow"
    signals = ("grad_first_to_last", "grad_to_output", "output_gradient", "update_to_weight", "weight_norm")
    every = 20
    is_paced = True
    needs_output_grads = True

    def __init__(self) -> None:
        self._values: dict[str, Tensor] = {}
        self._norms: dict[str, Tensor] = {}
        self._before: dict[str, Tensor] = {}
        self._last_read = 0

    def before_update(self, update: Update) -> None:
        role = update.network
        norms = update.gradient_norms()
        matrices = [position for position, p in enumerate(update.parameters) if p.ndim >= 2]
        if len(matrices) >= 2:
            first, last = matrices[0], matrices[-1]
            sizes = (update.parameters[last].numel() / update.parameters[first].numel()) ** 0.5
            self._values[f"grad_first_to_last/{role}"] = norms[first] / norms[last].clamp_min(1e-38) * sizes
        self._norms[role] = norms.norm()
        self._before[role] = flatten_weights(update)

    def after_update(self, update: Update) -> None:
        role = update.network
        before = self._before.pop(role, None)
        if before is None:
            return
        weight = torch.linalg.vector_norm(before)
        self._values[f"weight_norm/{role}"] = weight
        self._values[f"update_to_weight/{role}"] = torch.linalg.vector_norm(flatten_weights(update).sub_(before)) / weight.clamp_min(1e-38)

    def read(self, step: StepView) -> dict[str, Any]:
        calls_of = {
            "g": [step.last_call("d", "fake", in_g_phase=True)],
            "d": [step.last_call("d", "fake", in_g_phase=False), step.last_call("d", "real", in_g_phase=False)],
        }
        for role, calls in calls_of.items():
            grads = [sum_per_sample(call.output_grad) for call in calls if call is not None and call.output_grad is not None]
            if grads:
                output_grad = torch.cat(grads)
                self._values[f"output_gradient/{role}"] = output_grad.norm() * len(output_grad) ** 0.5 / len(grads)
                if role in self._norms:
                    self._values[f"grad_to_output/{role}"] = self._norms[role] / output_grad.norm()
        values, self._values, self._norms = self._values, {}, {}
        not_updated = [role for role, index in step.last_updates.items() if index <= self._last_read]
        self._last_read = step.index
        return {f"update_to_weight/{role}": 0.0 for role in not_updated} | values


def _layer_name(name: str) -> str:
    """Return the layer of a parameter."""
    return name.rpartition(".")[0]


def flatten_weights(update: Update) -> Tensor:
    """Return a copy of a network's weights in one row."""
    return torch.cat([p.detach().reshape(-1) for p in update.parameters])
