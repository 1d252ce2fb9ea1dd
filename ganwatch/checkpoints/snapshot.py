"""Copies of the state of a training that go on to be written while the training changes the originals."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ganwatch.core.errors import UserError

PLAIN = (str, bool, int, float, type(None))
"""Types beside tensors and containers that ``torch.load(weights_only=True)`` reads without question."""


KEYS = (str, int)
Place = tuple[str | int, ...]
"""Keys on the way to a value."""


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
        self._tensors: dict[Place, Tensor] = {}

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
        leaves: dict[Place, Tensor] = {}
        with torch.inference_mode(mode=False), torch.no_grad():
            copied = {name: self._copy(state, (name,), leaves) for name, state in states.items()}
            for place, tensor in leaves.items():
                self._tensors[place].copy_(tensor, non_blocking=tensor.is_cuda)
        for device in {tensor.device for tensor in leaves.values() if tensor.is_cuda}:
            torch.cuda.synchronize(device)
        self._tensors = {place: self._tensors[place] for place in leaves}
        return copied

    def _copy(self, value: Any, place: Place, leaves: dict[Place, Tensor]) -> Any:
        """Return the value with memory of this buffer in place of its tensors, which are noted among the leaves."""
        if isinstance(value, Tensor):
            leaves[place] = value.detach()
            return self._reserve(place, value)
        if isinstance(value, Mapping):
            if wrong := [key for key in value if type(key) not in KEYS]:
                raise UserError(f"parts must have texts and whole numbers as keys, got {wrong[0]!r:.100} at {_show(place)}")
            return {key: self._copy(one, (*place, key), leaves) for key, one in value.items()}
        if isinstance(value, list | tuple):
            copied = [self._copy(one, (*place, index), leaves) for index, one in enumerate(value)]
            return copied if isinstance(value, list) else tuple(copied)
        if type(value) in PLAIN:
            return value
        if isinstance(value, np.generic) and type(value.item()) in PLAIN:  # a rate that NumPy has computed
            return value.item()
        raise UserError(f"parts must hold tensors, plain types and containers of these, got {type(value).__name__} at {_show(place)}")

    def _reserve(self, place: Place, tensor: Tensor) -> Tensor:
        held = self._tensors.get(place)
        if held is None or held.shape != tensor.shape or held.dtype != tensor.dtype:
            held = self._tensors[place] = torch.empty(tensor.shape, dtype=tensor.dtype, device="cpu", pin_memory=tensor.is_cuda)
        return held


def _show(place: Place) -> str:
    return f"{'.'.join(map(str, place))!r:.200}"
