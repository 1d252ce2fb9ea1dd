"""Combinations of world, loss, network, optimizer and style that train well without a cause."""

from __future__ import annotations

FAMILIES = {
    "photos": "image", "enlarged": "image", "digits": "image", "stacked": "image", "table": "vector", "signals": "signal",
    "ring": "vector", "grid": "vector",
}  # fmt: skip
"""Family of networks of each world."""
REGULARISED = ("r3gan", "logistic-r1", "wgan-gp")
"""Losses with a gradient penalty."""
PLAIN_NETWORKS = ("mlp", "selu", "residual", "layer-norm")
"""Networks that need a gradient penalty on most data."""
UNSTEADY = (
    ("digits", "upsampling"), ("digits", "residual-conv"), ("photos", "residual-conv"), ("enlarged", "residual-conv"),
    ("signals", "conv1d"), ("signals", "layer-norm"), ("ring", "selu"), ("signals", "selu"),
)  # fmt: skip
"""Worlds and networks whose trainings swing."""


def is_suited(world: str, loss: str, network: str, optimizer: str, style: str, *, needs_good: bool) -> bool:
    """Return True if the combination makes sense, and trains well if ``needs_good``."""
    if loss in {"wgan-gp", "wgan-clip"} and FAMILIES[world] == "image":
        return False  # too expensive
    if style == "accumulated" and world == "photos":
        return False  # batches of eight
    return not needs_good or _is_good(world, loss, network, optimizer)


def _is_good(world: str, loss: str, network: str, optimizer: str) -> bool:
    if optimizer == "sgd-d" or (world, network) in UNSTEADY:
        return False
    if loss == "wgan-clip":
        return world in {"ring", "table"} and network in {"batch-norm", "dropout"}
    if loss == "wgan-gp" and world == "ring":
        return optimizer in {"adam", "adam-0"}
    if world == "photos":
        return network == "upsampling" or loss in REGULARISED
    return network not in PLAIN_NETWORKS or loss in REGULARISED
