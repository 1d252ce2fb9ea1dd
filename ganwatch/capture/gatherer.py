"""Copies 0-d tensors to the host, one asynchronous copy a step, and returns them after a fixed lag."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(slots=True)
class _PendingStep:
    """A step whose values are not returned yet."""

    step: int
    wall_time: float
    values: dict[str, float]
    copies: list[tuple[list[str], Tensor | list[float], Any]]


class Gatherer:
    """Queue of pending steps.

    Parameters
    ----------
    lag : int, steps
        Number of further steps after which a step's values are returned. It is fixed, so that a replay sees the same stream. On an
        accelerator it must be long enough for the copy to complete without waiting.

    Examples
    --------
    >>> gatherer = Gatherer(lag=1)
    >>> gatherer.put(1, {"loss/g": torch.tensor(0.5), "learning_rate/g": 0.1}, wall_time=0.0)
    []
    >>> gatherer.put(2, {}, wall_time=0.0)
    [(1, {'learning_rate/g': 0.1, 'loss/g': 0.5}, 0.0)]
    """

    def __init__(self, lag: int = 1) -> None:
        if lag < 0:
            raise ValueError(f"lag must be >= 0 (steps), got {lag}")
        self.lag = lag
        self._pending: deque[_PendingStep] = deque()

    def put(self, step: int, values: Mapping[str, Any], wall_time: float) -> list[tuple[int, dict[str, float], float]]:
        """Add the values of a step, floats or 0-d tensors, and return the steps that are complete now."""
        floats: dict[str, float] = {}
        tensors: dict[tuple[torch.device, torch.dtype], tuple[list[str], list[Tensor]]] = {}
        for name, value in values.items():
            if isinstance(value, Tensor):
                names, values_of_type = tensors.setdefault((value.device, value.dtype), ([], []))
                names.append(name)
                values_of_type.append(value if value.ndim == 0 else value.reshape(()))
            else:
                floats[name] = float(value)
        copies = [_copy(names, values_of_type) for names, values_of_type in tensors.values()]
        self._pending.append(_PendingStep(step, wall_time, floats, copies))
        return [self._complete() for _ in range(len(self._pending) - self.lag)]

    def flush(self) -> list[tuple[int, dict[str, float], float]]:
        """Return all pending steps, in order."""
        return [self._complete() for _ in range(len(self._pending))]

    def _complete(self) -> tuple[int, dict[str, float], float]:
        pending = self._pending.popleft()
        for names, host, event in pending.copies:
            if event is not None:
                event.synchronize()
            pending.values.update(zip(names, host if isinstance(host, list) else host.tolist(), strict=True))
        return pending.step, pending.values, pending.wall_time


def _copy(names: list[str], values: list[Tensor]) -> tuple[list[str], Tensor | list[float], Any]:
    """Begin the copy of 0-d tensors of one device and type."""
    if values[0].device.type != "cuda":
        return names, [value.item() for value in values], None
    stacked = torch.stack(values).detach()
    host = torch.empty(stacked.shape, dtype=stacked.dtype, pin_memory=True)
    host.copy_(stacked, non_blocking=True)
    event = torch.cuda.Event()  # type: ignore[no-untyped-call]  # torch publishes no type here
    event.record()
    return names, host, event
