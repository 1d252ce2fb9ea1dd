"""Real causes of training failures, as changes to a healthy configuration of the reference trainer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Fault:
    """A change of the configuration, the reason why it fails, and the code of the incident that must explain it."""

    code: str
    cause: str
    model: Mapping[str, Any] = field(default_factory=dict)
    data: Mapping[str, Any] = field(default_factory=dict)
    steps: int = 1000


FAULTS: dict[str, Fault] = {
    "mode-collapse": Fault(
        "GW101",
        "the generator learns 50 times faster than the discriminator can follow",
        {"g_lr": 5e-3, "d_lr": 1e-4},
    ),
    "discriminator-domination": Fault(
        "GW201",
        "the discriminator learns 250 times faster than the generator, under the saturating minimax loss",
        {"loss": "minimax", "d_lr": 5e-3, "g_lr": 2e-5},
        steps=800,
    ),
    "vanishing-gradient": Fault(
        "GW301",
        "a deep generator of sigmoids without normalisation, under the saturating minimax loss",
        {"loss": "minimax", "g_norm": "none", "depth": 4, "activation": "sigmoid"},
        steps=600,
    ),
    "exploding-gradient": Fault(
        "GW302",
        "a Wasserstein critic without gradient penalty, at a high learning rate, without normalisation",
        {"loss": "wgan-gp", "gp_weight": 0.0, "g_norm": "none", "g_lr": 2e-2, "d_lr": 2e-2},
        steps=600,
    ),
    "non-finite": Fault(
        "GW303",
        "the loss takes logarithms of probabilities, which underflow once the discriminator is certain",
        {"loss": "non-saturating", "stable": False, "d_lr": 5e-2},
        steps=400,
    ),
    "range-mismatch": Fault(
        "GW501",
        "the data pipeline delivers 0…255 to a generator that ends in a tanh",
        data={"scale": "raw"},
        steps=600,
    ),
}
