"""Reads the modes of a network's layers: training or evaluation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from torch import Tensor, nn
from torch.nn.modules.dropout import _DropoutNd

MODE_BUFFERS = "running_mean", "weight_u", "_u"
"""Buffers that forward calls change in training mode only: statistics of normalisation, singular vectors of spectral normalisation."""


class Modes(NamedTuple):
    """Shares of layers in training mode."""

    dependent: float | None
    """Share of the layers whose output or state depends on the mode; None if there are none."""
    others: float
    """Share of the other layers; the mode of the network itself if there are none."""


def read_modes(network: nn.Module) -> Modes:
    """Return the shares of a network's layers that are in training mode; a layer is a module without modules of its own.

    >>> network = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2), nn.BatchNorm1d(2), nn.Dropout(0.0))
    >>> _ = network[1].eval()
    >>> read_modes(network)
    Modes(dependent=0.5, others=1.0)
    >>> read_modes(network.eval()), read_modes(nn.Linear(2, 2))
    (Modes(dependent=0.0, others=0.0), Modes(dependent=None, others=1.0))
    """
    dependent, others, waiting = [], [], [network]
    while waiting:
        module = waiting.pop()
        state = vars(module)  # read directly, because torch's iterators are slow
        children, buffers = state["_modules"], state["_buffers"]
        waiting += [child for child in children.values() if child is not None] if children else ()
        if (buffers and _has_mode_buffer(buffers)) or (isinstance(module, _DropoutNd) and module.p > 0.0):
            dependent.append(module.training)
        elif not children:
            others.append(module.training)
    others = others or [network.training]
    return Modes(sum(dependent) / len(dependent) if dependent else None, sum(others) / len(others))


def _has_mode_buffer(buffers: Mapping[str, Tensor | None]) -> bool:
    return any(buffers.get(name) is not None for name in MODE_BUFFERS)
