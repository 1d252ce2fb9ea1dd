"""Copies of the state of a training that go on to be written while the training changes the originals."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ganwatch.core.errors import UserError

PLAIN = (str, bool, int, float, type(None))
"""Types beside tensors and containers that ``torch.load(weights_only=True)`` reads without question."""


KEYS = (str, int)


class SnapshotBuffer:
    """Host memory for one snapshot, used again for the next one.

    Examples
    --------
    >>> weights = torch.ones(2)
    >>> buffer = SnapshotBuffer()
    >>> copied = buffer.copy({"G": {"weight": weights}})
    >>> _ = weights.zero_()
    >>> copied
    {'G': {'weight': tensor([1., 1.])}}
    """

    def __init__(self) -> None:
        self._tensors: dict[tuple[str, ...], Tensor] = {}

    def copy(self, parts: Mapping[str, Any]) -> dict[str, Any]:
        """Return a copy of the states of some parts, on the host; the copy made before is overwritten.

        Parameters
        ----------
        parts : mapping of str to object
            Anything with ``state_dict``, or a state: tensors and plain types in mappings, lists and tuples.

        Raises
        ------
        UserError
            A part holds something else; nothing was copied.
        """
        states = {name: part.state_dict() if hasattr(part, "state_dict") else part for name, part in parts.items()}
        leaves: dict[tuple[str, ...], Tensor] = {}
        with torch.inference_mode(mode=False), torch.no_grad():
            copied = {name: self._copy(state, (name,), leaves) for name, state in states.items()}
            for place, tensor in leaves.items():
                self._tensors[place].copy_(tensor, non_blocking=tensor.is_cuda)
        for device in {tensor.device for tensor in leaves.values() if tensor.is_cuda}:
            torch.cuda.synchronize(device)
        self._tensors = {place: self._tensors[place] for place in leaves}
        return copied

    def _copy(self, value: Any, place: tuple[str, ...], leaves: dict[tuple[str, ...], Tensor]) -> Any:
        """Return the value with memory of this buffer in place of its tensors, which are noted among the leaves."""
        if isinstance(value, Tensor):
            leaves[place] = value.detach()
            return self._reserve(place, value)
        if isinstance(value, Mapping):
            if wrong := [key for key in value if type(key) not in KEYS]:
                raise UserError(f"parts must have texts and whole numbers as keys, got {wrong[0]!r:.100} at {'.'.join(place)!r:.200}")
            return {key: self._copy(one, (*place, f"{key}" if isinstance(key, str) else f"[{key}]"), leaves) for key, one in value.items()}
        if isinstance(value, list | tuple):
            copied = [self._copy(one, (*place, str(index)), leaves) for index, one in enumerate(value)]
            return copied if isinstance(value, list) else tuple(copied)
        if type(value) in PLAIN:
            return value
        where = ".".join(place)
        raise UserError(f"parts must hold tensors, plain types and containers of these, got {type(value).__name__} at {where!r:.200}")

    def _reserve(self, place: tuple[str, ...], tensor: Tensor) -> Tensor:
        held = self._tensors.get(place)
        if held is None or held.shape != tensor.shape or held.dtype != tensor.dtype:
            held = self._tensors[place] = torch.empty(tensor.shape, dtype=tensor.dtype, device="cpu", pin_memory=tensor.is_cuda)
        return held
