"""The rank of this process, and networks that are wrapped for data-parallel training."""

from __future__ import annotations

import os
from typing import Any

import torch.distributed
from torch import nn
from torch.nn.parallel import DistributedDataParallel

COMMUNICATING_PACKAGES = ("torch.distributed.", "torch.nn.parallel.", "deepspeed.")
"""Packages whose modules and parameters communicate with other ranks."""


def current_rank() -> int:
    """Return the rank of this process as far as it is known yet; 0 outside data-parallel training."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return torch.distributed.get_rank()
    variable = os.environ.get("RANK") or os.environ.get("LOCAL_RANK") or "0"
    return int(variable) if variable.isdecimal() else 0


def world_size() -> int:
    """Return the number of processes that train together as far as it is known yet; 1 outside data-parallel training."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return torch.distributed.get_world_size()
    variable = os.environ.get("WORLD_SIZE") or "1"
    return int(variable) if variable.isdecimal() else 1


def unwrap(network: nn.Module) -> nn.Module:
    """Return the network inside a DistributedDataParallel or Fabric wrapper, or the network itself.

    >>> network = nn.Linear(2, 1)
    >>> unwrap(network) is network
    True
    """
    while isinstance(network, DistributedDataParallel) or type(network).__name__ == "_FabricModule":
        inner: Any = network.module
        network = inner
    return network


def is_distributed(network: nn.Module) -> bool:
    """Return True if a call on one rank alone may wait for other ranks: a part is wrapped, sharded or distributed.

    >>> is_distributed(nn.Linear(2, 1))
    False
    """
    kinds = {type(part) for part in (*network.modules(), *network.parameters())}
    return any(cls.__module__.startswith(COMMUNICATING_PACKAGES) for kind in kinds for cls in kind.__mro__)
