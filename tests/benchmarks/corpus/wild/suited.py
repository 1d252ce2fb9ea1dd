"""Combinations of world, loss, network, optimizer and style that train well without a cause."""

from __future__ import annotations

FAMILIES = {
    "photos": "image", "enlarged": "image", "digits": "image", "stacked": "image", "table": "vector", "signals": "signal",
    "ring": "vector", "grid": "vector",
}  # fmt: skip
"""Family of networks of each world."""


def is_suited(world: str, loss: str, network: str, optimizer: str, style: str, *, needs_good: bool) -> bool:
    """Return True if the combination makes sense, and trains well if ``needs_good``."""
    if loss == "wgan-gp" and FAMILIES[world] == "image":
        return False  # too expensive
    return True
