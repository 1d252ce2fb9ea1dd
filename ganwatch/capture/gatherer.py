"""Brings 0-d tensors to the host in one asynchronous copy a step and gives them back at a fixed lag."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(slots=True)
class _Pending:
    step: int
    wall_time: float
    values: dict[str, float]
    copies: list[tuple[list[str], Tensor | list[float], Any]]


class Gatherer:
    """Queue of steps in flight.

    Parameters
    ----------
    lag : int, steps
        A step's values are given back when ``lag`` further steps were handed in. Fixed, so that a replay sees the same stream;
        on an accelerator long enough for the copy to be complete without waiting.

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
        self._pending: deque[_Pending] = deque()

    def put(self, step: int, values: Mapping[str, Any], wall_time: float) -> list[tuple[int, dict[str, float], float]]:
        """Hand in the values of a step, floats or 0-d tensors; the steps that are complete by now."""
        floats: dict[str, float] = {}
        tensors: dict[tuple[torch.device, torch.dtype], tuple[list[str], list[Tensor]]] = {}
        for name, value in values.items():
            if isinstance(value, Tensor):
                names, alike = tensors.setdefault((value.device, value.dtype), ([], []))
                names.append(name)
                alike.append(value if value.ndim == 0 else value.reshape(()))
            else:
                floats[name] = float(value)
        copies = [_copy(names, alike) for names, alike in tensors.values()]
        self._pending.append(_Pending(step, wall_time, floats, copies))
        return [self._complete() for _ in range(len(self._pending) - self.lag)]

    def flush(self) -> list[tuple[int, dict[str, float], float]]:
        """Give back everything that is in flight, in order."""
        return [self._complete() for _ in range(len(self._pending))]

    def _complete(self) -> tuple[int, dict[str, float], float]:
        pending = self._pending.popleft()
        for names, host, event in pending.copies:
            if event is not None:
                event.synchronize()
            pending.values.update(zip(names, host if isinstance(host, list) else host.tolist(), strict=True))
        return pending.step, pending.values, pending.wall_time


def _copy(names: list[str], values: list[Tensor]) -> tuple[list[str], Tensor | list[float], Any]:
    """Begin the transfer of 0-d tensors of one device and type."""
    if values[0].device.type != "cuda":
        return names, [value.item() for value in values], None
    stacked = torch.stack(values).detach()
    host = torch.empty(stacked.shape, dtype=stacked.dtype, pin_memory=True)
    host.copy_(stacked, non_blocking=True)
    event = torch.cuda.Event()  # type: ignore[no-untyped-call]  # torch publishes no type here
    event.record()
    return names, host, event
