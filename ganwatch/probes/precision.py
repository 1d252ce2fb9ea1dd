"""Double precision on devices that have it, and on the host for those that do not."""

from __future__ import annotations

from torch import Tensor


def to_double(x: Tensor) -> Tensor:
    """Return a tensor as float64; on the host if its device refuses that type, as Apple's does, which waits for the device.

    >>> import torch
    >>> to_double(torch.ones(2)).dtype
    torch.float64
    """
    try:
        return x.double()
    except (TypeError, RuntimeError):
        return x.cpu().double()
