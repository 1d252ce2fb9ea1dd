"""Protocol and base class of feature extractors, and functions that they share."""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self, runtime_checkable

import torch
from torch import Tensor, nn

from ganwatch.core.errors import UserError

if TYPE_CHECKING:
    from ganwatch.features.preprocessing import Preprocessing

Batch = Tensor | Sequence[Tensor]
"""Samples ``(N, …)``, or a sequence of single ones if their sizes differ."""


@runtime_checkable
class Extractor(Protocol):
    """A callable from samples to features.

    Attributes
    ----------
    name : str
        Name in messages and in the provenance.
    dim : int or None
        Length of a feature vector; None if the first samples decide it.
    """

    name: str
    dim: int | None

    def __call__(self, samples: Batch) -> Tensor:
        """Return features ``(N, D)`` float32 without gradient of samples ``(N, …)``."""

    def provenance(self) -> dict[str, Any]:
        """Return all that is needed to compute the same again, in plain types.

        ``weights`` is a hash, or None if nothing distinguishes versions.
        """


class NamedExtractor(ABC):
    """Base class of extractors that are built by their name.

    A new one is one module of ``ganwatch.features``; the registry finds it by being there.
    """

    name: str
    """Name in commands, messages and the provenance."""
    takes_vectors: ClassVar[bool] = False
    """True if samples may be vectors, False if they must be images."""
    dim: int | None = None

    @classmethod
    @abstractmethod
    def build(cls, preprocessing: Preprocessing, seed: int) -> Self:
        """Build the extractor; ``seed`` is that of random weights."""

    @abstractmethod
    def __call__(self, samples: Batch) -> Tensor:
        """Return features ``(N, D)`` float32 without gradient of samples ``(N, …)``."""

    @abstractmethod
    def provenance(self) -> dict[str, Any]:
        """Return all that is needed to compute the same again, as ``Extractor`` says."""


def as_features(output: Any, count: int, name: str) -> Tensor:
    """Return the output of a network as features ``(count, D)`` float32.

    Of several outputs the first counts; all axes but the first are flattened.

    Raises
    ------
    UserError
        The output is no floating-point tensor with one row per sample.
    """
    if isinstance(output, tuple | list) and output:
        output = output[0]
    if not isinstance(output, Tensor) or not output.is_floating_point() or output.ndim == 0 or len(output) != count:
        got = f"{output.dtype} of shape {tuple(output.shape)}" if isinstance(output, Tensor) else type(output).__name__
        raise UserError(f"features must be a floating-point tensor with one row a sample, {count} rows, got {got} from {name}")
    return output.detach().reshape(count, -1).to(torch.float32)


def weights_hash(tensors: Iterable[tuple[str, Tensor]]) -> str:
    """Return the SHA-256 of names, types, shapes and bytes.

    >>> weights_hash([("a", torch.zeros(2))]) == weights_hash([("a", torch.zeros(2))]) != weights_hash([("a", torch.zeros(2, 1))])
    True
    """
    value = hashlib.sha256()
    for name, tensor in tensors:
        value.update(f"{name} {tensor.dtype} {tuple(tensor.shape)} ".encode())
        value.update(tensor_bytes(tensor))
    return value.hexdigest()


def tensor_bytes(tensor: Tensor) -> bytes | memoryview:
    """Return the bytes of a tensor of any type, row by row."""
    return tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data if tensor.numel() else b""


def module_hash(module: nn.Module) -> str:
    """Return the SHA-256 of parameters and buffers."""
    return weights_hash(module.state_dict().items())


def extractor_hash(extractor: Any) -> str | None:
    """Return a hash of an extractor's provenance, or None if it has no hash of weights."""
    facts = extractor.provenance()
    if facts.get("weights") is None:
        return None
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
