"""What every feature extractor is, and what they share."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from ganwatch.core.errors import UserError

Batch = Tensor | Sequence[Tensor]
"""Samples ``(N, …)``, or a sequence of single ones where their sizes differ."""


@runtime_checkable
class Extractor(Protocol):
    """Samples to features.

    Attributes
    ----------
    name : str
        For people and for the registry.
    dim : int or None
        Length of a feature vector; None where the first samples decide it.
    """

    name: str
    dim: int | None

    def __call__(self, samples: Batch) -> Tensor:
        """Features ``(N, D)`` float32 without gradient of samples ``(N, …)``."""

    def provenance(self) -> dict[str, Any]:
        """What it takes to compute the same again, in plain types; ``weights`` is a hash, None where nothing tells versions apart."""


def as_features(output: Any, count: int, name: str) -> Tensor:
    """The output of a network as features ``(count, D)`` float32; the first of several outputs, all axes but the first flattened.

    Raises
    ------
    UserError
        It is no floating-point tensor with one row a sample.
    """
    if isinstance(output, tuple | list) and output:
        output = output[0]
    if not isinstance(output, Tensor) or not output.is_floating_point() or output.ndim == 0 or len(output) != count:
        got = f"{output.dtype} of shape {tuple(output.shape)}" if isinstance(output, Tensor) else type(output).__name__
        raise UserError(f"features must be a floating-point tensor with one row a sample, {count} rows, got {got} from {name}")
    return output.detach().reshape(count, -1).to(torch.float32)


def weights_hash(tensors: Iterable[tuple[str, Tensor]]) -> str:
    """SHA-256 over names, types, shapes and bytes.

    >>> weights_hash([("a", torch.zeros(2))]) == weights_hash([("a", torch.zeros(2))]) != weights_hash([("a", torch.zeros(2, 1))])
    True
    """
    value = hashlib.sha256()
    for name, tensor in tensors:
        value.update(f"{name} {tensor.dtype} {tuple(tensor.shape)} ".encode())
        value.update(raw(tensor))
    return value.hexdigest()


def raw(tensor: Tensor) -> bytes | memoryview:
    """The bytes of a tensor of any type, row by row."""
    return tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data if tensor.numel() else b""


def module_hash(module: nn.Module) -> str:
    """SHA-256 over parameters and buffers."""
    return weights_hash(module.state_dict().items())


def extractor_hash(extractor: Any) -> str | None:
    """A hash of what an extractor computes, or None where nothing tells."""
    facts = extractor.provenance()
    if facts.get("weights") is None:
        return None
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
