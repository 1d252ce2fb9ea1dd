"""Checks of the arguments of the reference GAN."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from math import prod
from typing import Any

from ganwatch.core.argument_checks import shorten
from ganwatch.core.errors import UserError
from ganwatch.trainer import networks

CONV_SIZES = (8, 16, 32, 64, 128)
"""Heights and widths that the convolutional networks support, in pixels."""
MAX_UNITS = 65_536
"""Most units, channels or classes."""
MAX_DEPTH = 1_000
"""Most layers."""
MAX_VALUES = 2**24
"""Most values of a sample."""


def check_arguments(given: Mapping[str, Any], optimizers: Iterable[str]) -> None:
    """Refuse arguments of ``GAN`` that break a rule.

    Parameters
    ----------
    given : mapping
        All arguments by name.
    optimizers : iterable of str
        Names of the known optimizers.

    Raises
    ------
    UserError
        The first argument that breaks a rule.
    """
    choices = {
        "network": ("conv", "mlp", "residual"),
        "activation": tuple(networks.ACTIVATIONS),
        "d_activation": tuple(networks.ACTIVATIONS),
        "g_norm": ("batch", "none"),
        "d_norm": ("batch", "spectral", "none"),
        "optimizer": tuple(optimizers),
        "output": tuple(networks.OUTPUTS),
    }
    for name, allowed in choices.items():
        if given[name] not in allowed:
            raise UserError(f"{name} must be one of {allowed}, got {given[name]!r}")
    shape = given["shape"]
    is_conv = given["network"] == "conv" or (given["network"] == "residual" and len(shape) == 3)  # C, H, W
    minima = dict.fromkeys(("latent_dim", "channels", "width", "r1_every", "d_steps", "g_steps"), 1)
    minima |= dict.fromkeys(("gp_weight", "r1_weight", "classes", "g_lr", "d_lr"), 0) | {"depth": 0 if is_conv else 1}
    for name, minimum in minima.items():
        if given[name] is not None and not given[name] >= minimum:
            raise UserError(f"{name} must be >= {minimum}, got {given[name]}")
    _check_large(given)
    vector, image = 1, 3
    is_square = len(shape) == image and shape[1] == shape[2] and shape[1] in CONV_SIZES
    rules = {
        "shape": (
            len(shape) in {vector, image} and min(shape) >= 1 and prod(shape) <= MAX_VALUES,
            f"(channels, height, width) or (features,), all >= 1, of at most {MAX_VALUES:,} values",
        ),
        f"shape for network={given['network']!r}": (is_square or not is_conv, f"(channels, S, S) with S of {CONV_SIZES}"),
        "dropout": (0.0 <= given["dropout"] < 1.0, "in [0, 1)"),
        "ema": (given["ema"] is None or 0.0 < given["ema"] < 1.0, "in (0, 1) (decay per update) or None"),
        "init_std": (given["init_std"] is None or given["init_std"] > 0.0, "> 0 or None"),
        "g_steps": (min(given["d_steps"], given["g_steps"]) == 1, "1 where d_steps is greater"),
    }
    for name in ("g_betas", "d_betas"):
        rules[name] = (len(given[name]) == 2 and all(0.0 <= beta < 1.0 for beta in given[name]), "two numbers in [0, 1)")  # a pair
    for name, (holds, rule) in rules.items():
        if not holds:
            raise UserError(f"{name} must be {rule}, got {given[name.partition(' ')[0]]}")


def _check_large(given: Mapping[str, Any]) -> None:
    """Refuse numbers that are not finite, and networks that no memory holds."""
    for name, value in given.items():
        if isinstance(value, float) and not math.isfinite(value):
            raise UserError(f"{name} must be finite, got {value}")
    for name, maximum in (dict.fromkeys(("latent_dim", "channels", "width", "classes"), MAX_UNITS) | {"depth": MAX_DEPTH}).items():
        if given[name] is not None and given[name] > maximum:
            raise UserError(f"{name} must be <= {maximum:,}, got {shorten(given[name])}")
