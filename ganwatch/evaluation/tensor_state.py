"""Tensors as text, for checkpoints that hold plain types only."""

from __future__ import annotations

import base64
from typing import Any

import torch
from torch import Tensor


def pack(nest: Any) -> Any:
    """Return a nest with every tensor as its type, shape and bytes.

    >>> unpack(pack([torch.ones(1, 2), {"labels": torch.tensor([3]), "scale": 0.5}]))
    [tensor([[1., 1.]]), {'labels': tensor([3]), 'scale': 0.5}]
    """
    if isinstance(nest, Tensor):
        content = nest.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes() if nest.numel() else b""
        text = base64.b64encode(content).decode()
        return {"dtype": str(nest.dtype).removeprefix("torch."), "shape": list(nest.shape), "bytes": text}
    if isinstance(nest, dict):
        return {"dict": {str(key): pack(item) for key, item in nest.items()}}
    return [pack(item) for item in nest] if isinstance(nest, list | tuple) else nest


def unpack(plain: Any) -> Any:
    """Invert ``pack``; tuples come as lists, and tensors on the CPU."""
    if isinstance(plain, list):
        return [unpack(item) for item in plain]
    if not isinstance(plain, dict):
        return plain
    if "dict" in plain:
        return {key: unpack(item) for key, item in plain["dict"].items()}
    content = bytearray(base64.b64decode(plain["bytes"]))
    dtype = getattr(torch, plain["dtype"])
    return (torch.frombuffer(content, dtype=dtype) if content else torch.empty(0, dtype=dtype)).reshape(plain["shape"])
