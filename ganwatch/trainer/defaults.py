"""Settings with which the GAN learns all ten bundled digits, with any seed. Importing them needs no torch."""

from __future__ import annotations

from typing import Any

_COMMON: dict[str, Any] = {"shape": (1, 8, 8), "latent_dim": 32, "channels": 16, "g_lr": 5e-4, "d_lr": 5e-4}

DIGITS: dict[str, dict[str, Any]] = {
    "non-saturating": _COMMON | {"loss": "non-saturating"},
    "hinge": _COMMON | {"loss": "hinge"},
    "least-squares": _COMMON | {"loss": "least-squares", "d_norm": "spectral", "d_lr": 1e-3},
    "wgan-gp": _COMMON | {"loss": "wgan-gp"},
    "minimax": _COMMON | {"loss": "minimax"},
    "relativistic": _COMMON | {"loss": "relativistic"},
}
"""Arguments of ``GAN`` by loss, for ``GANData("digits")`` with batches of 64."""

STEPS = dict.fromkeys(DIGITS, 2000) | {"wgan-gp": 1200}
"""Updates of the generator in a healthy demonstration, by loss: about two minutes on two cores."""
