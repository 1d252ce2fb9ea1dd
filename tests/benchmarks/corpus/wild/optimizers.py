"""Optimizers of the wild part, by name, and learning rates that fit each world."""

from __future__ import annotations

from collections.abc import Iterable

from torch import nn
from torch.optim import SGD, Adam, AdamW, Optimizer, RMSprop

RATES = {
    "photos": (1e-3, 1e-3), "enlarged": (1e-3, 1e-3), "digits": (1e-3, 1e-3), "stacked": (5e-4, 5e-4),
    "table": (1e-3, 1e-3), "signals": (1e-3, 1e-3), "ring": (1e-3, 2e-3), "grid": (1e-3, 2e-3),
}  # fmt: skip
"""Learning rates of generator and discriminator under Adam."""
OPTIMIZERS = ("adam", "adam-0", "rmsprop", "adamw", "two-scales", "sgd-d")
"""Names. ``two-scales`` gives the discriminator a higher rate (Heusel et al., 2017, arXiv:1706.08500)."""
SGD_FACTOR = 20.0
"""Rate of SGD with momentum against that of Adam."""


def create_optimizer(name: str, world: str, role: str, parameters: Iterable[nn.Parameter]) -> Optimizer:
    """Create the optimizer of a network, ``role`` being ``g`` or ``d``."""
    rate = RATES[world]["gd".index(role)]
    if name == "adam-0":
        return Adam(parameters, lr=rate, betas=(0.0, 0.99))
    if name == "rmsprop":
        return RMSprop(parameters, lr=0.5 * rate)
    if name == "adamw":
        return AdamW(parameters, lr=rate, betas=(0.5, 0.99), weight_decay=1e-3)
    if name == "two-scales":
        return Adam(parameters, lr=rate * (0.5 if role == "g" else 1.5), betas=(0.5, 0.9))
    if name == "sgd-d" and role == "d":
        return SGD(parameters, lr=SGD_FACTOR * rate, momentum=0.9)
    return Adam(parameters, lr=rate, betas=(0.5, 0.999))
